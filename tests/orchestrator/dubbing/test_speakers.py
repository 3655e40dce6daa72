"""Speakers of pieces become those of the whole, and every word gets one."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.dubbing.speakers import (
    OVERLAP_S,
    PIECE_S,
    Turn,
    alone,
    around,
    cast,
    joined,
    pieces,
    seconds_by_speaker,
    spoken_by,
)
from orchestrator.dubbing.timeline import Interval, Word

LONG_S = 2 * PIECE_S


def talk(seconds: float, people: int, seed: int = 0) -> list[Turn]:
    """A conversation in which all of them speak within any minute."""
    chance = random.Random(seed)
    turns: list[Turn] = []
    at, who = 0.0, 0
    while at < seconds:
        end = min(seconds, at + chance.uniform(3, 50 / people))
        turns.append(Turn(at, end, f"P{who % people}"))
        at, who = end + chance.uniform(0.1, 1), who + 1
    return turns


def heard(turns: list[Turn], span: Interval, seed: int) -> list[Turn]:
    """What a model tells of one piece: names of its own, by chance."""
    names = sorted({turn.speaker for turn in turns})
    random.Random(seed).shuffle(names)
    own = {name: f"S{at}" for at, name in enumerate(names)}
    return [
        Turn(max(turn.start, span.start), min(turn.end, span.end), own[turn.speaker])
        for turn in turns
        if turn.end > span.start and turn.start < span.end
    ]


@given(st.integers(1, 5), st.integers(0, 1000), st.floats(5, 3 * PIECE_S))
def test_people_keep_their_name_through_all_pieces(people: int, seed: int, seconds: float) -> None:
    turns = talk(seconds, people, seed)
    spans = pieces(seconds)
    whole = joined(spans, [heard(turns, span, seed + at) for at, span in enumerate(spans)])
    numbers = {name: f"SPEAKER_{at:02d}" for at, name in enumerate(dict.fromkeys(turn.speaker for turn in turns))}
    for turn in turns:
        middle = (turn.start + turn.end) / 2
        assert [each.speaker for each in whole if each.start <= middle < each.end] == [numbers[turn.speaker]]
    assert sum(seconds_by_speaker(whole).values()) == pytest.approx(sum(turn.end - turn.start for turn in turns))


@given(st.floats(0.1, 20 * PIECE_S))
def test_pieces_cover_the_recording_and_overlap(seconds: float) -> None:
    spans = pieces(seconds)
    assert spans[0].start == 0
    assert spans[-1].end == seconds
    assert all(span.end - span.start <= PIECE_S for span in spans)
    assert all(one.end - other.start >= OVERLAP_S for one, other in pairwise(spans))


def test_somebody_who_was_silent_in_the_overlap_is_known_again_where_as_many_are_known_as_there_are() -> None:
    spans = pieces(LONG_S)
    first = [Turn(0, 100, "a"), Turn(100, 200, "b"), Turn(500, 590, "a")]
    second = [Turn(545, 590, "x"), Turn(700, 800, "y")]
    turns = joined(spans, [first, second, []], most=2)
    assert [turn.speaker for turn in turns] == ["SPEAKER_00", "SPEAKER_01", "SPEAKER_00", "SPEAKER_01"]
    unknown = joined(spans, [first, second, []])
    assert [turn.speaker for turn in unknown][-1] == "SPEAKER_02", "a stranger, as far as anybody can tell"


def test_a_word_is_said_by_whoever_speaks_most_of_it() -> None:
    turns = [Turn(0, 1.1, "a"), Turn(1.0, 3, "b")]
    words = [Word("one", 0.2, 0.8), Word("two", 0.9, 1.6), Word("three", 3.2, 3.4), Word("four", 9, 9.5)]
    assert [word.speaker for word in spoken_by(words, turns)] == ["a", "b", "b", None]


def test_an_interjection_shorter_than_a_quarter_of_a_second_is_no_change_of_speaker() -> None:
    turns = [Turn(0, 1, "a"), Turn(1, 1.2, "b"), Turn(1.2, 3, "a")]
    words = [Word("one", 0.5, 1), Word("two", 1, 1.2), Word("three", 1.2, 2)]
    assert [word.speaker for word in spoken_by(words, turns)] == ["a", "a", "a"]


def test_nobody_else_speaks_where_somebody_is_alone() -> None:
    turns = [Turn(0, 10, "a"), Turn(2, 3, "b"), Turn(9, 12, "c"), Turn(11, 20, "a"), Turn(30, 31, "a")]
    assert alone("a", turns) == [Interval(0, 2), Interval(3, 9), Interval(12, 20), Interval(30, 31)]
    assert alone("b", turns) == []


@given(st.lists(st.tuples(st.floats(0, 90), st.floats(0.1, 20), st.sampled_from("abc")), max_size=30))
def test_alone_is_what_counting_every_tenth_of_a_second_says(given_turns: list[tuple[float, float, str]]) -> None:
    turns = sorted(
        (Turn(start, start + length, who) for start, length, who in given_turns), key=lambda each: each.start
    )
    free = alone("a", turns)
    for at in (tenth / 10 + 0.05 for tenth in range(1100)):
        speaking = {turn.speaker for turn in turns if turn.start < at < turn.end}
        on_an_edge = any(at in (turn.start, turn.end) for turn in turns)
        assert on_an_edge or (speaking == {"a"}) == any(each.start < at < each.end for each in free)


def test_a_turn_of_minutes_is_around_everything_that_is_heard_in_it() -> None:
    turns = [Turn(0, 300, "a"), Turn(100, 101, "b"), Turn(250, 251, "c")]
    (found,) = around(turns, [Interval(200, 228)])
    assert [turn.speaker for turn in found] == ["a"]


@given(
    st.lists(st.tuples(st.floats(0, 90), st.floats(0.1, 80)), max_size=20),
    st.tuples(st.floats(0, 100), st.floats(0.1, 30)),
)
def test_what_sounds_within_a_second_of_a_span_is_around_it(
    given_turns: list[tuple[float, float]], at: tuple[float, float]
) -> None:
    turns = [Turn(start, start + length, str(number)) for number, (start, length) in enumerate(sorted(given_turns))]
    span = Interval(at[0], at[0] + at[1])
    (found,) = around(turns, [span])
    assert found == [turn for turn in turns if turn.end > span.start - 1 and turn.start <= span.end + 1]


def test_who_speaks_most_is_given_the_first_voice_and_voices_are_shared_when_they_run_out() -> None:
    seconds = {"SPEAKER_00": 10.0, "SPEAKER_01": 90.0, "SPEAKER_02": 50.0}
    assert cast(seconds, ["x", "y"]) == {"SPEAKER_01": "x", "SPEAKER_02": "y", "SPEAKER_00": "x"}
