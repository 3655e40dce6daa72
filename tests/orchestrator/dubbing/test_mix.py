import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.dubbing.mix import FADE_S, RATE, Samples, blocks, render, resample, resampled_length, sound
from orchestrator.dubbing.timeline import Clip

FADE = round(FADE_S * RATE)


def ones(clip: Clip) -> Samples:
    return np.ones(clip.samples, np.float32)


def noise(clip: Clip) -> Samples:
    return np.random.default_rng(int(clip.key)).uniform(-1, 1, clip.samples).astype(np.float32)


def test_a_clip_sounds_from_its_onset_to_the_sample() -> None:
    track = render([Clip("0", 1000, 4800)], ones, 0, 10_000)
    sounding = np.flatnonzero(track[:, 0])
    assert track.shape == (10_000, 2)
    assert track.dtype == np.float32
    # The very first and last samples of the fades are zero.
    assert (sounding[0], sounding[-1]) == (1001, 1000 + 4800 - 2)
    assert np.all(track[1000 + FADE : 5800 - FADE] == 1.0)


def test_both_sides_carry_a_mono_voice_alike() -> None:
    track = render([Clip("3", 0, 4800)], noise, 0, 4800)
    assert np.array_equal(track[:, 0], track[:, 1])


def test_a_stereo_clip_keeps_its_sides() -> None:
    track = render(
        [Clip("0", 0, 4800)], lambda clip: np.tile(np.array([1.0, -0.5], np.float32), (clip.samples, 1)), 0, 4800
    )
    assert track[2400].tolist() == [1.0, -0.5]


def test_edges_do_not_click() -> None:
    track = render([Clip("0", 100, 4800)], ones, 0, 6000, channels=1)
    assert np.abs(np.diff(track[:, 0])).max() < 0.01


def test_gain_is_linear() -> None:
    track = render([Clip("0", 0, 4800, gain=0.5)], ones, 0, 4800, channels=1)
    assert track.max() == 0.5


@pytest.mark.parametrize("samples", [0, 1, 2, 3, FADE, 2 * FADE])
def test_clips_shorter_than_their_fades_are_fine(samples: int) -> None:
    assert render([Clip("0", 5, samples)], ones, 0, 1000, channels=1).shape == (1000, 1)


def test_a_clip_of_another_length_than_planned_is_refused() -> None:
    with pytest.raises(ValueError, match="clip 'a' has 10 samples, its plan says 20"):
        sound(Clip("a", 0, 20), lambda _: np.zeros(10, np.float32))


@given(
    st.lists(st.tuples(st.integers(0, 30_000), st.integers(0, 9_000)), max_size=12),
    st.integers(1, 7_000),
    st.integers(0, 40_000),
)
def test_the_mix_does_not_depend_on_the_blocks_it_is_rendered_in(
    parts: list[tuple[int, int]], size: int, total: int
) -> None:
    clips = [Clip(str(at), onset, samples) for at, (onset, samples) in enumerate(parts)]
    whole = render(sorted(clips, key=lambda clip: clip.onset), noise, 0, total, channels=1)
    pieces = list(blocks(clips, noise, total, channels=1, size=size))
    assert all(len(piece) <= size for piece in pieces)
    joined = np.concatenate(pieces) if pieces else np.zeros((0, 1), np.float32)
    assert np.allclose(joined, whole, atol=1e-6)


def test_each_clip_is_read_once_however_many_blocks_it_spans() -> None:
    read: list[str] = []

    def note(clip: Clip) -> Samples:
        read.append(clip.key)
        return ones(clip)

    list(blocks([Clip("b", 500, 900), Clip("a", 0, 4000)], note, 5000, size=100))
    assert read == ["a", "b"]


def test_nothing_is_read_before_its_time_comes() -> None:
    read: list[str] = []

    def note(clip: Clip) -> Samples:
        read.append(clip.key)
        return ones(clip)

    rendered = blocks([Clip("late", 950, 100)], note, 2000, size=100)
    for _ in range(9):
        next(rendered)
    assert read == []


@pytest.mark.parametrize("rate", [16_000, 22_050, 24_000, 44_100, 48_000])
def test_resampling_keeps_length_and_pitch(rate: int) -> None:
    seconds = 1.37
    samples = np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate).astype(np.float32)
    result = resample(samples, rate)
    assert result.dtype == np.float32
    assert len(result) == resampled_length(len(samples), rate)
    spectrum = np.abs(np.fft.rfft(result * np.hanning(len(result))))
    assert np.argmax(spectrum) * RATE / len(result) == pytest.approx(440, abs=1)
