"""Odd but honest media go the whole way: probed, heard, merged, with sound and picture as far apart as they were."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from orchestrator.errors import OctaviaError
from orchestrator.media.probe import probe
from tests.orchestrator.media.clips import (
    duration,
    ffmpeg,
    ffprobe,
    frame,
    loud_from,
    packet_hash,
    packet_times,
    samples,
    streams,
    waited,
)
from tests.orchestrator.media.signals import beeps, flashes, made, put_through

IN_SYNC_S = 0.05
"""Codecs begin up to two frames late, and pictures have frames."""
KEPT_S = 0.02


@dataclass(frozen=True)
class Odd:
    """How a clip is made; whether its picture is copied; how much later than its flash its beep is."""

    arguments: str
    copied: bool = True
    size: str = "160x120"
    fps: int = 25
    rate: int = 48_000
    first: str = ""
    later: float = 0.0
    seconds: float = 3.0


H264 = "{flash} {beep} {h264}"
PAL = "720x576"
UNEVEN = "-vf \"select='lt(t,0.9)*not(mod(n,3))+gte(t,0.9)*not(mod(n,2))'\" -vsync vfr"
SOUND = {
    **{f"aac at {rate} Hz": Odd(f"{H264} -c:a aac -ar {rate} clip.mp4", rate=rate) for rate in (8000, 11025, 96_000)},
    **{f"{count} channels": Odd(f"{H264} -c:a aac -ac {count} clip.mp4") for count in (1, 6, 8)},
    **{
        f"mp3 at {rate} Hz": Odd(f"{H264} -c:a libmp3lame -ar {rate} clip.mkv", rate=rate)
        for rate in (8000, 11025, 16_000)
    },
    **{f"flac at {rate} Hz": Odd(f"{H264} -c:a flac -ar {rate} clip.mkv", rate=rate) for rate in (96_000, 192_000)},
    **{
        f"ac3 5.1 at {rate} Hz": Odd(f"{H264} -c:a ac3 -ac 6 -ar {rate} clip.mkv", rate=rate)
        for rate in (32_000, 44_100)
    },
    "24-bit flac 5.1": Odd(f"{H264} -c:a flac -ac 6 -sample_fmt s32 clip.mkv"),
    "eac3": Odd(f"{H264} -c:a eac3 -ac 6 clip.mkv"),
    "dts": Odd(f"{H264} -c:a dca -strict -2 -ac 6 clip.mkv"),
    "truehd": Odd(f"{H264} -c:a truehd -strict -2 clip.mkv"),
    "opus in long packets": Odd(f"{H264} -c:a libopus -ac 1 -frame_duration 120 clip.mkv"),
    "pcm at 192 kHz": Odd(f"{H264} -c:a pcm_s24le clip.mov", rate=192_000),
    "telephone": Odd(f"{H264} -c:a pcm_alaw clip.mov", rate=8000),
    "two mono tracks": Odd(
        f"{H264.replace('{h264}', '')} {{beep}} -map 0 -map 1 -map 2 {{h264}} -c:a pcm_s16le -ac 1 clip.mov"
    ),
}
OLD = {
    "avi of 8 bit": Odd("{flash} {beep} -c:v mpeg4 -c:a pcm_u8 clip.avi", copied=False, rate=11025),
    "avi of msmpeg4": Odd("{flash} {beep} -c:v msmpeg4v2 -c:a adpcm_ms clip.avi", copied=False, rate=22050),
    "avi of cinepak": Odd("{flash} {beep} -c:v cinepak -c:a pcm_s16le clip.avi", copied=False),
    "avi of a camcorder": Odd("{flash} {beep} -c:v dvvideo -pix_fmt yuv420p -ac 2 clip.avi", copied=False, size=PAL),
    "avi of reordered frames": Odd(
        "{flash} {beep} -c:v mpeg4 -bf 2 -c:a libmp3lame -q:a 2 clip.avi", copied=False, rate=44100
    ),
    "wmv": Odd("{flash} {beep} -c:v wmv1 -c:a wmav1 clip.wmv", copied=False, rate=44100),
    "3gp": Odd("{flash} {beep} -c:v h263 -c:a aac -ac 1 clip.3gp", copied=False, size="176x144", rate=8000),
    "flv of speech": Odd("{flash} {beep} -c:v flv -c:a nellymoser -ac 1 clip.flv", copied=False, rate=8000),
    "mpeg-1": Odd("{flash} {beep} -c:v mpeg1video -c:a mp2 clip.mpg", copied=False, rate=44100),
    "dvd": Odd("{flash} {beep} -target pal-dvd clip.mpg", copied=False, size=PAL),
    # Its encoder leaves out frames that do not change, so that the last is shown at 2.6 s.
    "theora": Odd("{flash} {beep} -c:v libtheora -c:a libvorbis clip.ogg", copied=False, seconds=2.64),
}
PICTURE = {
    "uneven frames": Odd(f"{{flash}} {{beep}} {UNEVEN} {{h264}} -c:a aac clip.mp4"),
    "uneven frames transcoded": Odd(
        f"{{flash}} {{beep}} {UNEVEN} -c:v libvpx -deadline realtime -c:a libvorbis clip.mkv", copied=False
    ),
    "phone, held upright": Odd(
        "-i flat.mp4 -c copy -metadata:s:v rotate=90 clip.mp4",
        first=f"{{flash}} {{beep}} {UNEVEN} {{h264}} -c:a aac -ac 1 flat.mp4",
        rate=44100,
    ),
    "a frame a second": Odd(f"{H264} -c:a aac clip.mp4", fps=1),
    "240 frames a second": Odd(f"{H264} -c:a aac clip.mp4", fps=240),
    "interlaced h264": Odd("{flash} {beep} {h264} -flags +ildct+ilme -x264opts tff=1 -c:a aac clip.mp4"),
    "10-bit hevc": Odd(
        "{flash} {beep} -c:v libx265 -preset ultrafast -x265-params log-level=none -pix_fmt yuv420p10le "
        "-c:a aac clip.mp4",
        copied=False,
    ),
    "10-bit av1": Odd(
        "{flash} {beep} -c:v libsvtav1 -preset 12 -pix_fmt yuv420p10le -c:a libopus clip.mp4", copied=False
    ),
    "vp9 4:4:4": Odd(
        "{flash} {beep} -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -pix_fmt yuv444p -c:a libopus clip.webm",
        copied=False,
    ),
    "prores": Odd("{flash} {beep} -c:v prores_ks -c:a pcm_s16le clip.mov", copied=False),
    "full range": Odd("{flash} {beep} -c:v libx264 -preset ultrafast -pix_fmt yuvj420p -c:a aac clip.mp4"),
}
TIMES = {
    "sound late by an edit list": Odd(
        "{flash} -itsoffset 0.7 {beep} -map 0 -map 1 {h264} -c:a aac clip.mp4", later=0.7
    ),
    "picture late by an edit list": Odd(
        "-itsoffset 0.7 {flash} {beep} -map 0 -map 1 {h264} -bf 2 -c:a aac clip.mp4", later=-0.7, seconds=3.7
    ),
    "cut by an edit list": Odd(
        "-ss 0.44 -i whole.mp4 -c copy clip.mp4",
        first="{flash} {beep} {h264} -bf 2 -g 12 -c:a aac whole.mp4",
        seconds=2.56,
    ),
    "negative times": Odd(
        "-ss 0.44 -i whole.mp4 -c copy -avoid_negative_ts disabled clip.mkv",
        first="{flash} {beep} {h264} -bf 3 -g 12 -c:a aac whole.mp4",
    ),
    "negative offsets": Odd(f"{H264} -bf 3 -c:a aac -movflags negative_cts_offsets clip.mp4"),
    "fragments": Odd(f"{H264} -bf 3 -c:a aac -movflags frag_keyframe+empty_moov clip.mp4"),
    "short sound": Odd("{flash} {short} {h264} -c:a aac clip.mp4"),
    "long sound": Odd("{flash} {long} {h264} -c:a aac clip.mp4"),
    "transport stream": Odd(f"{H264} -bf 2 -c:a aac clip.ts"),
    "transport stream of a camera": Odd(f"{H264} -c:a ac3 clip.m2ts"),
    "transport stream whose clock wraps": Odd(f"{H264} -bf 2 -c:a aac -output_ts_offset 95442 clip.ts"),
    "transport stream with late sound": Odd(
        "{flash} -itsoffset 0.7 {beep} -map 0 -map 1 {h264} -c:a aac clip.ts", later=0.7
    ),
    "interlaced broadcast": Odd(
        "{flash} {beep} -c:v mpeg2video -flags +ildct+ilme -top 1 -b:v 2M -c:a mp2 clip.ts", copied=False
    ),
    "timecode": Odd(f"{H264} -c:a aac -timecode 01:00:00:00 clip.mov"),
}
ALL = {**SOUND, **OLD, **PICTURE, **TIMES}
QUICK = (
    *("mp3 at 8000 Hz", "flac at 96000 Hz", "6 channels", "3gp", "uneven frames", "sound late by an edit list"),
    *("transport stream with late sound", "negative times", "phone, held upright"),
)


def goes_through(odd: Odd, folder: Path) -> None:
    options = {"size": odd.size, "fps": odd.fps, "rate": odd.rate}
    if odd.first:
        made(folder, odd.first, **options)  # type: ignore[arg-type]
    clip = made(folder, odd.arguments, **options)  # type: ignore[arg-type]
    found, merged, out = put_through(clip)
    assert found.kind == "video"
    assert merged.picture_copied is odd.copied
    (flash,), (dub,), (original,) = flashes(out), beeps(out), beeps(out, track=1)
    assert dub - flash == pytest.approx(odd.later, abs=IN_SYNC_S + 0.5 / odd.fps)
    assert original - dub == pytest.approx(0.0, abs=KEPT_S)
    assert duration(out) == pytest.approx(odd.seconds, abs=0.15)
    assert [each["codec_type"] for each in streams(out)] == ["video", "audio", "audio"]
    if odd.copied and clip.suffix not in (".ts", ".m2ts"):  # there the same packets have another frame around them
        assert packet_hash(out) == packet_hash(clip)


@pytest.mark.parametrize("name", QUICK)
def test_odd_media_go_through_in_sync(tmp_path: Path, name: str) -> None:
    goes_through(ALL[name], tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("name", [name for name in ALL if name not in QUICK])
def test_all_odd_media_go_through_in_sync(tmp_path: Path, name: str) -> None:
    goes_through(ALL[name], tmp_path)


@pytest.mark.parametrize("offset", [1000, 0], ids=["forwards", "from the start"])
def test_a_recording_joined_of_two_is_in_sync_in_both(tmp_path: Path, offset: int) -> None:
    for name, shift in (("a.ts", 0), ("b.ts", offset)):
        made(tmp_path, f"{{flash}} {{beep}} {{h264}} -bf 2 -c:a aac -output_ts_offset {shift} {name}")
    clip = tmp_path / "clip.ts"
    clip.write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    found, _, out = put_through(clip)
    assert found.duration == pytest.approx(6.0, abs=0.1)
    assert duration(out) == pytest.approx(6.0, abs=0.1)
    assert len(flashes(out)) == 2
    assert beeps(out) == pytest.approx(flashes(out), abs=IN_SYNC_S)
    assert beeps(out, track=1) == pytest.approx(beeps(out), abs=KEPT_S)


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_phones_picture_stays_upright_and_is_copied(tmp_path: Path, turn: int) -> None:
    ffmpeg(tmp_path, "{picture} {tone} {h264} -c:a aac flat.mp4")
    ffmpeg(tmp_path, "-i flat.mp4 -c copy -metadata:s:v rotate={turn} clip.mp4", turn=turn)
    clip = tmp_path / "clip.mp4"
    _, merged, out = put_through(clip)
    assert merged.picture_copied
    assert packet_hash(out) == packet_hash(clip)
    shown, before = frame(out, 1.0, 16).astype(int), frame(clip, 1.0, 16).astype(int)
    assert np.abs(shown - before).max() < 4
    assert np.abs(shown - frame(tmp_path / "flat.mp4", 1.0, 16)).max() > 20


def grey(path: Path) -> list[int]:
    """The brightness of eight vertical bars."""
    return [int(each) for each in frame(path, 0.5, 8)[4]]


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
def test_high_dynamic_range_looks_as_it_was_meant(tmp_path: Path, transfer: str) -> None:
    bars = "-f lavfi -i color=black:s=160x96:d=2:r=10,format=gray,geq=lum='255*floor(X/20)/7',format=yuv420p"
    ffmpeg(tmp_path, f'{bars.replace("color", chr(34) + "color", 1)}" {{tone}} {{h264}} -qp 0 -c:a aac standard.mp4')
    to_high = f"zscale=tin=bt709:min=bt709:pin=bt709:rin=tv:t={transfer}:m=bt2020nc:p=bt2020:r=tv:npl=203"
    tags = f"log-level=none:qp=4:colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc"
    ffmpeg(
        tmp_path,
        f"-i standard.mp4 -vf {to_high},format=yuv420p10le -c:v libx265 -preset ultrafast -x265-params {tags} "
        "-c:a copy clip.mp4",
    )
    _, merged, out = put_through(tmp_path / "clip.mp4")
    assert not merged.picture_copied
    meant, shown, untouched = grey(tmp_path / "standard.mp4"), grey(out), grey(tmp_path / "clip.mp4")
    assert shown[:5] == pytest.approx(meant[:5], abs=12)
    assert shown == sorted(shown)
    assert shown[-1] > 190
    assert np.abs(np.subtract(untouched, meant)).max() > 60
    picture = streams(out)[0]
    assert (picture["color_transfer"], picture["color_primaries"], picture["pix_fmt"]) == ("bt709", "bt709", "yuv420p")


def test_half_pictures_are_joined_where_the_picture_is_transcoded(tmp_path: Path) -> None:
    moving = '-f lavfi -i "testsrc2=size=720x576:rate=50:duration=1,tinterlace=interleave_top"'
    ffmpeg(tmp_path, f"{moving} {{tone}} -t 1 -c:v mpeg2video -flags +ildct+ilme -top 1 -b:v 8M -c:a mp2 clip.mpg")
    _, merged, out = put_through(tmp_path / "clip.mpg")
    assert not merged.picture_copied
    assert streams(out)[0]["field_order"] == "progressive"
    assert len(packet_times(out)) == len(packet_times(tmp_path / "clip.mpg"))
    before, after = (comb(path) for path in (tmp_path / "clip.mpg", out))
    assert after < 0.6 * before


def comb(path: Path) -> float:
    """How much neighbouring rows differ more than rows two apart, as they do where half pictures are woven."""
    ffmpeg(path.parent, f"-ss 0.5 -i {path.name} -frames:v 1 -vf scale=720:576,format=gray comb.pgm")
    data = (path.parent / "comb.pgm").read_bytes()
    rows = np.frombuffer(data[-720 * 576 :], np.uint8).reshape(576, 720).astype(int)
    near, far = np.abs(np.diff(rows, axis=0)).mean(), np.abs(rows[2:] - rows[:-2]).mean()
    return float(near / far)


def test_what_else_is_inside_is_kept_or_left_out_by_rule(tmp_path: Path) -> None:
    chapters = "".join(
        f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={at * 1500}\nEND={at * 1500 + 1500}\ntitle={title}\n"
        for at, title in enumerate(("Sense \\= ü", "Sensibility"))
    )
    (tmp_path / "tags").write_text(
        f";FFMETADATA1\ntitle=A title\nartist=Jane\nlocation=+48.1+11.5/\n{chapters}", "utf-8"
    )
    (tmp_path / "inside.srt").write_text("1\n00:00:00,500 --> 00:00:01,500\nHello\n")
    ffmpeg(tmp_path, "{picture} -frames:v 1 cover.png")
    ffmpeg(
        tmp_path,
        "{picture} {tone} -i tags -i inside.srt -map 0 -map 1 -map 3 -map_metadata 2 {h264} -c:a aac -c:s srt "
        "-attach tags -metadata:s:t:0 mimetype=text/plain "
        "-attach cover.png -metadata:s:t:1 mimetype=image/png clip.mkv",
    )
    _, _, out = put_through(tmp_path / "clip.mkv")
    kinds = [each["codec_type"] for each in streams(out)]
    assert kinds == ["video", "audio", "audio", "data"]  # data: the chapters' names, as MP4 keeps them
    found = ffprobe(out, "-show_chapters", "-show_format")
    names = [(float(each["start_time"]), each["tags"]["title"]) for each in found["chapters"]]
    assert names == [(0.0, "Sense = ü"), (1.5, "Sensibility")]
    assert found["format"]["tags"]["title"] == "A title"
    assert {"artist", "location"} & set(found["format"]["tags"]) == set()


def test_sound_only_in_one_channel_of_two_is_heard(tmp_path: Path) -> None:
    clip = made(tmp_path, "{flash} {beep} {h264} -af pan=stereo|c0=c0|c1=0*c0 -c:a aac clip.mp4")
    _, _, out = put_through(clip)
    assert beeps(out) == pytest.approx(flashes(out), abs=IN_SYNC_S)


def test_a_video_without_sound_is_refused_in_clear_words(tmp_path: Path) -> None:
    clip = made(tmp_path, "{flash} {h264} clip.mp4")
    assert waited(probe(clip)).audio == ()
    with pytest.raises(OctaviaError, match="no audio track") as caught:
        put_through(clip)
    assert caught.value.code == "no_audio"


def test_lossless_sound_is_copied_bit_by_bit(tmp_path: Path) -> None:
    clip = made(tmp_path, "{flash} {beep} {h264} -c:a flac -ar 96000 clip.mkv", rate=96_000)
    _, _, out = put_through(clip)
    assert streams(out)[2]["codec_name"] == "flac"
    assert np.array_equal(samples(clip, 0, 96_000), samples(out, 1, 96_000)[: len(samples(clip, 0, 96_000))])
    assert loud_from(samples(out, 1)) > 0
