"""Sentences read out of cues, and shared out to them again."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.subtitles.rules import PLAIN
from orchestrator.subtitles.whole import HARDEST, Reading, passages, sentences, shared_out


def cues(*texts: str, gap: float = 0.1, voices: str = "") -> list[Reading]:
    return [Reading(at * 3.0, at * 3.0 + 3 - gap, text, voices[at : at + 1]) for at, text in enumerate(texts)]


def read(*texts: str, language: str = "en", **options: object) -> list[tuple[str, list[int]]]:
    found = sentences(cues(*texts, **options), language)  # type: ignore[arg-type]
    return [(each.text, [part.cue for part in each.parts]) for each in found]


def test_a_sentence_runs_over_cues_until_its_punctuation() -> None:
    assert read("I had hoped that we\nwould walk", "to the village", "together. But no!", "Well.") == [
        ("I had hoped that we would walk to the village together.", [0, 1, 2]),
        ("But no!", [2]),
        ("Well.", [3]),
    ]


@pytest.mark.parametrize(
    ("texts", "options"),
    [
        (("I had hoped", "to go"), {"gap": 2.0}),
        (("I had hoped", "to go"), {"gap": -0.5}),
        (("I had hoped", "to go"), {"voices": "ab"}),
        (("I had hoped", "- to go"), {}),
        (("I had hoped", "♪ to go ♪"), {}),
        (("♪ I had hoped ♪", "to go"), {}),
        (("I had hoped", "[to go]"), {}),
        (("[I had hoped]", "to go"), {}),
    ],
    ids=["pause", "overlap", "speakers", "dash", "before a song", "after a song", "before a sound", "after a sound"],
)
def test_what_parts_cues_ends_a_sentence(texts: tuple[str, ...], options: dict[str, Any]) -> None:
    assert [each[1] for each in read(*texts, **options)] == [[0], [1]]


def test_each_speaker_of_a_cue_has_sentences_of_their_own() -> None:
    (first, second) = sentences(cues("- Who is there?\n- Nobody at all."), "en")
    assert (first.text, second.text) == ("Who is there?", "Nobody at all.")
    assert shared_out([first, second], ["¿Quién está?", "Nadie en absoluto."], 1, "es") == [
        "- ¿Quién está?\n- Nadie en absoluto."
    ]


def test_songs_keep_their_notes() -> None:
    found = sentences(cues("♪ la la la ♪"), "en")
    assert found[0].text == "la la la"
    assert shared_out(found, ["lo lo lo"], 1, "es") == ["♪ lo lo lo ♪"]


def test_japanese_is_read_without_spaces() -> None:
    assert read("私は昨日、東京に", "行きました。楽しかった。", language="ja") == [
        ("私は昨日、東京に行きました。", [0, 1]),
        ("楽しかった。", [1]),
    ]


def test_a_translation_is_shared_out_in_proportion_where_the_text_allows_it() -> None:
    found = sentences(cues("I had hoped that we would walk to the", "village together, my dear."), "en")
    first, second = shared_out(found, ["Esperaba que camináramos juntos hasta el pueblo, querida mía."], 2, "es")
    assert (first, second) == ("Esperaba que camináramos juntos", "hasta el pueblo, querida mía.")


def test_a_translation_of_fewer_words_than_cues_leaves_none_empty() -> None:
    found = sentences(cues("If you", "really", "want to."), "en")
    assert shared_out(found, ["Vale, sí."], 3, "es") == ["Vale,", "sí.", "sí."]


@pytest.mark.parametrize(
    ("translation", "spoken"),
    [("Vale, sí.", ["Vale,", "sí.", ""]), ("Vale.", ["Vale.", "", ""]), ("", ["", "", ""])],
)
def test_read_aloud_no_word_of_it_is_in_two_cues(translation: str, spoken: list[str]) -> None:
    found = sentences(cues("If you", "really", "want to."), "en")
    assert shared_out(found, [translation], 3, "es", aloud=True) == spoken


def test_a_cue_left_without_a_word_of_one_sentence_still_says_the_next() -> None:
    found = sentences(cues("If you", "really", "want to. Go!"), "en")
    assert shared_out(found, ["Vale, sí.", "¡Ve!"], 3, "es", aloud=True) == ["Vale,", "sí.", "¡Ve!"]


def test_cues_without_words_are_left_to_the_caller() -> None:
    assert shared_out(sentences(cues("Yes.", "", "No."), "en"), ["Sí.", "No."], 3, "es") == ["Sí.", None, "No."]


def test_text_that_does_not_fit_the_lines_gets_more_of_them() -> None:
    (text,) = shared_out(sentences(cues("Short."), "en"), ["palabra " * 20], 1, "es")
    assert text is not None
    assert text.split() == ["palabra"] * 20
    assert max(map(len, text.split("\n"))) <= PLAIN.line_length


def test_a_sentence_that_never_ends_is_cut_before_models_refuse_it() -> None:
    found = sentences(cues("word " * 400), "en")
    assert len(found) > 1
    assert max(len(each.text) for each in found) <= HARDEST + 10
    assert " ".join(each.text for each in found).split() == ["word"] * 400


def test_passages_end_with_a_sentence_and_never_grow_without_bound() -> None:
    good = cues(*["This goes", "on here."] * 10)
    assert passages(good, "en", 3) == [range(at, at + 4) for at in range(0, 20, 4)]
    endless = cues(*["and so on. And so"] * 20)
    assert max(len(each) for each in passages(endless, "en", 3)) == 6
    assert [at for each in passages(endless, "en", 3) for at in each] == list(range(20))
    assert passages([], "en", 3) == []


_TEXT = st.lists(
    st.sampled_from(["hello", "there,", "yes.", "- no!", "♪", "[bang]", "Mr.", "\n", "3.5", "“well”", "…", "so"]),
    max_size=8,
).map(" ".join)


@given(st.lists(_TEXT, max_size=8), st.sampled_from([0.1, 1.0, 3.5]))
def test_no_word_is_lost_or_moved_however_cues_are_written(texts: list[str], gap: float) -> None:
    written = cues(*texts, gap=gap)
    found = sentences(written, "en")
    again = shared_out(found, [each.text for each in found], len(texts), "en")
    before = " ".join(texts).split()
    after = " ".join(each or "" for each in again).split()
    assert "".join(after) == "".join(before)
    for text, each in zip(texts, again, strict=True):
        assert (each is None) == (not text.strip())
