"""What a check says."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.settings import Settings

Level = Literal["error", "warning", "ok"]
LEVELS: tuple[Level, ...] = ("error", "warning", "ok")


@dataclass(frozen=True, slots=True)
class Finding:
    """error: jobs fail, or will. warning: they do not, and something wants to be looked at. `fix`: what to do."""

    level: Level
    text: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """The deployment: its settings, and its addresses, which are those of a running `octavia up` where none are set."""

    settings: Settings
    database_url: str | None
    model_address: str


Check = Callable[[Patient], Awaitable[Sequence[Finding]]]


def ok(text: str) -> list[Finding]:
    return [Finding("ok", text)]


def error(text: str, fix: str) -> list[Finding]:
    return [Finding("error", text, fix)]


def warning(text: str, fix: str) -> list[Finding]:
    return [Finding("warning", text, fix)]
