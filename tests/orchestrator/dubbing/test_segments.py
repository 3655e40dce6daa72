import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.dubbing.segments import LONGEST_S, close, interpolate
from orchestrator.dubbing.timeline import UNTIMED, Passage, Segment, Word

ALPHABET = [
    "and",
    "house",
    "Mr.",
    "go.",
    "Why?",
    "well,",
    "U.S.",
    "No.",
    "5",
    "Yes.",
    "...",
    "Then",
    "so…",
    "I",
    "tree",
]


def words(text: str, pauses: dict[str, float] | None = None, language: str = "en", start: float = 0.0) -> list[Word]:
    """Words of 0.3 s, 0.05 s apart; `pauses` gives the pause after a word."""
    clock, made = start, []
    for part in text.split():
        made.append(Word(" " + part, round(clock, 3), round(clock + 0.3, 3), 0.9, language))
        clock += 0.35 + (pauses or {}).get(part, 0.0)
    return made


def texts(passages: Sequence[Passage]) -> list[list[str]]:
    return [[segment.text for segment in passage.segments] for passage in passages]


def all_at_once(heard: Sequence[Word]) -> list[Passage]:
    return close(heard, heard[-1].end if heard else 0.0, final=True)[0]


def test_nothing_heard_closes_nothing() -> None:
    assert close([], 10.0, final=True) == ([], [])


def test_a_passage_closes_at_a_sentence_with_a_pause() -> None:
    heard = words("We went to the house. It was a large one by the sea. Then we left it again.", {"sea.": 0.4})
    assert texts(all_at_once(heard)) == [
        ["We went to the house.", "It was a large one by the sea."],
        ["Then we left it again."],
    ]


@pytest.mark.parametrize(("pause", "count"), [(0.4, 1), (1.4, 1), (1.6, 2)])
def test_a_passage_too_short_for_a_task_of_its_own_takes_what_follows_unless_far_apart(
    pause: float, count: int
) -> None:
    heard = words("We went to the house. It was a large one.", {"house.": pause})
    assert len(all_at_once(heard)) == count


def test_segments_carry_the_times_and_words_they_were_made_of() -> None:
    heard = words("We went to the house.", start=3.0)
    (passage,) = all_at_once(heard)
    assert passage.segments == (Segment(3.0, 4.7, "en", "We went to the house.", tuple(heard)),)


def test_a_sentence_that_goes_on_in_the_next_window_stays_open() -> None:
    heard = words("We went to the house. It was a very", {"house.": 1.6})
    passages, rest = close(heard, heard[-1].end + 0.4, final=False)
    assert texts(passages) == [["We went to the house."]]
    assert rest == heard[5:]
    passages, rest = close([*rest, *words("large one.", start=5.3)], 9.0, final=True)
    assert texts(passages) == [["It was a very large one."]]
    assert rest == []


def test_a_full_stop_at_a_windows_edge_waits_for_what_follows() -> None:
    heard = words("It was owned by Mr.")
    assert close(heard, heard[-1].end + 0.5, final=False) == ([], heard)
    assert len(close(heard, heard[-1].end + 1.6, final=False)[0]) == 1


def test_a_long_pause_parts_where_no_punctuation_does() -> None:
    heard = words("so this is what we saw and then it went away", {"saw": 0.9})
    assert texts(all_at_once(heard)) == [["so this is what we saw", "and then it went away"]]


def test_a_long_sentence_is_cut_at_its_clause() -> None:
    heard = words(" ".join(["word"] * 20) + " here, " + " ".join(["more"] * 18) + " end.")
    assert [segment.text.split()[-1] for passage in all_at_once(heard) for segment in passage.segments] == [
        "here,",
        "end.",
    ]


def test_a_long_sentence_without_punctuation_is_cut_at_its_largest_pause() -> None:
    heard = words(" ".join(f"w{number}" for number in range(60)), {"w18": 0.5})
    first = all_at_once(heard)[0].segments[0]
    assert first.text.endswith("w18")
    assert all(
        segment.end - segment.start <= LONGEST_S for passage in all_at_once(heard) for segment in passage.segments
    )


def test_numbers_are_not_cut_apart_in_a_long_sentence() -> None:
    heard = [Word(" 1" if at == 0 else ",000", at * 0.5, at * 0.5 + 0.4, 1.0, "en") for at in range(40)]
    (passage,) = all_at_once(heard)
    assert len(passage.segments) == 1


def test_speech_without_pauses_closes_a_passage_after_a_while() -> None:
    heard = words("We went into the large house. " * 12)
    passages = all_at_once(heard)
    assert len(passages) == 2
    assert passages[0].segments[-1].end - passages[0].segments[0].start >= 15.0


