"""Range headers, held against slicing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.ranges import UnsatisfiableRangeError, matches_etag, parse_range

CONTENT = bytes(range(200))
OFFSETS = st.integers(0, 260)


def part(header: str) -> bytes | None:
    found = parse_range(header, len(CONTENT))
    return None if found is None else CONTENT[found.start : found.end]


@given(OFFSETS, OFFSETS)
def test_a_closed_range_is_a_slice_with_both_ends(first: int, last: int) -> None:
    header = f"bytes={first}-{last}"
    if last < first:
        assert part(header) is None
    elif first >= len(CONTENT):
        with pytest.raises(UnsatisfiableRangeError):
            part(header)
    else:
        assert part(header) == CONTENT[first : last + 1]


@given(OFFSETS)
def test_an_open_range_goes_to_the_end(first: int) -> None:
    if first >= len(CONTENT):
        with pytest.raises(UnsatisfiableRangeError):
            part(f"bytes={first}-")
    else:
        assert part(f"bytes={first}-") == CONTENT[first:]


@given(st.integers(1, 300))
def test_a_suffix_range_counts_from_the_end(length: int) -> None:
    assert part(f"bytes=-{length}") == CONTENT[-length:]


@given(st.text(max_size=30))
def test_any_header_is_a_range_or_ignored_or_refused(header: str) -> None:
    try:
        found = parse_range(header, len(CONTENT))
    except UnsatisfiableRangeError:
        return
    assert found is None or 0 <= found.start < found.end <= len(CONTENT)


@pytest.mark.parametrize(
    "header", [None, "", "bytes=", "bytes=-", "items=0-1", "bytes=0-1,4-5", "bytes=a-b", "bytes=9-2"]
)
def test_what_is_not_one_range_of_bytes_means_the_whole(header: str | None) -> None:
    assert parse_range(header, 10) is None


@pytest.mark.parametrize("header", ["bytes=-0", "bytes=10-", "bytes=9999999999999999999-"])
def test_a_range_outside_is_refused(header: str) -> None:
    with pytest.raises(UnsatisfiableRangeError):
        parse_range(header, 10)


def test_nothing_of_an_empty_file_can_be_a_range() -> None:
    with pytest.raises(UnsatisfiableRangeError):
        parse_range("bytes=-5", 0)


def test_a_content_range_names_the_last_byte_and_the_size() -> None:
    found = parse_range("bytes=2-5", 10)
    assert found is not None
    assert found.content_range == "bytes 2-5/10"


@pytest.mark.parametrize(
    ("header", "strong", "same"),
    [
        ('"a"', True, True),
        ('W/"a"', True, False),
        ('W/"a"', False, True),
        ('"b", "a"', False, True),
        ('"b", "a"', True, False),
        ("*", False, True),
        ("*", True, False),
        (None, False, False),
        ("Wed, 21 Oct 2015 07:28:00 GMT", True, False),
    ],
)
def test_entity_tags_compare_weakly_for_if_none_match_and_strongly_for_if_range(
    header: str | None, strong: bool, same: bool
) -> None:
    assert matches_etag(header, '"a"', strong=strong) is same
