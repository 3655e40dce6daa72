"""What is not as it should be in a file, and what became of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

NAMED = 5
"""Of remarks of one kind so many are told in full or by their lines; the rest is counted."""

Told = dict[str, str]


@dataclass(frozen=True, slots=True)
class Remark:
    """At `line` (from 1) something is wrong: `reason` says what, and what becomes of it. `code` is its kind."""

    code: str
    line: int
    reason: str


def told(remarks: Iterable[Remark]) -> list[Told]:
    """One {"code", "message"} for each kind: its first remark in full, the lines of the next, and how many more."""
    ordered = sorted(remarks, key=lambda each: (each.code, each.line))
    return [_told(code, list(group)) for code, group in groupby(ordered, key=lambda each: each.code)]


def _told(code: str, group: Sequence[Remark]) -> Told:
    first, *others = group
    message = f"Line {first.line}: {first.reason}"
    if others:
        lines = ", ".join(str(each.line) for each in others[:NAMED])
        more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
        message += f" The same at line{'s' if len(others) > 1 else ''} {lines}{more}."
    return {"code": code, "message": message}
