from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.dubbing.onsets import LEAD_S, snap
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
