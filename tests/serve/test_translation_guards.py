"""Guards of translation: what is text, how it is divided, what cannot be a translation, and what is kept of it."""

import tomllib
from pathlib import Path

import pytest

from serve.models.marian import Hypothesis
from serve.models.translation import chosen
from serve.models.translation_guards import extent, fits, loops, mended, sound
from serve.models.translation_text import cleaned, divided, is_text, joined, lines

PHRASES = tomllib.loads((Path(__file__).parents[2] / "scripts" / "starter_phrases.toml").read_text(encoding="utf-8"))


NO_TEXT = [
    "",
    " ",
    "\t",
    "...",
    "¿?",
    "♪ ♪",
    "7",
    "1,234.56",
    "12:30",
    "€ 5",
    "-7-",
    "50 %",
    "A",
    "y",
    "A, B, C.",
    "3D",
]
NO_TEXT += ["🙂", "👍🏽 👍🏽", "🇪🇸", "→", "— —", ":-)", "1 + 1 = 2", "H₂O", "@octavia", "#music", "me@example.com."]
NO_TEXT += ["https://example.com/a?b=c", "(www.example.com)", "example.org/path"]
TEXT = ["ok", "I'm", "Sí.", "5 km", "No!", "是", "はい", "네", "मैं", "да", "مرحبا", "♪ la la ♪", "🙂 yes"]
TEXT += ["See https://example.com now", "kind.He was"]


@pytest.mark.parametrize("text", NO_TEXT)
def test_what_holds_no_word_is_no_text(text: str) -> None:
    assert not is_text(text)


@pytest.mark.parametrize("text", TEXT)
def test_what_holds_a_word_is_text(text: str) -> None:
    assert is_text(text)


def test_lines_keep_their_newlines_whatever_they_are() -> None:
    text = "One.\r\n\n Two. \rThree.\n"
    assert "".join(lines(text)) == text
    assert [line for line in lines(text) if line.strip()] == ["One.", " Two. ", "Three."]


def test_control_characters_and_runs_of_spaces_become_single_spaces() -> None:
    assert cleaned("  one\ttwo\x00three \u00a0 four ") == "one two three four"


def words(text: str) -> int:
    return len(text.split())


DIVISIONS = [
    ("One two three.", 3, 9, ["One two three."]),
    ("One two. Three four. Five six.", 4, 9, ["One two.", "Three four.", "Five six."]),
    ("One two three four five. Six.", 3, 9, ["One two three four five.", "Six."]),  # a sentence within the limit stays
    ('He said "yes." Then he left.', 3, 9, ['He said "yes."', "Then he left."]),
    ("Dr. Smith and Mr. Jones met. They ate.", 3, 9, ["Dr. Smith and Mr. Jones met.", "They ate."]),
    ("At 5 p.m. we left. It rained.", 5, 9, ["At 5 p.m. we left.", "It rained."]),
    ("One two, three four, five six, seven eight.", 4, 4, ["One two, three four,", "five six, seven eight."]),
    ("one two. three four. five six.", 2, 4, ["one two.", "three four.", "five six."]),
]


@pytest.mark.parametrize(("text", "preferred", "limit", "pieces"), DIVISIONS)
def test_a_long_text_is_divided_where_sentences_end_and_a_long_sentence_where_clauses_do(
    text: str, preferred: int, limit: int, pieces: list[str]
) -> None:
    assert divided(text, words, preferred, limit) == pieces
    assert joined(pieces) == text


def test_scripts_without_spaces_are_divided_too_and_joined_without_any() -> None:
    pieces = divided("今天很好。明天会下雨，我们在家。", len, 8, 8)
    assert pieces == ["今天很好。", "明天会下雨，", "我们在家。"]
    assert joined(pieces) == "今天很好。明天会下雨，我们在家。"


def test_a_clause_above_the_limit_cannot_be_divided() -> None:
    with pytest.raises(ValueError, match="12 tokens without punctuation to divide them at"):
        divided("Short. Word" + " word" * 11, words, 4, 8)


