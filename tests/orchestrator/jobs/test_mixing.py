"""A dub over music: what is left of it, whether the voice is over it, how loud the whole is."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from orchestrator.dubbing.balance import Levels
from orchestrator.dubbing.mix import RATE
from orchestrator.jobs.mixing import Bed, Track, mixed
from orchestrator.media.loudness import measure_loudness
from orchestrator.media.original import extract_original

Samples = npt.NDArray[np.float32]

SECONDS = 14
LINES = [(2.0, 4.5), (6.5, 8.0), (9.0, 11.0)]
"""When the dub speaks."""
SETTLED_S = 0.7
"""After this long the original is back."""


def music(seconds: float = SECONDS) -> Samples:
    """Chords that change every two seconds, with other voices left than right, [n, 2]."""
    clock = np.arange(round(seconds * RATE)) / RATE
    chord = (clock // 2).astype(int) % 4
    roots = np.array([220.0, 174.6, 261.6, 196.0])[chord]
    decay = np.exp(-(clock % 0.5) * 3)
    left = sum(np.sin(2 * np.pi * roots * ratio * clock) for ratio in (1, 1.25, 2.0))
    right = sum(np.sin(2 * np.pi * roots * ratio * clock + 1) for ratio in (1, 1.5, 3.0))
    hats = np.random.default_rng(1).normal(0, 0.4, (len(clock), 2)) * np.exp(-(clock % 0.25) * 40)[:, None]
    tones = np.stack([np.asarray(left), np.asarray(right)], axis=1) * decay[:, None]
    return (0.08 * (tones + hats)).astype(np.float32)


def voice(seconds: float = SECONDS) -> Samples:
    """Something like speech where the lines are, [n, 1]."""
    clock = np.arange(round(seconds * RATE)) / RATE
    buzz = np.asarray(sum(np.sin(2 * np.pi * 130 * k * clock + k * k) / k for k in range(1, 25)))
    spoken = np.zeros(len(clock))
    for start, end in LINES:
        spoken[round(start * RATE) : round(end * RATE)] = 1
    shaped: Samples = (0.1 * buzz * spoken * np.clip(np.sin(2 * np.pi * 3 * clock), 0.1, 1)).astype(np.float32)
    return shaped[:, None]


def between_lines(total: int) -> npt.NDArray[np.bool_]:
    free = np.ones(total, bool)
    for start, end in LINES:
        free[round((start - 0.01) * RATE) : round((end + SETTLED_S) * RATE)] = False
    return free


async def blocks(stem: Samples) -> AsyncIterator[Samples]:
    for at in range(0, len(stem), 10 * RATE):
        yield stem[at : at + 10 * RATE]


def mix_of(
    folder: Path, original: Samples | None, goal: float = -16.0, levels: Levels | None = None, ducked: bool = True
) -> tuple[Track, Samples]:
    async def make() -> Track:
        bed = None
        if original is not None:
            soundfile.write(folder / "music.wav", original, RATE, "FLOAT")
            loudness = await extract_original(folder / "music.wav", folder / "bed.wav", SECONDS)
            bed = Bed(folder / "bed.wav", loudness, ducked=ducked)
        return await mixed(blocks(voice()), bed, folder, goal, levels=levels)

    track = asyncio.run(make())
    return track, soundfile.read(track.path, dtype="float32")[0]


def correlation(one: npt.NDArray[np.floating], other: npt.NDArray[np.floating]) -> float:
    return float(np.corrcoef(one, other)[0, 1])


@pytest.fixture(scope="module")
def over(tmp_path_factory: pytest.TempPathFactory) -> tuple[Track, Samples]:
    """A voice-over, and its samples."""
    return mix_of(tmp_path_factory.mktemp("over"), music())


def test_between_the_lines_of_a_voice_over_the_original_is_what_it_was(over: tuple[Track, Samples]) -> None:
    original, samples = music(), over[1]
    free = between_lines(len(samples))
    assert samples.shape == original.shape
    for side in (0, 1):
        assert correlation(samples[free, side], original[free, side]) >= 0.95
    assert correlation(*samples[free].T) == pytest.approx(correlation(*original[free].T), abs=0.01)


@pytest.mark.parametrize("goal", [-23.0, -14.0])
def test_the_whole_comes_to_the_loudness_asked_for(tmp_path: Path, goal: float) -> None:
    track, _ = mix_of(tmp_path, music(), goal)
    heard = asyncio.run(measure_loudness(track.path))
    assert heard.integrated == pytest.approx(goal, abs=0.5)
    assert heard.true_peak <= -1.0
    assert heard == track.loudness


def test_under_the_lines_the_original_is_far_below_what_it_is_between_them(over: tuple[Track, Samples]) -> None:
    original, samples = music(), over[1]
    # Only the sides are looked at: the dub is in the middle alone.
    under, width = (each - each.mean(axis=1, keepdims=True) for each in (samples, original))
    spoken = np.zeros(len(samples), bool)
    for start, end in LINES:
        spoken[round((start + 0.05) * RATE) : round(end * RATE)] = True
    ducked, untouched = (np.std(under[at]) / np.std(width[at]) for at in (spoken, between_lines(len(samples))))
    assert 20 * np.log10(ducked / untouched) < -12


def test_the_dub_lies_in_the_middle(tmp_path: Path) -> None:
    _, samples = mix_of(tmp_path, np.zeros((SECONDS * RATE, 2), np.float32))
    assert np.array_equal(samples[:, 0], samples[:, 1])
    assert np.abs(samples).max() > 0.1


def test_a_bed_that_is_not_ducked_stays_as_it_is_under_the_lines_too(tmp_path: Path) -> None:
    original = music()
    track, samples = mix_of(tmp_path, original, ducked=False)
    assert track.levels.bed_db is not None
    factor = 10 ** ((track.levels.bed_db + track.levels.gain_db) / 20)
    sides = samples[:, 0] - samples[:, 1], (original[:, 0] - original[:, 1]) * factor
    assert correlation(*sides) > 0.99
    assert np.std(sides[0]) == pytest.approx(np.std(sides[1]), rel=0.1)


@pytest.mark.parametrize("seconds", [4.0, 20.0])
def test_a_bed_shorter_or_longer_than_the_dub_changes_nothing_of_its_length(tmp_path: Path, seconds: float) -> None:
    _, samples = mix_of(tmp_path, music(seconds))
    assert samples.shape == (SECONDS * RATE, 2)
    sides = np.abs(samples[:, 0] - samples[:, 1])
    assert (sides[12 * RATE :].max() > 0.01) == (seconds > SECONDS)


@pytest.mark.parametrize("over", [True, False])
def test_given_the_gains_of_an_earlier_mix_it_comes_out_the_same_sample_by_sample(tmp_path: Path, over: bool) -> None:
    original = music() if over else None
    first, before = mix_of(tmp_path, original)
    again, after = mix_of(tmp_path, original, goal=-23.0, levels=first.levels)
    assert again.levels == first.levels
    # A limiter that was not needed before now holds its ceiling too.
    assert np.abs(after - before).max() <= 1 / 32768
    assert again.loudness.integrated == pytest.approx(first.loudness.integrated, abs=0.1)
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".wav") == sorted(
        ["dub.wav", *(["music.wav", "bed.wav"] if over else [])]
    )
