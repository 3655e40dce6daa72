"""How long each step of a job may take, in proportion to what it works on. Pure.

A step is given many times what it needs on a slow machine: what takes longer hangs. Time in which a step waits for a
place, for a model plane or database that is away, or for storage to recover does not count.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.errors import OctaviaError

StepName = Literal[
    "begin",
    "extract",
    "listen",
    "detect",
    "note_silence",
    "check_route",
    "transcribe",
    "segment",
    "translate",
    "speak",
    "read_cues",
    "write_translation",
    "place",
    "write_subtitles",
    "render",
    "prepare",
    "measure",
    "plan_speakers",
    "tell_apart",
    "settle_speakers",
    "take_references",
]
"""Names of durable steps, which are stored: one is never renamed."""


class Limit(BaseModel):
    """Seconds a step may take: a fixed part, and so many for every second of what it works on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seconds: float = Field(gt=0)
    per_second: float = Field(default=0, ge=0)

    def of(self, length_s: float) -> float:
        return self.seconds + self.per_second * length_s


LIMITS: Mapping[StepName, Limit] = {
    # Of the media's duration. Sound is extracted at 50 times real time and more, from a slow disk too.
    "extract": Limit(seconds=300, per_second=0.5),
    "listen": Limit(seconds=300, per_second=0.5),
    "write_subtitles": Limit(seconds=300, per_second=0.2),
    # A picture that must be transcoded: 4K on two slow cores takes five times real time.
    "render": Limit(seconds=600, per_second=10),
    # Of a dub that is read back as a whole: Whisper on two busy cores takes half of real time.
    "measure": Limit(seconds=900, per_second=5),
    # Of the window's or passage's: a replica takes a tenth of real time, behind a queue of others a minute.
    "transcribe": Limit(seconds=300, per_second=20),
    "translate": Limit(seconds=300, per_second=20),
    "speak": Limit(seconds=300, per_second=30),
    # Four windows are heard at once, however long the file is.
    "detect": Limit(seconds=900),
    # Of a subtitle file's last cue. Fifty thousand cues are read in 16 s and written in 14 on two busy cores.
    "read_cues": Limit(seconds=600),
    "write_translation": Limit(seconds=600),
    # Of at most ten minutes: pyannote takes longer than the recording lasts on one core.
    "tell_apart": Limit(seconds=7200),
    "take_references": Limit(seconds=300, per_second=0.5),
    # Rows alone.
    "plan_speakers": Limit(seconds=120),
    "settle_speakers": Limit(seconds=300, per_second=0.1),
    "begin": Limit(seconds=120),
    "note_silence": Limit(seconds=120),
    "check_route": Limit(seconds=120),
    "segment": Limit(seconds=300),
    "prepare": Limit(seconds=300, per_second=0.1),
    "place": Limit(seconds=300, per_second=0.1),
}
"""Those that nothing else is set for."""

DOING: Mapping[StepName, str] = {
    "extract": "Extracting the sound",
    "listen": "Finding the speech",
    "detect": "Detecting the language",
    "tell_apart": "Telling the speakers apart",
    "take_references": "Taking the speakers' own sound",
    "transcribe": "Hearing a part of the file",
    "translate": "Translating a passage",
    "speak": "Speaking a passage",
    "write_subtitles": "Writing the subtitles",
    "read_cues": "Reading the subtitles",
    "write_translation": "Writing the translated subtitles",
    "render": "Putting the result together",
    "measure": "Measuring the result",
}
"""What the steps that take long do, for people."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A step's limit for the job at hand, in seconds."""

    step: StepName
    seconds: float


def deadline(step: StepName, length_s: float, others: Mapping[StepName, Limit] | None = None) -> Deadline:
    """The limit of a step that works on `length_s` seconds; `others` go before those of this file."""
    limit = (others or {}).get(step) or LIMITS[step]
    return Deadline(step, limit.of(length_s))


class StageTimeoutError(OctaviaError):
    """A step took far longer than what it works on explains."""

    def __init__(self, over: Deadline) -> None:
        message = (
            f"{DOING.get(over.step, 'A step of the job')} took longer than {_said(over.seconds)}, which is far more "
            "than it should. Your credits are back. Try the job again; if it happens again, tell us its id."
        )
        super().__init__("stage_timeout", message, 504, step=over.step)


def _said(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
