from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.dubbing.onsets import LEAD_S, Samples, set_in, snap
from orchestrator.dubbing.timeline import UNTIMED, Interval, Word

SPEECH = [Interval(1.0, 3.0), Interval(5.0, 7.0)]


@pytest.mark.parametrize(
    ("start", "end", "snapped"),
    [
        (1.2, 1.8, (1.2, 1.8)),  # inside speech
        (0.6, 1.4, (1.0 - LEAD_S, 1.4)),  # begins in the silence before
        (4.4, 5.5, (5.0 - LEAD_S, 5.5)),
        (2.6, 3.5, (2.6, 3.0 + LEAD_S)),  # ends in the silence after
        (2.5, 5.5, (2.5, 5.5)),  # spans a pause
        (0.0, 9.0, (1.0 - LEAD_S, 7.0 + LEAD_S)),
        (3.5, 4.5, (3.5, 4.5)),  # wholly in silence
        (8.0, 9.0, (8.0, 9.0)),
        (0.1, 0.2, (0.1, 0.2)),
        (2.0, 2.0, (2.0, 2.0)),
    ],
)
def test_words_are_moved_out_of_silence(start: float, end: float, snapped: tuple[float, float]) -> None:
    (word,) = snap([Word(" x", start, end)], SPEECH)
    assert (word.start, word.end) == pytest.approx(snapped)


def test_without_voice_activity_words_stay() -> None:
    assert snap([Word(" x", 1.0, 2.0)], []) == [Word(" x", 1.0, 2.0)]


def test_untimed_words_stay_untimed() -> None:
    (word,) = snap([Word(" 5", UNTIMED, UNTIMED)], SPEECH)
    assert word.start != word.start


@given(
    st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5)), max_size=20),
    st.lists(st.tuples(st.floats(0.1, 3), st.floats(0.01, 3)), max_size=20),
)
def test_words_stay_in_order_and_within_their_own_time(
    parts: list[tuple[float, float]], stretches: list[tuple[float, float]]
) -> None:
    clock, words = 0.0, []
    for pause, length in parts:
        words.append(Word(" x", clock + pause, clock + pause + length))
        clock += pause + length
    at, speech = 0.0, []
    for pause, length in stretches:
        speech.append(Interval(at + pause, at + pause + length))
        at += pause + length
    snapped = snap(words, speech)
    for before, after in zip(words, snapped, strict=True):
        assert before.start <= after.start <= after.end <= before.end
    for word, following in pairwise(snapped):
        assert word.start <= following.start


RATE = 16_000


def voiced(*stretches: tuple[float, float], noise: float = 0.002) -> Samples:
    """Six seconds of faint noise with a tone in each stretch."""
    chance = np.random.default_rng(1)
    sound = noise * chance.uniform(-1, 1, 6 * RATE)
    for start, end in stretches:
        at = np.arange(round(start * RATE), round(end * RATE))
        sound[at] += 0.3 * np.sin(at * 0.2)
    return sound.astype(np.float32)


@pytest.mark.parametrize("off", [-0.12, -0.05, 0.0, 0.04, 0.09])
def test_a_word_after_a_pause_begins_where_the_voice_sets_in(off: float) -> None:
    (word,) = set_in([Word(" x", 1.0 + off, 1.6)], voiced((1.0, 1.6)), RATE)
    assert word.start == pytest.approx(1.0, abs=0.0101)
    assert word.end == 1.6


def test_breath_before_a_word_and_a_click_are_no_onset() -> None:
    sound = voiced((1.0, 1.6)) + voiced((0.85, 0.99), noise=0) * np.float32(0.07)
    sound[round(0.92 * RATE)] = 0.5
    (word,) = set_in([Word(" x", 0.93, 1.6)], sound, RATE)
    assert word.start == pytest.approx(1.0, abs=0.0101)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([Word(" a", 0.95, 1.3), Word(" b", 1.35, 1.8)], "b follows at once"),
        ([Word(" b", 1.3, 1.8)], "the voice is there already"),
        ([Word(" b", 3.0, 3.5)], "nobody speaks"),
        ([Word(" b", 9.0, 9.5)], "beyond the sound"),
        ([Word(" b", 1.0, 1.0)], "no length"),
        ([Word(" b", UNTIMED, UNTIMED)], "no time"),
    ],
)
def test_where_no_onset_can_be_told_a_word_stays(words: list[Word], why: str) -> None:
    assert set_in(words, voiced((1.0, 1.9), noise=0), RATE)[-1] is words[-1], why


@given(
    st.lists(st.tuples(st.floats(0.01, 0.6), st.floats(0.0, 0.5)), max_size=8),
    st.lists(st.tuples(st.floats(0, 5), st.floats(0.05, 1)), max_size=4),
)
def test_words_stay_in_order_and_none_is_turned_round(
    lengths: list[tuple[float, float]], tones: list[tuple[float, float]]
) -> None:
    words, clock = [], 0.0
    for length, pause in lengths:
        words.append(Word(" x", clock, clock + length))
        clock += length + pause
    moved = set_in(words, voiced(*((start, min(6.0, start + length)) for start, length in tones)), RATE)
    assert all(word.start <= word.end for word in moved)
    assert all(one.end <= other.start for one, other in pairwise(moved))
    assert [word.end for word in moved] == [word.end for word in words]
