"""The original's sound for the mix, of every layout, rate and length."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from orchestrator.dubbing.loudness import Loudness
from orchestrator.media.audio import NoAudioError
from orchestrator.media.loudness import measure_loudness
from orchestrator.media.merge import merge
from orchestrator.media.original import extract_original
from tests.orchestrator.media.clips import ffmpeg, loud_from, waited

RATE = 48_000
Samples = npt.NDArray[np.float32]


def extracted(path: Path, seconds: float = 3.0) -> tuple[Samples, Loudness]:
    dest = path.with_name("original.wav")
    loudness = waited(extract_original(path, dest, seconds))
    samples, rate = soundfile.read(dest, dtype="float32", always_2d=True)
    assert rate == RATE
    return samples, loudness


def noise(channels: int, rate: int = RATE, seconds: float = 3.0) -> Samples:
    return np.random.default_rng(0).normal(0, 0.05, (round(seconds * rate), channels)).astype(np.float32)


def test_stereo_stays_as_it_is(tmp_path: Path) -> None:
    sound = noise(2)
    soundfile.write(tmp_path / "a.wav", sound, RATE, "FLOAT")
    samples, _ = extracted(tmp_path / "a.wav")
    assert np.allclose(samples, sound, atol=1e-6)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 96_000])
def test_mono_of_any_rate_lies_in_the_middle(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "a.wav", noise(1, rate), rate, "FLOAT")
    samples, loudness = extracted(tmp_path / "a.wav")
    assert abs(len(samples) - 3 * RATE) <= 1
    assert np.array_equal(samples[:, 0], samples[:, 1])
    assert -50 < loudness.integrated < -10


def test_of_surround_sound_centre_and_surrounds_go_to_their_sides_and_the_low_effects_nowhere(tmp_path: Path) -> None:
    sound = noise(6)
    soundfile.write(tmp_path / "plain.wav", sound, RATE, "FLOAT")
    ffmpeg(tmp_path, "-i plain.wav -af pan=5.1|c0=c0|c1=c1|c2=c2|c3=c3|c4=c4|c5=c5 -c:a flac a.flac")
    left, right, centre, low, back_left, back_right = sound.T
    del low
    samples, _ = extracted(tmp_path / "a.flac")
    assert np.allclose(samples[:, 0], left + 0.7071 * (centre + back_left), atol=1e-3)
    assert np.allclose(samples[:, 1], right + 0.7071 * (centre + back_right), atol=1e-3)


def test_seven_channels_and_more_are_mixed_down_too(tmp_path: Path) -> None:
    ffmpeg(tmp_path, "-f lavfi -i aevalsrc='0.1*sin(600*t)|0|0|0|0|0|0|0:c=7.1:d=3' a.flac")
    samples, _ = extracted(tmp_path / "a.flac")
    assert np.abs(samples).max(axis=0) == pytest.approx([0.1, 0.0], abs=0.01)


def test_sound_above_full_scale_is_not_clipped(tmp_path: Path) -> None:
    sound = noise(2) * 50
    soundfile.write(tmp_path / "a.wav", sound, RATE, "FLOAT")
    samples, loudness = extracted(tmp_path / "a.wav")
    assert np.abs(samples).max() == pytest.approx(np.abs(sound).max())
    assert loudness.true_peak > 0


def test_a_longer_source_is_cut_and_a_shorter_one_left_short(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(2), RATE, "FLOAT")
    assert len(extracted(tmp_path / "a.wav", 1.25)[0]) == round(1.25 * RATE)
    assert len(extracted(tmp_path / "a.wav", 60.0)[0]) == 3 * RATE


def test_a_track_that_begins_late_stays_late(tmp_path: Path) -> None:
    ffmpeg(tmp_path, "{picture} -itsoffset 0.7 {tone} {h264} -c:a aac late.mkv")
    samples, _ = extracted(tmp_path / "late.mkv", 3.0)
    assert loud_from(samples) / RATE == pytest.approx(0.7, abs=0.03)


def test_a_file_without_sound_is_refused(tmp_path: Path) -> None:
    ffmpeg(tmp_path, "{picture} {h264} mute.mp4")
    with pytest.raises(NoAudioError):
        extracted(tmp_path / "mute.mp4")


@pytest.mark.parametrize(
    ("coding", "late"),
    [("-c:a aac", ""), ("-c:a pcm_s16le", ""), ("-c:a libmp3lame", ""), ("-c:a aac", "-itsoffset 0.7")],
)
def test_out_of_a_video_of_ours_it_sounds_when_it_did(tmp_path: Path, coding: str, late: str) -> None:
    soundfile.write(tmp_path / "dub.wav", noise(2), RATE)
    ffmpeg(tmp_path, f"{{picture}} {late} {{tone}} {{h264}} -t 3 {coding} clip.mov")
    waited(merge(tmp_path / "clip.mov", tmp_path / "dub.wav", tmp_path / "ours.mp4"))
    before, _ = extracted(tmp_path / "clip.mov")
    after = tmp_path / "after.wav"
    waited(extract_original(tmp_path / "ours.mp4", after, 3.0, redone=True))
    found, _ = soundfile.read(after, dtype="float32", always_2d=True)
    shared = slice(round(0.8 * RATE), round(2.8 * RATE))
    assert abs(len(found) - len(before)) <= 1024
    assert np.allclose(found[shared], before[shared], atol=0.02)


COMPLAINTS = ("No space left on device", "Out of memory", "File too large", "x\n[error] Disk quota exceeded")
CHAPTER = ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle=Out of memory\n"


@pytest.mark.parametrize("complaint", COMPLAINTS)
@pytest.mark.parametrize("field", ["title", "description", "comment"])
def test_what_a_file_says_of_itself_is_no_failure_of_ours(tmp_path: Path, field: str, complaint: str) -> None:
    ffmpeg(tmp_path, f"{{tone}} -metadata {field}='{complaint}' -c:a aac a.mp4")
    samples, loudness = extracted(tmp_path / "a.mp4")
    assert len(samples) / RATE == pytest.approx(3.0, abs=0.03)
    assert -40 < loudness.integrated < -10
    assert -40 < waited(measure_loudness(tmp_path / "a.mp4")).integrated < -10


def test_a_chapters_name_is_no_failure_of_ours(tmp_path: Path) -> None:
    (tmp_path / "chapters.txt").write_text(CHAPTER, "utf-8")
    ffmpeg(tmp_path, "{tone} -f ffmetadata -i chapters.txt -map_metadata 1 -map_chapters 1 -map 0 -c:a aac a.mkv")
    assert extracted(tmp_path / "a.mkv")[1].integrated > -40
