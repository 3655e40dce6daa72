import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.subtitles.lines import Token, break_lines, fits, join, tokenize


def lines(text: str, language: str = "en", length: int = 42, count: int = 2) -> tuple[str, ...]:
    return break_lines(tokenize(text, language, length), length, count, language)


def test_what_fits_one_line_stays_on_one() -> None:
    assert lines("He was not an ill-disposed young man.") == ("He was not an ill-disposed young man.",)


@pytest.mark.parametrize(
    ("text", "language", "broken"),
    [
        (
            "Printing, in the only sense with which we are at present concerned,",
            "en",
            ("Printing, in the only sense with", "which we are at present concerned,"),
        ),
        (
            "I would have stayed a while, but it was late already.",
            "en",
            ("I would have stayed a while,", "but it was late already."),
        ),
        (
            "El señor Dashwood tuvo entonces tiempo para pensarlo bien.",
            "es",
            ("El señor Dashwood tuvo entonces tiempo", "para pensarlo bien."),
        ),
        (
            "Er sagte mir gestern Abend noch, dass er nicht mehr kommt.",
            "de",
            ("Er sagte mir gestern Abend noch,", "dass er nicht mehr kommt."),
        ),
    ],
)
def test_lines_break_after_punctuation_and_before_conjunctions(
    text: str, language: str, broken: tuple[str, ...]
) -> None:
    assert lines(text, language) == broken


def test_an_article_does_not_end_a_line() -> None:
    first, _ = lines("She gave every one of her children the beautiful presents")
    assert first.split()[-1] not in ("the", "of", "her")


def test_japanese_breaks_without_spaces_and_never_before_a_full_stop() -> None:
    broken = lines("どこで生れたかとんと見当がつかぬ。何でも薄暗い所で", "ja", 16)
    assert "".join(broken) == "どこで生れたかとんと見当がつかぬ。何でも薄暗い所で"
    assert all(len(line) <= 16 for line in broken)
    assert not any(line[0] in "。、ーっ" for line in broken)


def test_latin_words_stay_whole_in_chinese_text() -> None:
    assert [token.text for token in tokenize("我用iPhone 15拍了3.5分钟。", "zh", 16)] == [
        "我", "用", "iPhone", "15", "拍", "了", "3.5", "分", "钟。",
    ]  # fmt: skip


def test_an_opening_bracket_stays_with_what_it_opens() -> None:
    assert [token.text for token in tokenize("彼は「はい」と", "ja", 16)] == ["彼", "は", "「は", "い」", "と"]


def test_a_word_longer_than_the_line_is_split_hard() -> None:
    tokens = tokenize("x" * 100 + " end", "en", 42)
    assert [len(token.text) for token in tokens] == [42, 42, 16, 3]
    assert join(tokens) == "x" * 100 + " end"
    assert lines("x" * 70) == ("x" * 42, "x" * 28)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="do not fit 2 lines of 42"):
        lines("word " * 30)


def test_more_lines_can_be_allowed() -> None:
    assert len(lines("one two three four five six seven", length=14, count=3)) == 3


@given(
    st.text(alphabet="abc äñ。、猫で,.!?¿「」é9", max_size=120),
    st.sampled_from(["en", "es", "ja", "zh", "th"]),
    st.integers(5, 42),
    st.integers(1, 3),
)
def test_nothing_is_lost_and_no_line_too_long(text: str, language: str, length: int, count: int) -> None:
    tokens = tokenize(text, language, length)
    assert "".join(token.text for token in tokens) == "".join(text.split())
    if not tokens:
        return
    if fits(tokens, length, count):
        broken = break_lines(tokens, length, count, language)
        assert len(broken) <= count
        assert all(0 < len(line) <= length for line in broken)
        assert "".join("".join(broken).split()) == "".join(text.split())
    else:
        with pytest.raises(ValueError, match="do not fit"):
            break_lines(tokens, length, count, language)


def test_tokens_know_which_of_them_a_space_parts() -> None:
    assert tokenize("a bc", "en", 42) == [Token("a"), Token("bc")]
    assert tokenize("猫 で", "ja", 16) == [Token("猫"), Token("で")]
    assert tokenize("猫で", "ja", 16) == [Token("猫"), Token("で", spaced=False)]
