"""What lies on a media's time line. Times are absolute seconds in the media unless a name says samples."""

import math
from dataclasses import dataclass

UNTIMED = math.nan
"""Start or end of a word whose time is not known (digits and symbols after forced alignment)."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word as the recogniser writes it, with its leading space where the language has spaces.

    `speaker` is None where nobody has told who says it.
    """

    text: str
    start: float
    end: float
    probability: float = 1.0
    language: str | None = None
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Interval:
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of sound to transcribe; `speech` is the seconds of speech in it."""

    index: int
    start: float
    end: float
    speech: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A sentence or clause in one language ("und" where unknown) by one speaker, the unit of translation and speech."""

    start: float
    end: float
    language: str
    text: str
    words: tuple[Word, ...]
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """Segments up to a pause at a sentence's end."""

    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Slot:
    """The time a segment's dub may take: from its onset to `end`; the original speech lasts until `speech_end`."""

    onset: float
    speech_end: float
    end: float

    @property
    def own(self) -> float:
        """Seconds the original speech takes."""
        return self.speech_end - self.onset

    @property
    def seconds(self) -> float:
        """Seconds the dub may take: its own and the silence it may borrow."""
        return self.end - self.onset


@dataclass(frozen=True, slots=True)
class Fit:
    """How fast to speak: `seconds` at that speed, of which `overflow` lie past the slot."""

    speed: float
    seconds: float
    overflow: float


@dataclass(frozen=True, slots=True)
class Placement:
    """Where speech lies: `delay` past its own onset, `beyond` seconds past the end of the media."""

    onset: float
    end: float
    delay: float
    beyond: float


@dataclass(frozen=True, slots=True)
class Clip:
    """Speech in the mix: `key` names its sound; onset and length in samples at the mix's rate; `gain` is linear."""

    key: str
    onset: int
    samples: int
    gain: float = 1.0
