"""Names to show, whatever is sent as one."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.media.names import LONGEST_NAME, display_name


@pytest.mark.parametrize(
    ("given_name", "shown"),
    [
        ("holiday.mp4", "holiday.mp4"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\clip.mov", "clip.mov"),
        ("..", "untitled"),
        ("", "untitled"),
        ("   ", "untitled"),
        ("/", "untitled"),
        ("null\0byte.mp4", "nullbyte.mp4"),
        ("line\r\nbreak: yes.mp4", "linebreak: yes.mp4"),
        ("invoice\u202e4pm.exe", "invoice4pm.exe"),
        ("日本語 の 動画.mp4", "日本語 の 動画.mp4"),
        ("cafe\u0301.mp4", "café.mp4"),
        ("می\u200cخواهم.mp4", "می\u200cخواهم.mp4"),
        ("x" * 300 + ".mp4", "x" * 251 + ".mp4"),
        ("x." + "y" * 300, "x." + "y" * 253),
    ],
)
def test_a_name_is_shown_without_what_could_mislead(given_name: str, shown: str) -> None:
    assert display_name(given_name) == shown


@given(st.text(max_size=400))
def test_any_name_becomes_one_short_printable_part(name: str) -> None:
    shown = display_name(name)
    assert 0 < len(shown) <= LONGEST_NAME
    assert "/" not in shown
    assert "\\" not in shown
    assert shown not in (".", "..")
    assert not any(unicodedata.category(each) in ("Cc", "Cs", "Co") for each in shown)
    assert display_name(shown) == shown