SOUND = [
    ("Good morning.", "Buenos días."),
    ("I don't know, I don't know.", "No lo sé, no lo sé."),
    ("No, no, no, no, no!", "¡No, no, no, no, no!"),
    ("Very, very, very good.", "Muy, muy, muy bueno."),
    ("Ha ha ha ha ha ha.", "Ja ja ja ja ja ja."),
    ("Nooooooooooooooo!", "¡Nooooooooooooooo!"),
    ("Thank you very much indeed.", "Danke."),
    ("是的", "Yes, that is right."),
    ("我们明天早上八点在火车站见面吧", "Let us meet at the railway station at eight o'clock tomorrow morning."),
    ("Let us meet at the railway station at eight tomorrow.", "我们明天八点在火车站见"),
    ("Hi.", "Guten Tag zusammen."),
    ("Step by step, day by day, little by little.", "Paso a paso, día a día, poco a poco."),
]
UNSOUND = [
    ("And that is why.", "y por eso, y por eso, y por eso, y por eso", "y por eso"),
    ("The house.", "La casa la casa la casa la casa.", "La casa."),
    ("Good.", "bueno bueno bueno bueno bueno", "bueno"),
    (
        "He thought about it.",
        "Pensó en ello toda la noche. Pensó en ello toda la noche.",
        "Pensó en ello toda la noche.",
    ),
    ("Yes, yes.", "Sí, sí, sí, sí, sí, sí, sí, sí, sí.", "Sí."),
    ("It is raining.", "下雨了下雨了下雨了下雨了", "下雨了"),
    ("Hm, what?", "Hmmmmmmmmmmmmmmmmmmm", "Hm"),
]
WRONG_LENGTH = [
    ("Good.", "Es ist sehr schön, dass Sie heute Abend zu uns gekommen sind, um mit uns zu feiern."),
    ("I have been thinking about what you said to me yesterday in the garden, and I agree with all of it.", "Sí."),
    ("Good morning.", ""),
    ("Good morning to you all.", "."),
]


@pytest.mark.parametrize(("source", "translation"), SOUND)
def test_a_fair_translation_raises_no_alarm(source: str, translation: str) -> None:
    assert sound(source, translation)


@pytest.mark.parametrize(("source", "translation", "kept"), UNSOUND)
def test_a_loop_that_its_source_has_not_is_noticed_and_cut_where_it_begins(
    source: str, translation: str, kept: str
) -> None:
    assert loops(source, translation)
    assert mended(source, translation) == kept


@pytest.mark.parametrize(("source", "translation"), WRONG_LENGTH)
def test_a_translation_far_too_long_or_too_short_is_noticed(source: str, translation: str) -> None:
    assert not fits(source, translation)
    assert not loops(source, translation)


def test_no_pair_of_the_starter_phrases_raises_an_alarm_in_any_direction() -> None:
    rows = [row for name in ("story", "heard", "everyday") for row in PHRASES[name]]
    pairs = [(a, b) for row in rows for a in row for b in row]
    assert len(pairs) > 500
    assert [pair for pair in pairs if not sound(*pair)] == []


def test_an_ideogram_says_as_much_as_three_letters() -> None:
    assert extent("明天 ab") == 8


LOOP = Hypothesis("La casa la casa la casa la casa la casa", -0.1)
GOOD = Hypothesis("La casa es grande.", -0.9)
LESS = Hypothesis("Casa grande.", -1.5)


def test_of_two_searches_the_best_that_passes_is_taken_and_the_rest_of_the_list_passes_too() -> None:
    assert chosen("The house is big.", [LOOP], [LESS, GOOD, LOOP], 2) == [GOOD, LESS]
    assert chosen("The house is big.", [GOOD, LOOP, LESS], None, 3) == [GOOD, LESS]


def test_where_nothing_passes_the_least_bad_is_cut_at_its_loop() -> None:
    endless = Hypothesis("y " * 40, -0.2)
    assert chosen("The house is big.", [endless], [LOOP], 4) == [Hypothesis("La casa", -0.1)]
    assert chosen("The house is big.", [LOOP], [Hypothesis("", -0.1)], 1) == [Hypothesis("La casa", -0.1)]
