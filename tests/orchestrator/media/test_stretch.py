"""Tempo by ffmpeg's own filters, the length held to the sample."""

import os
import stat
from pathlib import Path

import numpy as np
import pytest

from orchestrator.media.stretch import RATE, Samples, Stretcher

pytestmark = pytest.mark.anyio

LENGTH = 2 * RATE
PITCH = 220


def tone(samples: int = LENGTH) -> Samples:
    """Silence of 10 ms, then a tone."""
    made: Samples = (0.3 * np.sin(np.arange(samples) * (2 * np.pi * PITCH / RATE))).astype(np.float32)
    made[: RATE // 100] = 0
    return made


def pitch_of(samples: Samples) -> float:
    middle = samples[len(samples) // 4 : -len(samples) // 4]
    return float(np.argmax(np.abs(np.fft.rfft(middle)))) * RATE / len(middle)


@pytest.mark.parametrize("name", ["rubberband", "atempo"])
@pytest.mark.parametrize("count", [LENGTH + 1, round(LENGTH / 0.85), round(LENGTH / 1.4), 3 * RATE // 2])
async def test_speech_is_exactly_as_long_as_wanted_at_its_own_pitch_and_from_its_own_onset(
    name: str, count: int, tmp_path: Path
) -> None:
    made = await Stretcher(name).stretch(tone(), count, tmp_path)  # type: ignore[arg-type]
    assert len(made) == count
    assert pitch_of(made) == pytest.approx(PITCH, abs=3)
    assert np.flatnonzero(np.abs(made) > 0.05)[0] / RATE == pytest.approx(0.01, abs=0.005)
    assert np.flatnonzero(np.abs(made) > 0.05)[-1] >= count - 0.04 * RATE
    assert list(tmp_path.iterdir()) == []


async def test_speech_of_the_wanted_length_is_not_touched(tmp_path: Path) -> None:
    made = tone()
    assert await Stretcher().stretch(made, LENGTH, tmp_path) is made


async def test_a_few_samples_are_stretched_too(tmp_path: Path) -> None:
    assert len(await Stretcher("rubberband").stretch(tone(40), 48, tmp_path)) == 48


async def test_the_same_speech_is_stretched_to_the_same_samples(tmp_path: Path) -> None:
    one, other = [await Stretcher("rubberband").stretch(tone(), RATE, tmp_path) for _ in range(2)]
    assert np.array_equal(one, other)


@pytest.mark.parametrize(("samples", "count"), [(0, 100), (100, 0), (100, -1)])
async def test_nothing_is_not_stretched(samples: int, count: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be made"):
        await Stretcher().stretch(tone(samples), count, tmp_path)


async def test_rubberband_is_taken_where_ffmpeg_has_it() -> None:
    assert await Stretcher.find() == Stretcher("rubberband")


async def test_atempo_is_taken_where_ffmpeg_has_no_rubberband(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho ' ..C atempo            A->A       Adjust audio tempo.'\n")
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert await Stretcher.find() == Stretcher("atempo")
