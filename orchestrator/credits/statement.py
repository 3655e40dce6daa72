"""An account's entries as CSV (RFC 4180), safe to open in a spreadsheet. Pure."""

import csv
import io
from collections.abc import Iterable
from datetime import datetime

from orchestrator.credits.models import CreditEntry

COLUMNS = ("sequence", "at", "kind", "amount", "held_amount", "available", "held", "reference", "note")

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a spreadsheet takes for the beginning of a formula, or skips before one (OWASP, CSV injection)."""


def header() -> str:
    return _lines([COLUMNS])


def lines(entries: Iterable[CreditEntry]) -> str:
    """A line for each entry."""
    return _lines(
        (
            entry.sequence,
            entry.created_at.isoformat(timespec="seconds"),
            entry.kind,
            entry.amount,
            entry.held_amount,
            entry.available,
            entry.held,
            harmless(entry.reference),
            harmless(entry.note or ""),
        )
        for entry in entries
    )


def harmless(text: str) -> str:
    """The text as a cell that no spreadsheet takes for a formula: an apostrophe before what begins like one."""
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA) else text


def file_name(day: datetime) -> str:
    return f"octavia-credits-{day:%Y-%m-%d}.csv"


def _lines(rows: Iterable[Iterable[object]]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerows(rows)
    return written.getvalue()