def test_very_short_sentences_join_their_neighbour_over_a_short_pause() -> None:
    heard = words("Yes. That is what I meant to say.", {"Yes.": 0.35})
    assert texts(all_at_once(heard)) == [["Yes. That is what I meant to say."]]


def test_very_short_sentences_stand_alone_behind_a_long_pause() -> None:
    heard = words("Yes. That is what I meant to say.", {"Yes.": 0.9})
    assert texts(all_at_once(heard)) == [["Yes.", "That is what I meant to say."]]


def test_another_language_makes_another_segment() -> None:
    heard = [*words("and he said"), *words("bonjour à tous.", language="fr", start=1.1)]
    (passage,) = all_at_once(heard)
    assert [(segment.language, segment.text) for segment in passage.segments] == [
        ("en", "and he said"),
        ("fr", "bonjour à tous."),
    ]


def test_short_sentences_of_two_languages_are_not_joined() -> None:
    heard = [*words("Yes."), *words("Oui.", language="fr", start=0.35)]
    assert [segment.language for passage in all_at_once(heard) for segment in passage.segments] == ["en", "fr"]


def by(speaker: str | None, heard: Sequence[Word]) -> list[Word]:
    return [replace(word, speaker=speaker) for word in heard]


def said_by(heard: Sequence[Word]) -> list[tuple[str | None, str]]:
    return [(segment.speaker, segment.text) for passage in all_at_once(heard) for segment in passage.segments]


def test_another_speaker_makes_another_segment_in_the_middle_of_a_sentence() -> None:
    heard = [*by("A", words("and then I")), *by("B", words("no you did not.", start=1.1))]
    assert said_by(heard) == [("A", "and then I"), ("B", "no you did not.")]


def test_short_sentences_of_two_speakers_are_not_joined() -> None:
    heard = [*by("A", words("Yes.")), *by("B", words("No.", start=0.35)), *by("A", words("Yes.", start=0.7))]
    assert said_by(heard) == [("A", "Yes."), ("B", "No."), ("A", "Yes.")]


def test_a_word_nobody_is_known_to_say_belongs_to_whoever_spoke_before() -> None:
    heard = [
        *by("A", words("and then")),
        *by(None, words("well", start=0.7)),
        *by("B", words("no you did not.", start=1.05)),
    ]
    assert said_by(heard) == [("A", "and then well"), ("B", "no you did not.")]


def test_words_before_the_first_known_speaker_are_the_first_ones() -> None:
    assert said_by([*by(None, words("and then")), *by("A", words("we left.", start=0.7))]) == [
        ("A", "and then we left.")
    ]


def test_speech_of_unknown_speakers_has_none() -> None:
    assert said_by(words("We went to the house.")) == [(None, "We went to the house.")]


def test_a_number_is_not_parted_where_the_speaker_seems_to_change_inside_it() -> None:
    parts = [(" it", "A"), (" was", "A"), (" 3", "A"), (".5", "B"), ("%", "B"), (" you", "B"), (" say", "B")]
    heard = [Word(text, at * 0.4, at * 0.4 + 0.3, 1.0, "en", speaker) for at, (text, speaker) in enumerate(parts)]
    assert said_by(heard) == [("A", "it was 3.5%"), ("B", "you say")]


def test_words_without_a_language_are_undetermined() -> None:
    (passage,) = all_at_once([Word(" hm", 0.0, 0.4)])
    assert passage.segments[0].language == "und"


def test_languages_without_spaces_join_without() -> None:
    heard = [
        Word(part, at * 0.4, at * 0.4 + 0.3, 1.0, "ja") for at, part in enumerate(["吾輩", "は", "猫", "で", "ある。"])
    ]
    assert texts(all_at_once(heard)) == [["吾輩は猫である。"]]


def test_noise_without_letters_is_no_segment() -> None:
    assert all_at_once([Word(" ...", 0.0, 0.3, 0.2, "en"), Word(" ♪", 3.0, 3.5, 0.2, "en")]) == []


def test_words_without_a_time_lie_between_their_neighbours() -> None:
    heard = [Word(" in", 0.0, 1.0), Word(" 1984", UNTIMED, UNTIMED), Word(" we", 2.0, 2.5)]
    timed = interpolate(heard, 3.0, final=True)
    assert (timed[1].start, timed[1].end) == (1.0, 2.0)


