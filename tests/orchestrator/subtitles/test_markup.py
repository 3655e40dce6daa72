"""Tags of a cue, taken out of its text and put back into a translation."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.subtitles.markup import put_back, split


@pytest.mark.parametrize(
    ("kind", "raw", "text", "tags"),
    [
        ("srt", "<i>One</i>\ntwo", "One\ntwo", [(0, "<i>"), (3, "</i>")]),
        ("srt", "{\\an8}<font color='red'>A<br/>b", "A\nb", [(0, "{\\an8}"), (0, "<font color='red'>")]),
        ("srt", "5 < 6 &amp; 7 > 6", "5 < 6 & 7 > 6", []),
        ("vtt", "<v A B>Hi <c.x>you</c></v>", "Hi you", [(0, "<v A B>"), (3, "<c.x>"), (6, "</c>"), (6, "</v>")]),
        ("vtt", "a<00:01.500>b &lt;c&gt; &lrm;", "ab <c> ", [(1, "<00:01.500>"), (7, "&lrm;")]),
        ("ass", "{\\pos(1,2)}A\\Nb\\hc{\\k20}d", "A\nb cd", [(0, "{\\pos(1,2)}"), (5, "{\\k20}")]),
        ("ssa", "a\\nb", "a\nb", []),
        ("srt", "\u202bשלום\u202c", "שלום", [(0, "\u202b"), (4, "\u202c")]),
    ],
)  # fmt: skip
def test_the_visible_text_and_the_tags_are_told_apart(
    kind: str, raw: str, text: str, tags: list[tuple[int, str]]
) -> None:
    found = split(raw, kind)
    assert (found.text, [(tag.place, tag.text) for tag in found.tags]) == (text, tags)
    assert put_back(found, text, kind, "es") == raw


@pytest.mark.parametrize(
    ("kind", "raw", "translation", "written"),
    [
        ("srt", "<i>Good morning.</i>", "Buenos días.", "<i>Buenos días.</i>"),
        ("srt", "{\\an8}<b><i>Good\nmorning.</i></b>", "Buenos\ndías.", "{\\an8}<b><i>Buenos\ndías.</i></b>"),
        ("srt", "<i>Good</i>\n<i>morning.</i>", "Buenos\ndías.", "<i>Buenos</i>\n<i>días.</i>"),
        ("srt", "I <i>really</i> mean it", "lo digo en serio", "lo <i>digo</i> en serio"),
        ("srt", "We saw <i>Titanic</i> yesterday", "Ayer vimos Titanic juntos", "Ayer vimos <i>Titanic</i> juntos"),
        ("srt", "- Who?\n- <b>Nobody.</b>", "- ¿Quién?\n- Nadie.", "- ¿Quién?\n- <b>Nadie.</b>"),
        ("srt", "a &amp; b", "x & y < z", "x &amp; y &lt; z"),
        ("srt", "an arrow", "a --> b", "a → b"),
        ("vtt", "<v Ann>I am <b>here</b>", "Estoy aquí & ya", "<v Ann>Estoy <b>aquí &amp; ya</b>"),
        ("vtt", "a --&gt; b", "x --> y", "x --&gt; y"),
        ("ass", "{\\i1}Good{\\i0} morning.", "Buenos días.", "{\\i1}Buenos {\\i0}días."),
        ("ass", "Good morning,\\Nsir.", "Buenos días,\nseñor {mío}.", "Buenos días,\\Nseñor \\{mío\\}."),
        ("srt", "\u202bשלום\u202c", "Hello", "Hello"),
        ("srt", "<i>a</i> <b>b</b> <u>c</u>", "una", "<i></i><b></b><u>una</u>"),
    ],
)
def test_tags_keep_their_place_in_a_translation(kind: str, raw: str, translation: str, written: str) -> None:
    assert put_back(split(raw, kind), translation, kind, "es") == written


def test_marks_of_direction_stay_where_the_script_still_runs_that_way() -> None:
    assert put_back(split("\u202bשלום\u202c", "srt"), "سلام", "srt", "fa") == "\u202bسلام\u202c"


def test_tags_of_a_language_without_spaces_go_between_characters() -> None:
    assert put_back(split("Good <i>day</i> sir", "srt"), "日安先生", "srt", "zh") == "日安<i>先</i>生"


_WORDS = st.lists(st.sampled_from(["hola", "Ana", "no", "sí,", "ven", "¿qué?"]), min_size=1, max_size=9)
_TAGGED = st.lists(
    st.sampled_from(["good", "Ana", "day,", "<i>", "</i>", "<b>", "</b>", "{\\an8}", "\n", " "]),
    min_size=1,
    max_size=14,
)


@given(_TAGGED, _WORDS)
def test_no_tag_and_no_word_is_ever_lost_or_turned_around(raw: list[str], words: list[str]) -> None:
    marked = split(" ".join(raw), "srt")
    text = " ".join(words)
    written = put_back(marked, text, "srt", "es")
    tags = re.compile(r"</?[ib]>|\{\\an8\}")
    assert tags.findall(written) == [tag.text for tag in marked.tags]
    assert tags.sub("", written) == text or text == marked.text
