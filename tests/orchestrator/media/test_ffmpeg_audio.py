from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from orchestrator.media.audio import ENCODERS, AudioFormat, NoAudioError, encode_audio, extract_speech_audio
from orchestrator.media.failures import MediaError
from tests.orchestrator.media.clips import duration, ffmpeg, loud_from, samples, streams, waited

RATE = 16_000


def extracted(path: Path, **options: Any) -> npt.NDArray[np.float64]:
    """What the models hear of a file, in [-1, 1]."""
    dest = path.with_suffix(".pcm")
    count = waited(extract_speech_audio(path, dest, **options))
    pcm = np.frombuffer(dest.read_bytes(), "<i2") / 32768
    assert len(pcm) == count
    return pcm


def pitch(signal: npt.NDArray[np.float64]) -> float:
    spectrum = np.abs(np.fft.rfft(signal * np.hanning(len(signal))))
    return float(np.argmax(spectrum) * RATE / len(signal))


@pytest.mark.parametrize(
    "arguments",
    [
        "{picture} {tone} {h264} -c:a aac clip.mp4",
        "{picture} {tone} {h264} -c:a aac clip.mov",
        "{picture} {tone} {h264} -c:a libopus clip.mkv",
        "{picture} {tone} -c:v libvpx -deadline realtime -c:a libvorbis clip.webm",
        "{picture} {tone} -c:v mpeg4 -c:a libmp3lame clip.avi",
        "{picture} {tone} -c:v wmv2 -c:a wmav2 clip.wmv",
        "{picture} {tone} -c:v flv -ar 44100 -c:a libmp3lame clip.flv",
        "{tone} -c:a libmp3lame clip.mp3",
        "{tone} -ac 2 clip.wav",
        "{tone} -c:a flac -ac 6 clip.flac",
        "{tone} -c:a libvorbis clip.ogg",
        "{tone} -c:a aac clip.aac",
    ],
    ids=lambda arguments: str(arguments).rsplit(".", maxsplit=1)[-1],
)
def test_speech_is_taken_out_of_every_container(tmp_path: Path, arguments: str) -> None:
    ffmpeg(tmp_path, arguments)
    (clip,) = tmp_path.glob("clip.*")
    heard = extracted(clip)
    assert len(heard) == pytest.approx(3 * RATE, abs=0.1 * RATE)
    assert pitch(heard[RATE : 2 * RATE]) == pytest.approx(440, abs=2)


def test_sound_that_begins_late_is_heard_at_its_picture_time(tmp_path: Path) -> None:
    ffmpeg(tmp_path, "{picture} -itsoffset 0.7 {tone} -map 0 -map 1 {h264} -c:a pcm_s16le clip.mkv")
    heard = extracted(tmp_path / "clip.mkv")
    assert loud_from(heard) / RATE == pytest.approx(0.7, abs=0.005)


def test_sound_that_begins_before_the_picture_is_heard_from_the_start(tmp_path: Path) -> None:
    ffmpeg(tmp_path, "{picture} {h264} picture.mp4")
    ffmpeg(tmp_path, "-itsoffset 1.5 -i picture.mp4 {tone} -map 0 -map 1 -c:v copy -c:a pcm_s16le clip.mkv")
    heard = extracted(tmp_path / "clip.mkv")
    assert loud_from(heard) / RATE == pytest.approx(0.0, abs=0.005)


def test_times_count_from_the_start_of_a_file_that_does_not_begin_at_zero(tmp_path: Path) -> None:
    ffmpeg(tmp_path, "{picture} {h264} picture.mp4")
    ffmpeg(
        tmp_path,
        "-itsoffset 10 -i picture.mp4 -itsoffset 10.5 {tone} -map 0 -map 1 -c:v copy -c:a pcm_s16le -copyts clip.mkv",
    )
    heard = extracted(tmp_path / "clip.mkv")
    assert loud_from(heard) / RATE == pytest.approx(0.5, abs=0.005)


def test_a_hole_in_the_sound_stays_silent_and_what_follows_is_in_time(tmp_path: Path) -> None:
    ffmpeg(tmp_path, "{tone} -af \"aselect='not(between(t,1,2))'\" -c:a pcm_s16le clip.mkv")
    heard = extracted(tmp_path / "clip.mkv")
    assert np.abs(heard[int(1.1 * RATE) : int(1.9 * RATE)]).max() < 0.001
    assert (loud_from(heard[int(1.2 * RATE) :]) / RATE) + 1.2 == pytest.approx(2.0, abs=0.05)


