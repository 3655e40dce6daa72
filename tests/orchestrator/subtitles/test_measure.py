import pytest

from orchestrator.subtitles.measure import COLUMNS, EACH_ONE, FULL_WIDTH, Widths, clusters, pieces, width


@pytest.mark.parametrize(
    ("text", "widths", "expected"),
    [
        ("Hello there", EACH_ONE, 11),
        ("e\u0301te\u0301", EACH_ONE, 3),
        ("👩‍👩‍👧‍👦🇪🇸👍🏽", EACH_ONE, 3),
        ("👩‍👩‍👧‍👦🇪🇸👍🏽❤️", COLUMNS, 8),
        ("กำลังไป", EACH_ONE, 5),
        ("吾輩は猫", FULL_WIDTH, 4),
        ("iPhone 15", FULL_WIDTH, 4.5),
        ("ＡＢ１", FULL_WIDTH, 3),
        ("ｶﾅ", FULL_WIDTH, 1),
        ("한국어", FULL_WIDTH, 3),
        ("\u200fمرحبا\u202c", EACH_ONE, 5),
        ("a\u200bb", EACH_ONE, 2),
        ("", EACH_ONE, 0),
    ],
)
def test_a_text_is_as_wide_as_it_looks(text: str, widths: Widths, expected: float) -> None:
    assert width(text, widths) == expected


def test_words_are_cut_between_characters_only() -> None:
    family = "👩‍👩‍👧‍👦"
    assert pieces(family * 5, 2) == [family * 2, family * 2, family]
    assert pieces("e\u0301" * 3, 2) == ["e\u0301" * 2, "e\u0301"]
    assert pieces("猫" * 3, 2, COLUMNS) == ["猫", "猫", "猫"]
    assert pieces("猫", 1, COLUMNS) == ["猫"]
    assert "".join(clusters(family + "กำ")) == family + "กำ"
