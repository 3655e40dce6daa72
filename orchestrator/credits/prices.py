"""What a job costs, in credits. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

JobKind = Literal[
    "video_translation", "audio_translation", "subtitles", "subtitle_translation", "subtitle_to_audio", "voice_preview"
]


class Price(BaseModel):
    """Credits per target language: a fixed part, and one for every started minute of the media."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    credits: int = Field(ge=0)
    per_minute: int = Field(default=0, ge=0)


PRICES: Mapping[JobKind, Price] = {
    "video_translation": Price(credits=10),
    "audio_translation": Price(credits=10),
    "subtitle_translation": Price(credits=5),
    "subtitle_to_audio": Price(credits=5),
    "subtitles": Price(credits=1),
    "voice_preview": Price(credits=1),
}
"""Those that nothing else is set for."""


@dataclass(frozen=True, slots=True)
class Line:
    """What a job costs in one language; None is the language of the original."""

    language: str | None
    credits: int


@dataclass(frozen=True, slots=True)
class Quote:
    """What a job costs, line by line."""

    lines: tuple[Line, ...]

    @property
    def credits(self) -> int:
        return sum(line.credits for line in self.lines)

    def free(self) -> "Quote":
        """The same for nothing."""
        return Quote(tuple(Line(line.language, 0) for line in self.lines))


def regeneration(credits: int, changed_s: float, total_s: float) -> int:
    """What it costs to make a dub anew of which `changed_s` seconds are other: that share of the job's own price, in
    whole credits rounded up; one at the least, never more than the job. Nothing where nothing changed or it was free.
    """
    if not credits or changed_s <= 0:
        return 0
    share = changed_s / total_s if total_s > 0 else 1.0
    return min(credits, max(1, math.ceil(credits * share - 1e-9)))


def quote(
    kind: JobKind, targets: Sequence[str], duration_s: float, prices: Mapping[JobKind, Price] | None = None
) -> Quote:
    """The price of a job on a media of `duration_s` seconds: the sum over its target languages.

    Subtitles without a target cost one line. `prices` are those set otherwise than `PRICES`.
    """
    price = {**PRICES, **(prices or {})}[kind]
    credits = price.credits + price.per_minute * math.ceil(duration_s / 60)
    languages: Sequence[str | None] = targets or (None,)
    return Quote(tuple(Line(language, credits) for language in languages))