def test_the_default_track_is_heard(tmp_path: Path) -> None:
    other = "-f lavfi -i sine=frequency=880:duration=3"
    ffmpeg(
        tmp_path,
        "{tone} {other} -map 0 -map 1 -c:a aac -disposition:a:0 0 -disposition:a:1 default clip.mkv",
        other=other,
    )
    assert pitch(extracted(tmp_path / "clip.mkv")[RATE : 2 * RATE]) == pytest.approx(880, abs=2)


def test_the_first_track_is_heard_where_none_is_the_default(tmp_path: Path) -> None:
    other = "-f lavfi -i sine=frequency=880:duration=3"
    ffmpeg(tmp_path, "{tone} {other} -map 0 -map 1 -c:a aac -disposition:a 0 clip.mkv", other=other)
    assert pitch(extracted(tmp_path / "clip.mkv")[RATE : 2 * RATE]) == pytest.approx(440, abs=2)


def test_a_picture_without_sound_is_said_to_have_none(tmp_path: Path) -> None:
    ffmpeg(tmp_path, "{picture} {h264} clip.mp4")
    with pytest.raises(NoAudioError):
        extracted(tmp_path / "clip.mp4")


@pytest.mark.parametrize(
    "arguments",
    [
        "{picture} {tone} {h264} -c:a aac -movflags +faststart clip.mp4",
        "{picture} {tone} {h264} -c:a aac clip.mkv",
        "{picture} {tone} {h264} -c:a aac clip.flv",
        "{tone} clip.flac",
    ],
    ids=lambda arguments: str(arguments).rsplit(".", maxsplit=1)[-1],
)
def test_a_file_that_breaks_off_is_refused(tmp_path: Path, arguments: str) -> None:
    ffmpeg(tmp_path, arguments)
    (clip,) = tmp_path.glob("clip.*")
    clip.write_bytes(clip.read_bytes()[: int(clip.stat().st_size * 0.45)])
    with pytest.raises(MediaError) as caught:
        extracted(clip)
    assert caught.value.code == "media_truncated"


def test_sound_may_end_before_the_picture(tmp_path: Path) -> None:
    tone = "-f lavfi -i sine=duration=1"
    for name in ("clip.mp4", "clip.mkv", "clip.flv"):
        ffmpeg(tmp_path, "{picture} {short} {h264} -c:a aac {name}", short=tone, name=name)
        assert len(extracted(tmp_path / name)) == pytest.approx(RATE, abs=0.1 * RATE)


def test_no_more_than_the_longest_allowed_is_decoded(tmp_path: Path) -> None:
    ffmpeg(tmp_path, "{tone} clip.wav")
    assert len(extracted(tmp_path / "clip.wav", longest=1.0)) == RATE


@pytest.mark.parametrize("kind", ENCODERS)
def test_a_track_is_encoded_whole(tmp_path: Path, kind: AudioFormat) -> None:
    ffmpeg(tmp_path, "{tone} -ar 48000 -ac 2 track.wav")
    dest = tmp_path / f"dub.{kind}"
    seconds = waited(encode_audio(tmp_path / "track.wav", dest, kind))
    assert seconds == pytest.approx(3.0, abs=0.05)
    assert duration(dest) == pytest.approx(3.0, abs=0.05)
    (stream,) = streams(dest)
    assert (stream["sample_rate"], stream["channels"]) == ("48000", 2)
    assert np.abs(samples(dest)).max() > 0.05
    assert sorted(each.name for each in tmp_path.iterdir()) == [dest.name, "track.wav"]


@pytest.mark.parametrize("seconds", [1.25, 4.5])
def test_a_track_is_padded_or_trimmed_to_the_length_asked_for(tmp_path: Path, seconds: float) -> None:
    ffmpeg(tmp_path, "{tone} track.wav")
    assert waited(encode_audio(tmp_path / "track.wav", tmp_path / "dub.wav", "wav", seconds=seconds)) == seconds


def test_the_original_of_a_video_can_be_encoded_as_it_is(tmp_path: Path) -> None:
    ffmpeg(tmp_path, "{picture} {tone} {h264} -c:a aac clip.mp4")
    waited(encode_audio(tmp_path / "clip.mp4", tmp_path / "out.mp3"))
    (stream,) = streams(tmp_path / "out.mp3")
    assert (stream["codec_name"], stream["channels"]) == ("mp3", 1)


def test_encoding_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt ")
    (tmp_path / "dub.mp3").write_bytes(b"before")
    with pytest.raises(MediaError):
        waited(encode_audio(tmp_path / "broken.wav", tmp_path / "dub.mp3"))
    assert (tmp_path / "dub.mp3").read_bytes() == b"before"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["broken.wav", "dub.mp3"]
