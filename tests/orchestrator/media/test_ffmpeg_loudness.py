import math
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyloudnorm
import pytest
import soundfile

from orchestrator.dubbing.loudness import Loudness
from orchestrator.media.audio import encode_audio
from orchestrator.media.failures import MediaError
from orchestrator.media.loudness import RATE, levelled, measure_loudness, parse, write_track
from tests.orchestrator.media.clips import ffmpeg, loud_from, waited

Samples = npt.NDArray[np.float32]


def speech(seconds: float, peak: float, channels: int = 1) -> Samples:
    """Something like a voice: a low tone with overtones in syllables, with pauses, [n, channels]."""
    clock = np.arange(round(seconds * RATE)) / RATE
    voice = sum(np.sin(2 * np.pi * 130 * k * clock + k * k) / k for k in range(1, 25))
    syllables = np.clip(np.sin(2 * np.pi * 3 * clock), 0, 1) ** 2 * (np.sin(2 * np.pi * 0.25 * clock) > -0.7)
    shaped = np.asarray(voice) * syllables
    return np.repeat((shaped / np.abs(shaped).max() * peak).astype(np.float32)[:, None], channels, axis=1)


def written(samples: Samples, path: Path, block: int = 480_000) -> Loudness:
    async def blocks() -> AsyncIterator[Samples]:
        for at in range(0, len(samples), block):
            yield samples[at : at + block]

    return waited(write_track(blocks(), path, samples.shape[1]))


@pytest.mark.parametrize(("channels", "peak"), [(1, 0.05), (1, 0.9), (2, 0.3)])
def test_a_dub_comes_to_its_loudness_and_its_peak_holds_after_encoding(
    tmp_path: Path, channels: int, peak: float
) -> None:
    raw, dub = tmp_path / "raw.wav", tmp_path / "dub.wav"
    reached = waited(levelled(raw, dub, written(speech(6.0, peak, channels), raw))).loudness
    assert reached.integrated == pytest.approx(-16.0, abs=0.6)
    assert reached.true_peak <= -1.4
    data, rate = soundfile.read(dub)
    assert (data.shape, rate) == ((6 * RATE, 2), RATE)
    assert pyloudnorm.Meter(RATE).integrated_loudness(data) == pytest.approx(-16.0, abs=0.7)
    ffmpeg(tmp_path, "-i dub.wav -c:a aac -b:a 160k dub.m4a")
    waited(encode_audio(dub, tmp_path / "dub.mp3"))
    for encoded in ("dub.m4a", "dub.mp3"):
        heard = waited(measure_loudness(tmp_path / encoded))
        assert heard.true_peak <= -1.0, encoded
        assert heard.integrated == pytest.approx(-16.0, abs=1.0), encoded


def test_writing_measures_what_a_second_meter_does(tmp_path: Path) -> None:
    samples = speech(6.0, 0.5, 2)
    measured = written(samples, tmp_path / "raw.wav", block=100_001)
    assert measured.integrated == pytest.approx(pyloudnorm.Meter(RATE).integrated_loudness(samples), abs=0.15)
    assert measured.true_peak == pytest.approx(20 * math.log10(0.5), abs=0.2)
    assert np.array_equal(soundfile.read(tmp_path / "raw.wav", dtype="float32")[0], samples)


def test_mono_is_measured_as_it_is_played_on_both_sides(tmp_path: Path) -> None:
    mono = written(speech(4.0, 0.5, 1), tmp_path / "mono.wav")
    stereo = written(speech(4.0, 0.5, 2), tmp_path / "stereo.wav")
    assert mono.integrated == pytest.approx(stereo.integrated, abs=0.1)


def test_silence_is_left_alone(tmp_path: Path) -> None:
    measured = written(np.zeros((RATE, 1), np.float32), tmp_path / "raw.wav")
    assert measured.is_silent
    assert waited(levelled(tmp_path / "raw.wav", tmp_path / "dub.wav", measured)).loudness.is_silent
    data, _ = soundfile.read(tmp_path / "dub.wav")
    assert data.shape == (RATE, 2)
    assert not data.any()


def test_nothing_is_moved_by_a_sample(tmp_path: Path) -> None:
    samples = np.concatenate([np.zeros((54_321, 1), np.float32), speech(3.0, 0.8)])
    samples[54_321] = 0.8
    measured = written(samples, tmp_path / "raw.wav", block=10_000)
    waited(levelled(tmp_path / "raw.wav", tmp_path / "dub.wav", measured))
    data, _ = soundfile.read(tmp_path / "dub.wav")
    assert loud_from(data) == 54_321
    assert len(data) == len(samples)


def test_another_loudness_can_be_asked_for(tmp_path: Path) -> None:
    measured = written(speech(4.0, 0.5), tmp_path / "raw.wav")
    reached = waited(levelled(tmp_path / "raw.wav", tmp_path / "dub.wav", measured, goal=-23.0)).loudness
    assert reached.integrated == pytest.approx(-23.0, abs=0.3)


def test_a_report_without_a_summary_is_an_error() -> None:
    with pytest.raises(MediaError, match="could not be measured"):
        parse("nothing of interest")


def test_the_report_of_silence_is_read() -> None:
    report = (
        "Summary:\n\n  Integrated loudness:\n    I:         -70.0 LUFS\n  Loudness range:\n    LRA:         0.0 LU\n"
    )
    found = parse(report + "  True peak:\n    Peak:       -inf dBFS\n")
    assert found == Loudness(-70.0, -math.inf, 0.0)
