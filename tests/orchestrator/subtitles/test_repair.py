"""Every rule of every profile is kept wherever the words allow it, and nothing happens to the words."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.dubbing.timeline import Segment
from orchestrator.subtitles.check import ON_GRID_S, Violation, check
from orchestrator.subtitles.cues import Cue, cues_of_segments
from orchestrator.subtitles.repair import repair
from orchestrator.subtitles.rules import PROFILE_NAMES, PROFILES, ProfileName, Rules, rules_for
from tests.orchestrator.subtitles.possible import islands, possible, possible_by_trying_all
from tests.orchestrator.subtitles.transcripts import WORDS, transcripts

UNAVOIDABLE = {"reading_speed", "reading_words", "too_short", "line_break", "late"}
"""What words can force: the rest never is."""
PROFILE = st.sampled_from(PROFILE_NAMES)
slowly = settings(max_examples=4_000, deadline=None, suppress_health_check=list(HealthCheck))


def letters(text: str) -> str:
    return "".join(text.split())


def same_words(cues: Sequence[Cue], text: str) -> None:
    assert letters("".join(cue.text for cue in cues)) == letters(text)


def in_order_and_apart(cues: Sequence[Cue], rules: Rules) -> None:
    assert all(0 <= cue.start < cue.end for cue in cues)
    assert all(following.start - cue.end >= rules.gap - 1e-6 for cue, following in pairwise(cues))


def kept_wherever_possible(segments: list[Segment], profile: ProfileName) -> None:
    rules = rules_for(segments[0].language, PROFILES[profile])
    cues = cues_of_segments(segments, PROFILES[profile])
    same_words(cues, "".join(segment.text for segment in segments))
    in_order_and_apart(cues, rules)
    left = check(cues, rules)
    assert {each.rule for each in left} <= UNAVOIDABLE
    parts = islands(segments, PROFILES[profile])
    begins = [said[0].start / 100 for said, _ in parts]
    broken: list[list[Violation]] = [[] for _ in parts]
    for each in left:
        said = cues[each.index].said
        assert said is not None
        broken[bisect_right(begins, said + ON_GRID_S / 2) - 1].append(each)
    for (words, own), found in zip(parts, broken, strict=True):
        assert bool(found) != possible(words, own), (found, own.name)
        if any(each.rule == "late" for each in found):
            assert not possible(words, own, in_time_alone=True)
    late = {each.index for each in left if each.rule == "late"}
    for at, cue in enumerate(cues):
        assert cue.said is not None
        assert cue.start >= cue.said - rules.early - ON_GRID_S
        assert at in late or cue.start <= cue.said + rules.late + ON_GRID_S


@given(transcripts(), PROFILE)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_rule_is_broken_wherever_the_words_allow_it(segments: list[Segment], profile: ProfileName) -> None:
    kept_wherever_possible(segments, profile)


@pytest.mark.soak
@given(transcripts(most_sentences=25, most_words=30), PROFILE)
@slowly
def test_no_rule_is_broken_wherever_the_words_allow_it_in_thousands_of_transcripts(
    segments: list[Segment], profile: ProfileName
) -> None:
    kept_wherever_possible(segments, profile)


@given(transcripts(most_sentences=3, most_words=3), PROFILE)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_of_few_words_every_cut_is_tried_and_none_is_better(segments: list[Segment], profile: ProfileName) -> None:
    for words, rules in islands(segments, PROFILES[profile]):
        if len(words) <= 10:
            assert possible(words, rules) == possible_by_trying_all(words, rules)
    kept_wherever_possible(segments, profile)


BROKEN_CUES = st.lists(
    st.tuples(
        st.floats(0, 40),
        st.floats(-1, 12),
        st.lists(st.sampled_from([*WORDS["en"], *WORDS["ar"]]), max_size=30).map(" ".join),
    ),
    max_size=12,
)


@given(BROKEN_CUES, PROFILE)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_broken_cues_keep_their_words_in_the_order_of_their_times(
    parts: list[tuple[float, float, str]], profile: ProfileName
) -> None:
    rules = rules_for("en", PROFILES[profile])
    cues = [Cue(start, start + seconds, (text,)) for start, seconds, text in parts]
    done = repair(cues, rules)
    same_words(done.cues, "".join(cue.text for cue in sorted(cues, key=lambda cue: cue.start)))
    in_order_and_apart(done.cues, rules)
    assert {each.rule for each in done.left} <= UNAVOIDABLE
    assert done.left == check(done.cues, rules)
    if not done.left:
        assert repair(done.cues, rules).cues == done.cues


NETFLIX = rules_for("en", PROFILES["netflix"])


def test_cues_without_a_broken_rule_stay_as_they_are() -> None:
    cues = [Cue(1.0, 3.0, ("One line.",)), Cue(3.083, 5.0, ("And", "another."))]
    assert repair(cues, NETFLIX).cues == cues


def test_a_cue_that_is_too_long_is_split_where_the_text_allows_it() -> None:
    text = "She had been waiting for the postman since the early morning, and when he came at last, he had no letter."
    done = repair([Cue(0.0, 9.0, (text,))], NETFLIX)
    assert [cue.lines for cue in done.cues] == [
        ("She had been waiting for the postman", "since the early morning,"),
        ("and when he came at last,", "he had no letter."),
    ]
    assert done.left == []


def test_short_cues_are_shown_longer_where_there_is_silence_and_joined_where_there_is_none() -> None:
    cues = [Cue(0.0, 0.3, ("Yes.",)), Cue(5.0, 5.3, ("No.",)), Cue(5.35, 6.5, ("Not at all.",))]
    done = repair(cues, NETFLIX)
    assert [cue.text for cue in done.cues] == ["Yes.", "No. Not at all."]
    assert done.cues[0].end == pytest.approx(0.84)
    assert done.left == []


def test_overlaps_are_taken_away_and_short_gaps_closed() -> None:
    cues = [Cue(0.0, 4.0, ("The first one.",)), Cue(3.0, 6.0, ("The second.",)), Cue(6.3, 8.0, ("The third.",))]
    done = repair(cues, NETFLIX)
    assert [(cue.start, cue.end) for cue in done.cues] == [(0.0, 2.91), (3.0, 6.21), (6.3, 8.0)]
    assert done.left == []


def test_lines_are_broken_anew() -> None:
    done = repair([Cue(0.0, 4.0, ("She was looking at the", "house behind the trees."))], NETFLIX)
    assert done.cues[0].lines == ("She was looking", "at the house behind the trees.")


def test_what_is_said_too_fast_to_be_read_is_told_with_its_figures() -> None:
    text = "This is much more than anybody could ever read in a second."
    done = repair([Cue(0.0, 1.0, (text,)), Cue(1.1, 2.0, ("Indeed so it is, and this is not any slower.",))], NETFLIX)
    assert {(each.rule, each.limit) for each in done.left} == {("reading_speed", 20.0)}
    same_words(done.cues, text + "Indeed so it is, and this is not any slower.")


def test_two_speakers_never_share_a_cue() -> None:
    cues = [replace(Cue(at * 0.5, at * 0.5 + 0.4, (f"Word {at}.",)), speaker="AB"[at % 2]) for at in range(6)]
    done = repair(cues, NETFLIX)
    assert [cue.speaker for cue in done.cues] == ["A", "B", "A", "B", "A", "B"]
    assert {each.rule for each in done.left} <= UNAVOIDABLE


def test_cues_that_say_nothing_are_left_out() -> None:
    assert repair([Cue(0, 1, ()), Cue(2, 3, (" ",))], NETFLIX).cues == []
