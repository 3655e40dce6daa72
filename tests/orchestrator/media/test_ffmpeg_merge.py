from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from orchestrator.media.failures import MediaError
from orchestrator.media.languages import ISO_639_2, iso_639_2
from orchestrator.media.merge import Merged, NoPictureError, SoftSubtitles, merge
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

RATE = 48_000
DUB_ONSET_S = 1.2
SRT = "1\n00:00:00,500 --> 00:00:01,500\nHola & adiós\n\n2\n00:00:02,000 --> 00:00:09,000\nHasta luego\n"


@pytest.fixture
def dub(tmp_path: Path) -> Path:
    """Three seconds with a tone from 1.2 s to 1.7 s."""
    track = np.zeros((3 * RATE, 2))
    start = round(DUB_ONSET_S * RATE)
    track[start : start + RATE // 2] = 0.3 * np.sin(2 * np.pi * 1000 * np.arange(RATE // 2) / RATE)[:, None]
    path = tmp_path / "dub.wav"
    soundfile.write(path, track, RATE, "PCM_16")
    return path


@pytest.fixture
def subtitles(tmp_path: Path) -> list[SoftSubtitles]:
    (tmp_path / "es.srt").write_text(SRT, "utf-8")
    return [SoftSubtitles("es", tmp_path / "es.srt")]


def merged(
    clip: Path, dub: Path | None, subtitles: list[SoftSubtitles] | None = None, **options: Any
) -> tuple[Merged, Path]:
    dest = clip.with_name("out.mp4")
    options = {"language": "es", "original_language": "en", "subtitles": subtitles or [], **options}
    return waited(merge(clip, dub, dest, **options)), dest


def made(folder: Path, arguments: str) -> Path:
    """A clip named as the last word of its arguments."""
    ffmpeg(folder, arguments)
    return folder / arguments.rsplit(maxsplit=1)[-1]


def described(path: Path) -> list[tuple[str, str, str | None, int]]:
    """Kind, codec, language and default of each stream."""
    return [
        (each["codec_type"], each["codec_name"], each.get("tags", {}).get("language"), each["disposition"]["default"])
        for each in streams(path)
    ]


@pytest.mark.parametrize(
    ("arguments", "copied", "original"),
    [
        ("{picture} {tone} {h264} -bf 2 -c:a aac clip.mp4", True, "aac"),
        ("{picture} {tone} {h264} -c:a pcm_s16le clip.mov", True, "aac"),
        ("{picture} {tone} {h264} -bf 2 -c:a libopus clip.mkv", True, "opus"),
        ("{picture} {tone} {h264} -bf 2 -c:a aac clip.flv", True, "aac"),
        ("{picture} {tone} -c:v libvpx -deadline realtime -c:a libvorbis clip.webm", False, "aac"),
        ("{picture} {tone} -c:v mpeg4 -c:a libmp3lame clip.avi", False, "mp3"),
        ("{picture} {tone} -c:v wmv2 -c:a wmav2 clip.wmv", False, "aac"),
    ],
    ids=lambda value: str(value).rsplit(".", maxsplit=1)[-1],
)
def test_every_container_becomes_an_mp4_with_the_dub_first(
    tmp_path: Path, dub: Path, subtitles: list[SoftSubtitles], arguments: str, copied: bool, original: str
) -> None:
    clip = made(tmp_path, arguments)
    result, out = merged(clip, dub, subtitles)
    assert result.picture_copied is copied
    assert described(out) == [
        ("video", "h264", "und", 1),
        ("audio", "aac", "spa", 1),
        ("audio", original, "eng", 0),
        ("subtitle", "mov_text", "spa", 0),
    ]
    if copied:
        assert packet_hash(out) == packet_hash(clip)
    shown, shown_before = packet_times(out), packet_times(clip)
    assert len(shown) == len(shown_before)
    assert shown == pytest.approx(shown_before, abs=0.002)
    picture_end = shown_before[-1] + 0.04
    assert duration(out) == pytest.approx(picture_end, abs=0.05)
    assert result.seconds == pytest.approx(duration(out), abs=0.001)
    assert loud_from(samples(out)) / RATE == pytest.approx(DUB_ONSET_S, abs=0.001)
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted([clip.name, "dub.wav", "es.srt", "out.mp4"])


def test_the_index_stands_first_so_that_playing_begins_at_once(tmp_path: Path, dub: Path) -> None:
    _, out = merged(made(tmp_path, "{picture} {tone} {h264} clip.mp4"), dub)
    data = out.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_subtitles_keep_their_text_and_end_with_the_picture(
    tmp_path: Path, dub: Path, subtitles: list[SoftSubtitles]
) -> None:
    (tmp_path / "en.srt").write_text("\ufeff1\r\n00:00:01,000 --> 00:00:02,000\r\nHello\r\n", "utf-8")
    clip = made(tmp_path, "{picture} {tone} {h264} clip.mp4")
    _, out = merged(clip, dub, [*subtitles, SoftSubtitles("en", tmp_path / "en.srt")])
    assert [each[2] for each in described(out) if each[0] == "subtitle"] == ["spa", "eng"]
    ffmpeg(tmp_path, "-i out.mp4 -map 0:s:0 back.srt")
    back = (tmp_path / "back.srt").read_text("utf-8")
    assert "00:00:00,500 --> 00:00:01,500\nHola & adiós\n" in back
    assert "00:00:02,000 --> 00:00:03,000\nHasta luego\n" in back
    assert duration(out) == pytest.approx(3.0, abs=0.05)


def test_subtitles_without_a_cue_make_no_track(tmp_path: Path, dub: Path) -> None:
    (tmp_path / "empty.srt").write_text("", "utf-8")
    clip = made(tmp_path, "{picture} {tone} {h264} clip.mp4")
    _, out = merged(clip, dub, [SoftSubtitles("es", tmp_path / "empty.srt")])
    assert [each[0] for each in described(out)] == ["video", "audio", "audio"]


def test_ten_bit_pictures_are_transcoded_to_what_every_player_shows(tmp_path: Path, dub: Path) -> None:
    seen: list[float] = []
    clip = made(tmp_path, "{picture} {tone} -c:v libx264 -preset ultrafast -pix_fmt yuv420p10le clip.mp4")
    result, out = merged(clip, dub, progress=seen.append)
    assert not result.picture_copied
    picture = streams(out)[0]
    assert (picture["codec_name"], picture["pix_fmt"]) == ("h264", "yuv420p")
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(3.0, abs=0.1)
    assert np.abs(frame(out, 1.0).astype(int) - frame(clip, 1.0)).max() < 12


def test_odd_sizes_lose_a_row_and_keep_their_shape(tmp_path: Path, dub: Path) -> None:
    clip = made(
        tmp_path, "{picture} -vf scale=161:121,setsar=4/3 -c:v libvpx-vp9 -deadline realtime -cpu-used 8 clip.webm"
    )
    _, out = merged(clip, dub)
    picture = streams(out)[0]
    assert (picture["width"], picture["height"]) == (160, 120)
    assert picture["sample_aspect_ratio"] == streams(clip)[0]["sample_aspect_ratio"] != "1:1"


@pytest.mark.parametrize("pixels", ["yuv420p", "yuv422p"])
def test_a_picture_on_its_side_stays_the_right_way_up(tmp_path: Path, dub: Path, pixels: str) -> None:
    ffmpeg(tmp_path, "{picture} -c:v libx264 -preset ultrafast -pix_fmt {pixels} flat.mp4", pixels=pixels)
    ffmpeg(tmp_path, "-i flat.mp4 -c copy -metadata:s:v rotate=90 clip.mp4")
    before = frame(tmp_path / "clip.mp4", 1.0).astype(int)
    assert np.abs(before - frame(tmp_path / "flat.mp4", 1.0)).max() > 20
    _, out = merged(tmp_path / "clip.mp4", dub)
    assert np.abs(before - frame(out, 1.0)).max() < 12


def test_uneven_frame_times_are_kept_when_transcoding(tmp_path: Path, dub: Path) -> None:
    clip = made(
        tmp_path,
        "{picture} -vf select=not(mod(n\\\\,7))+eq(n\\\\,3) -vsync vfr -c:v libvpx -deadline realtime clip.mkv",
    )
    _, out = merged(clip, dub)
    assert packet_times(out) == pytest.approx(packet_times(clip), abs=0.002)


@pytest.mark.parametrize("codec", ["{h264} -bf 2", "-c:v libvpx -deadline realtime"])
def test_a_picture_that_begins_late_keeps_its_distance_to_the_sound(tmp_path: Path, dub: Path, codec: str) -> None:
    ffmpeg(tmp_path, "{picture} " + codec + " late.mkv")
    clip = made(tmp_path, "-itsoffset 0.8 -i late.mkv {tone} -map 0 -map 1 -c:v copy -c:a pcm_s16le clip.mkv")
    _, out = merged(clip, dub)
    assert packet_times(out)[0] == pytest.approx(packet_times(clip)[0], abs=0.002)
    assert packet_times(out)[0] == pytest.approx(0.8, abs=0.1)
    assert loud_from(samples(out)) / RATE == pytest.approx(DUB_ONSET_S, abs=0.001)
    assert duration(out) == pytest.approx(packet_times(clip)[-1] + 0.04, abs=0.05)


def test_an_original_that_begins_late_stays_late(tmp_path: Path, dub: Path) -> None:
    clip = made(tmp_path, "{picture} -itsoffset 0.6 {tone} -map 0 -map 1 {h264} -c:a libmp3lame clip.mkv")
    _, out = merged(clip, dub)
    assert loud_from(samples(out, track=1)) / RATE == pytest.approx(loud_from(samples(clip)) / RATE, abs=0.03)


def test_h264_in_avi_is_shown_in_time(tmp_path: Path, dub: Path) -> None:
    for bframes, copied in ((0, True), (2, False)):
        clip = made(tmp_path, f"{{picture}} {{tone}} {{h264}} -bf {bframes} -c:a libmp3lame clip.avi")
        result, out = merged(clip, dub)
        assert result.picture_copied is copied
        times = packet_times(out)
        assert times[0] == 0.0
        assert duration(out) == pytest.approx(3.0, abs=0.1)


def test_a_cover_is_not_taken_for_the_picture(tmp_path: Path, dub: Path) -> None:
    ffmpeg(tmp_path, "{picture} {tone} {h264} plain.mp4")
    ffmpeg(tmp_path, "{picture} -frames:v 1 cover.png")
    clip = made(
        tmp_path,
        "-i cover.png -i plain.mp4 -map 0 -map 1 -c copy -disposition:v:0 attached_pic -disposition:v:1 0 clip.mp4",
    )
    _, out = merged(clip, dub)
    assert packet_hash(out) == packet_hash(tmp_path / "plain.mp4")


def test_sound_with_a_cover_only_has_no_picture(tmp_path: Path, dub: Path) -> None:
    ffmpeg(tmp_path, "{picture} -frames:v 1 cover.png")
    clip = made(
        tmp_path, "{tone} -i cover.png -map 0 -map 1 -c:a libmp3lame -c:v copy -disposition:v attached_pic clip.mp3"
    )
    with pytest.raises(NoPictureError):
        merged(clip, dub)


def test_a_still_picture_lasts_as_long_as_its_sound(tmp_path: Path, dub: Path) -> None:
    ffmpeg(tmp_path, "{picture} {h264} -frames:v 1 still.mp4")
    clip = made(tmp_path, "-i still.mp4 {tone} -c:v copy -c:a aac clip.mp4")
    _, out = merged(clip, dub)
    assert duration(out) == pytest.approx(3.0, abs=0.05)


@pytest.mark.parametrize("seconds", [1.5, 5.0])
def test_the_dub_is_padded_or_trimmed_to_the_picture(tmp_path: Path, seconds: float) -> None:
    soundfile.write(tmp_path / "dub.wav", np.full((round(seconds * RATE), 2), 0.1), RATE)
    _, out = merged(made(tmp_path, "{picture} {h264} clip.mp4"), tmp_path / "dub.wav")
    assert described(out) == [("video", "h264", "und", 1), ("audio", "aac", "spa", 1)]
    assert duration(out) == pytest.approx(3.0, abs=0.05)
    assert len(samples(out)) / RATE == pytest.approx(3.0, abs=0.05)


@pytest.mark.parametrize("codec", ["aac", "flac -strict -2", "libopus -frame_duration 60", "aac -ar 8000"])
def test_an_original_longer_than_the_picture_ends_with_it(tmp_path: Path, dub: Path, codec: str) -> None:
    long = "-f lavfi -i sine=frequency=440:duration=3.7"
    _, out = merged(made(tmp_path, f"{{picture}} {long} {{h264}} -c:a {codec} clip.mp4"), dub)
    assert duration(out) == pytest.approx(3.0, abs=0.05)


def test_without_a_dub_the_original_is_the_only_and_default_sound(
    tmp_path: Path, subtitles: list[SoftSubtitles]
) -> None:
    clip = made(tmp_path, "{picture} {tone} {h264} -c:a aac clip.mp4")
    _, out = merged(clip, None, subtitles)
    assert [each[2:] for each in described(out) if each[0] == "audio"] == [("eng", 1)]
    assert np.array_equal(samples(out), samples(clip))


def test_the_default_of_several_original_tracks_is_kept(tmp_path: Path, dub: Path) -> None:
    other = "-f lavfi -i sine=frequency=880:sample_rate=44100:duration=3"
    clip = made(
        tmp_path,
        f"{{picture}} {{tone}} {other} -map 0 -map 1 -map 2 {{h264}} -c:a aac "
        "-metadata:s:a:1 language=ger -disposition:a:0 0 -disposition:a:1 default clip.mkv",
    )
    _, out = merged(clip, dub, original_language=None)
    assert [each[2] for each in described(out) if each[0] == "audio"] == ["spa", "ger"]
    assert samples(out, track=1)[:RATE].tolist() == samples(clip, track=1)[:RATE].tolist()


def test_the_title_goes_along_and_nothing_private_does(tmp_path: Path, dub: Path) -> None:
    clip = made(
        tmp_path,
        "{picture} {tone} {h264} -metadata title=Sense\\ =\\ \\'Sensibility\\' -metadata location=+48.1+11.5/ clip.mp4",
    )
    _, out = merged(clip, dub)
    tags = ffprobe(out, "-show_format")["format"]["tags"]
    assert tags["title"] == "Sense = 'Sensibility'"
    assert "location" not in tags


def test_the_same_input_gives_the_same_file(tmp_path: Path, dub: Path, subtitles: list[SoftSubtitles]) -> None:
    clip = made(tmp_path, "{picture} {tone} {h264} clip.mp4")
    _, out = merged(clip, dub, subtitles)
    first = out.read_bytes()
    _, out = merged(clip, dub, subtitles)
    assert out.read_bytes() == first


def test_a_merge_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    clip = made(tmp_path, "{picture} {tone} {h264} clip.mp4")
    (tmp_path / "dub.wav").write_bytes(b"no sound at all")
    (tmp_path / "out.mp4").write_bytes(b"before")
    with pytest.raises(MediaError):
        merged(clip, tmp_path / "dub.wav")
    assert (tmp_path / "out.mp4").read_bytes() == b"before"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["clip.mp4", "dub.wav", "out.mp4"]


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("es", "spa"),
        ("pt-BR", "por"),
        ("zh", "zho"),
        ("EN", "eng"),
        ("yue", "yue"),
        (None, "und"),
        ("", "und"),
        ("xx", "und"),
    ],
)
def test_languages_are_tagged_as_mp4_wants_them(language: str | None, code: str) -> None:
    assert iso_639_2(language) == code


def test_every_code_has_its_letters() -> None:
    assert all(len(short) == 2 and len(long) == 3 for short, long in ISO_639_2.items())
    assert len(ISO_639_2) > 180
