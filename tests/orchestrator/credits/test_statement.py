"""The statement as CSV."""

import csv
import io
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from orchestrator.credits import statement
from orchestrator.credits.models import CreditEntry


def entry(**changes: Any) -> CreditEntry:
    values = {"id": uuid4(), "user_id": uuid4(), "sequence": 1, "kind": "hold", "amount": -5, "held_amount": 5}
    values |= {"available": 5, "held": 5, "reference": "job:1", "note": None, "idempotency_key": "k"}
    return CreditEntry(**values | {"created_at": datetime(2030, 1, 2, 3, 4, 5, 678, tzinfo=UTC)} | changes)


def test_a_line_has_the_columns_of_the_header_and_ends_as_rfc_4180_says() -> None:
    assert statement.header() == "sequence,at,kind,amount,held_amount,available,held,reference,note\r\n"
    assert statement.lines([entry()]) == "1,2030-01-02T03:04:05+00:00,hold,-5,5,5,5,job:1,\r\n"
    assert statement.lines([]) == ""


@pytest.mark.parametrize("text", ['a "quote", a comma', "two\r\nlines", "two\nlines", " spaces ", "für 日本", "'", '"'])
def test_any_text_is_read_as_it_was_written(text: str) -> None:
    (row,) = csv.reader(io.StringIO(statement.lines([entry(note=text)]), newline=""))
    assert row[-1] == text


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "  =1", "＝1", "=cmd|' /C calc'!A0", "-", "="]
)
def test_no_text_is_taken_for_a_formula(text: str) -> None:
    line = statement.lines([entry(note=text, reference=text)])
    (row,) = csv.reader(io.StringIO(line, newline=""))
    assert row[-2:] == [f"'{text}", f"'{text}"]


@pytest.mark.parametrize("text", ["", "job:1", "1=1", "a+b", "order -1"])
def test_harmless_text_stays_as_it_is(text: str) -> None:
    assert statement.harmless(text) == text


def test_the_file_is_named_after_the_day() -> None:
    assert statement.file_name(datetime(2030, 1, 2, tzinfo=UTC)) == "octavia-credits-2030-01-02.csv"
