import math

import pytest

from orchestrator.dubbing.sentences import ends_clause, ends_sentence, is_glued, join
from orchestrator.dubbing.timeline import Word


def word(text: str, language: str = "en") -> Word:
    return Word(text, 0.0, 0.2, 1.0, language)


@pytest.mark.parametrize(
    ("text", "following", "language"),
    [
        (" done.", " Then", "en"),
        (" really?", " he", "en"),
        (' done."', " Then", "en"),
        (" 1984.", " The", "en"),
        (" fin…", " Luego", "es"),
        (" hecho.", " ¿Qué", "es"),
        ("猫である。", "名前", "ja"),
        ("吗？", "不", "zh"),
        (" كيف؟", " أنا", "ar"),
        (" है।", " वह", "hi"),
        (" τι;", " Δεν", "el"),
    ],
)
def test_a_sentence_ends_after(text: str, following: str, language: str) -> None:
    assert ends_sentence(word(text, language), word(following, language), 0.1)


@pytest.mark.parametrize(
    ("text", "following", "language"),
    [
        (" Mr.", " Dashwood", "en"),
        (" Dr.", " No", "en"),
        (" J.", " Smith", "en"),
        (" U.S.", " Army", "en"),
        (" e.g.", " apples", "en"),
        (" No.", " 5", "en"),
        (" 3.", " 5", "en"),
        (" 3", ".5", "en"),
        (" so...", " and", "en"),
        (" Sra.", " García", "es"),
        (" z.B.", " Häuser", "de"),
        (" one;", " two", "en"),
        (" plain", " words", "en"),
        ("今日は、", "雨", "ja"),
    ],
)
def test_a_sentence_does_not_end_after(text: str, following: str, language: str) -> None:
    assert not ends_sentence(word(text, language), word(following, language), 0.1)


def test_a_pause_ends_a_sentence_after_initials() -> None:
    assert ends_sentence(word(" U.S."), word(" Then"), 0.35)


def test_a_long_pause_ends_a_sentence_whatever_its_punctuation() -> None:
    assert ends_sentence(word(" Mr."), word(" Dashwood"), 0.81)
    assert ends_sentence(word(" and"), None, math.inf)


def test_without_the_next_word_a_full_stop_decides_nothing() -> None:
    assert not ends_sentence(word(" done."), None, 0.5)


def test_another_language_ends_a_sentence() -> None:
    assert ends_sentence(word(" and"), word(" bonjour", "fr"), 0.05)


@pytest.mark.parametrize(
    ("texts", "language", "written"),
    [
        ([" Hello", " there."], "en", "Hello there."),
        ([" 3", ".5", "%", " more"], "en", "3.5% more"),
        ([" $", "100", " each"], "en", "$100 each"),
        ([" well", "-known"], "en", "well-known"),
        (["no", "spaces", "given."], "en", "no spaces given."),
        (["¿Qué", "tal?"], "es", "¿Qué tal?"),
        (["猫", "で", "ある", "。"], "ja", "猫である。"),
        (["你好", "，", "世界"], "zh", "你好，世界"),
        ([" edge", "Next"], "en", "edge Next"),
        ([" a ", " b"], "en", "a b"),
    ],
)
def test_words_are_joined_as_they_are_written(texts: list[str], language: str, written: str) -> None:
    assert join([word(text, language) for text in texts]) == written


def test_parts_of_a_number_are_glued_and_words_are_not() -> None:
    assert is_glued(word(" 3"), word(".5"))
    assert not is_glued(word(" three"), word(" point"))
    assert not is_glued(word("猫", "ja"), word("で", "ja"))


def test_clauses_end_at_commas_inside_quotes_too() -> None:
    assert ends_clause(word(' "yes,"'))
    assert not ends_clause(word(" yes"))
