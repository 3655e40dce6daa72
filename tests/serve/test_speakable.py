"""Text on its way to espeak-ng: hostile characters gone, nothing speakable lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.models.speakable import clean, is_speakable, split_text


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("  Hello,\n\tworld. ", "Hello, world."),
        ("a\x00b\x1bc", "a b c"),
        ("\ufeffstart", "start"),
        ("[[h@l'oU]]", "[ [h@l'oU]]"),
        ("$(rm -rf /); `id`", "$(rm -rf /); `id`"),
        ("\ud800", ""),
    ],
)
def test_text_becomes_one_printable_line(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@pytest.mark.parametrize(
    ("text", "speakable"), [("a", True), ("7", True), ("ñ", True), ("字", True), ("… ♪ !", False), ("", False)]
)
def test_only_letters_and_digits_can_be_spoken(text: str, speakable: bool) -> None:
    assert is_speakable(text) is speakable


def test_short_text_is_not_split() -> None:
    assert split_text("One. Two. Three.", 100) == ["One. Two. Three."]


def test_long_text_is_cut_at_sentences_before_anything_else() -> None:
    text = "First we went to the market, and bought bread. Then we went home. It rained."
    assert split_text(text, 50) == ["First we went to the market, and bought bread.", "Then we went home. It rained."]


def test_a_long_sentence_is_cut_at_a_comma_and_a_long_clause_at_a_space() -> None:
    assert split_text("one two three, four five six", 16) == ["one two three,", "four five six"]
    assert split_text("one two three four", 9) == ["one two", "three", "four"]


@given(st.text(max_size=400), st.integers(5, 60))
def test_no_piece_is_too_long_and_no_letter_is_lost(text: str, limit: int) -> None:
    line = clean(text)
    pieces = split_text(line, limit)
    assert all(0 < len(piece) <= limit for piece in pieces)
    spoken = "".join(character for character in line if character.isalnum())
    assert "".join(character for piece in pieces for character in piece if character.isalnum()) == spoken
