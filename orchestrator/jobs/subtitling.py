"""What a job's options make of its subtitles: by which profile they are cut, in which formats they are written."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.jobs import progress
from orchestrator.jobs.kinds import HEARD_TEXT, TEXT_FORMATS
from orchestrator.jobs.models import Job
from orchestrator.subtitles import ass, cues_json, srt, transcript, vtt
from orchestrator.subtitles.check import Violation, check, count
from orchestrator.subtitles.cues import Cue
from orchestrator.subtitles.rules import PROFILES, Rules, rules_for
from orchestrator.subtitles.transcript import Said


@dataclass(frozen=True, slots=True)
class Texts:
    """A language's subtitles, as cues by a profile and as sentences."""

    language: str
    cues: list[Cue]
    sentences: Sequence[Said] = ()
    profile: Rules = field(default_factory=lambda: PROFILES["plain"])

    @property
    def rules(self) -> Rules:
        return rules_for(self.language, self.profile)


def _json(texts: Texts) -> str:
    left = check(texts.cues, texts.rules)
    return cues_json.dumps(texts.cues, texts.language, profile=texts.profile.name, left=left)


WRITERS: Mapping[str, Callable[[Texts], str]] = {
    "srt": lambda texts: srt.dumps(texts.cues, texts.language),
    "vtt": lambda texts: vtt.dumps(texts.cues, texts.language),
    "vtt with words": lambda texts: vtt.dumps(texts.cues, texts.language, word_times=True),
    "ass": lambda texts: ass.dumps(texts.cues, texts.language),
    "txt": lambda texts: transcript.dumps(texts.sentences, texts.language),
    "json": _json,
}


async def encoded(kind: str, texts: Texts, *, word_times: bool = False) -> bytes:
    """The texts as a file of a format."""
    name = "vtt with words" if kind == "vtt" and word_times else kind
    return (await asyncio.to_thread(WRITERS[name], texts)).encode()


def profile_of(job: Job) -> Rules:
    """The rules a job's subtitles are made by."""
    return PROFILES[job.options.get("subtitle_profile") or "plain"]


LIMITS: Mapping[str, str] = {
    "lines": "have more than {lines} lines",
    "reading_speed": "are to be read faster than {reading_speed:g} characters a second",
    "reading_words": "are to be read faster than {words_per_minute:g} words a minute",
    "too_short": "are shown for less than {shortest:.2g} s",
    "late": "come more than {late:.2g} s after their words",
}
"""What of broken rules a reader notices."""


async def warn_of_rules(
    session: AsyncSession, job_id: UUID, rules: Rules, broken: Sequence[Violation], why: str
) -> None:
    """Say how many cues are hard to read, and why that is."""
    counted = count(broken)
    figures = {name: getattr(rules, name) for name in Rules.__dataclass_fields__}
    said = [f"{counted[rule]} {words.format(**figures)}" for rule, words in LIMITS.items() if counted.get(rule)]
    if said:
        message = f"Of the cues in '{rules.language}' {' and '.join(said)}: {why}"
        await progress.warn(session, job_id, "hard_to_read", message)


class Options(Protocol):
    """What of a job's options is about subtitles."""

    @property
    def formats(self) -> Sequence[str] | None: ...
    @property
    def subtitle_profile(self) -> str | None: ...
    @property
    def word_timing(self) -> bool | None: ...
    @property
    def burn_in(self) -> bool | None: ...


def check_options(kind: str, options: Options) -> None:
    """Raises ValueError, in words for people, where options of subtitles are none of the kind's."""
    if options.formats and kind not in TEXT_FORMATS:
        raise ValueError(f"options.formats is for subtitles, which {kind} does not give")
    if options.formats and len(set(options.formats)) < len(options.formats):
        raise ValueError("options.formats names a format more than once")
    if options.subtitle_profile and kind not in TEXT_FORMATS:
        raise ValueError(f"options.subtitle_profile is for subtitles, which {kind} does not give")
    if options.word_timing and kind not in HEARD_TEXT:
        raise ValueError(f"options.word_timing is for {', '.join(HEARD_TEXT)}; {kind} hears no words")
    if options.word_timing and options.formats and "vtt" not in options.formats:
        raise ValueError("options.word_timing is for WebVTT: add vtt to options.formats")
    if options.burn_in and kind != "video_translation":
        raise ValueError(f"options.burn_in is for video_translation; {kind} gives no picture")