def test_untimed_words_share_the_time_by_their_length() -> None:
    heard = [Word(" a", 0.0, 1.0), Word(" 12", UNTIMED, UNTIMED), Word(" 3456", UNTIMED, UNTIMED), Word(" b", 4.0, 4.2)]
    timed = interpolate(heard, 5.0, final=True)
    assert [(word.start, word.end) for word in timed[1:3]] == [(1.0, 2.0), (2.0, 4.0)]


def test_untimed_words_at_the_end_wait_until_nothing_follows() -> None:
    heard = [Word(" in", 0.0, 1.0, 1.0, "en"), Word(" 1984", UNTIMED, UNTIMED, 1.0, "en")]
    passages, rest = close(heard, 9.0, final=False)
    assert passages == []
    assert [word.text for word in rest] == [" in", " 1984"]
    (passage,) = close(heard, 9.0, final=True)[0]
    assert passage.segments[0].text == "in 1984"
    assert 1.0 < passage.segments[0].end <= 9.0


def test_untimed_words_at_the_beginning_come_before_the_first_known_one() -> None:
    timed = interpolate([Word(" 5", UNTIMED, UNTIMED), Word(" men", 2.0, 2.5)], 3.0, final=True)
    assert 0.0 <= timed[0].start < timed[0].end == 2.0


def test_times_that_go_back_are_straightened() -> None:
    timed = interpolate([Word(" a", 1.0, 2.0), Word(" b", 0.5, 0.8), Word(" c", 1.5, 1.2)], 3.0, final=True)
    assert all(word.start <= word.end for word in timed)
    assert all(word.end <= following.start for word, following in pairwise(timed))


@st.composite
def streams(draw: st.DrawFn) -> list[Word]:
    parts = draw(
        st.lists(
            st.tuples(
                st.sampled_from(ALPHABET), st.sampled_from([0.0, 0.05, 0.2, 0.35, 0.7, 1.5]), st.floats(0.05, 1.5)
            ),
            max_size=80,
        )
    )
    language = draw(st.sampled_from(["en", "fr"]))
    speaker = draw(st.sampled_from([None, "A"]))
    clock, heard = 0.0, []
    for text, pause, length in parts:
        if draw(st.integers(0, 15)) == 0:
            language = "fr" if language == "en" else "en"
        if draw(st.integers(0, 15)) == 0:
            speaker = draw(st.sampled_from([None, "A", "B"]))
        heard.append(Word(" " + text, clock + pause, clock + pause + length, 1.0, language, speaker))
        clock += pause + length
    return heard


@given(streams(), st.sets(st.integers(0, 80), max_size=10))
def test_the_result_does_not_depend_on_how_the_words_arrive(heard: list[Word], edges: set[int]) -> None:
    cuts = [*sorted(edge for edge in edges if 0 < edge < len(heard)), len(heard)]
    passages: list[Passage] = []
    rest: list[Word] = []
    done = 0
    for cut in cuts:
        rest += heard[done:cut]
        done = cut
        until = heard[cut].start if cut < len(heard) else (heard[-1].end if heard else 0.0)
        closed, rest = close(rest, until, final=cut == len(heard))
        passages += closed
    assert passages == all_at_once(heard)
    assert rest == []


@given(streams())
def test_no_spoken_word_is_lost_or_moved(heard: list[Word]) -> None:
    passages = all_at_once(heard)
    kept = [word.text for passage in passages for segment in passage.segments for word in segment.words]
    assert [text for text in kept if any(map(str.isalnum, text))] == [
        word.text for word in heard if any(map(str.isalnum, word.text))
    ]
    segments = [segment for passage in passages for segment in passage.segments]
    for segment, following in pairwise(segments):
        assert segment.start <= segment.end <= following.start + 1e-9
    for segment in segments:
        assert {word.speaker for word in segment.words} <= {segment.speaker, None}


@given(st.lists(st.tuples(st.floats(0, 100) | st.just(math.nan), st.floats(0, 3)), max_size=40))
def test_any_times_come_out_monotonic(times: list[tuple[float, float]]) -> None:
    heard = [Word(" w", start, start + length) for start, length in times]
    timed = interpolate(heard, 110.0, final=True)
    assert len(timed) == len(heard)
    assert all(word.start <= word.end for word in timed)
    assert all(word.end <= following.start for word, following in pairwise(timed))


@pytest.mark.parametrize("final", [True, False])
def test_what_is_left_is_the_end_of_what_was_given(final: bool) -> None:
    heard = words("One two three. Four five six. Seven", {"three.": 0.5})
    passages, rest = close(heard, heard[-1].end, final)
    used = sum(len(segment.words) for passage in passages for segment in passage.segments)
    assert heard[used:] == rest
