"""What a job is doing, in a sentence for people: made of counts and names of languages, never of what is said."""

from collections.abc import Mapping
from typing import Any

from orchestrator.languages import name_of

STATUS_WORDS: Mapping[str, str] = {
    "pending": "Waiting for a free place",
    "processing": "Started",
    "completed": "Completed",
    "failed": "Failed",
    "cancelled": "Cancelled",
}

STAGE_WORDS: Mapping[str, str] = {
    "extracting": "Reading the file",
    "transcribing": "Transcribing",
    "translating": "Translating",
    "synthesizing": "Speaking",
    "merging": "Putting the result together",
}

LANGUAGE_WORDS: Mapping[str, str] = {"translating": "Translating into {}", "synthesizing": "Speaking {}"}

UNITS: Mapping[str, str] = {"transcribing": "windows", "translating": "sentences", "synthesizing": "sentences"}


def step(stage: str, count: list[int] | None, language: str | None = None) -> str:
    """A stage with its count of done and expected units: "Speaking Spanish: 8 of 20 sentences".

    `language`: the code of the one the count is of, where there are several.
    """
    done, expected = count or [0, 0]
    words = STAGE_WORDS[stage]
    if language is not None and stage in LANGUAGE_WORDS:
        words = LANGUAGE_WORDS[stage].format(name_of(language))
    if not expected:
        return "Looking for speech" if stage == "transcribing" else words
    if stage == "merging":
        return f"{words}: {done} %"
    return f"{words}: {done} of {expected} {UNITS[stage]}" if stage in UNITS else words


def of_job(status: str, message: str | None, error: Mapping[str, Any] | None) -> str:
    """What a job is doing, or how it ended; `message`: of its last step."""
    if status == "failed" and error:
        return f"{STATUS_WORDS[status]}: {error['message']}"
    return message if status == "processing" and message else STATUS_WORDS[status]


def of_event(type_: str, data: Mapping[str, Any]) -> str:
    """The sentence of an event; one that was written without gets that of its status."""
    if "message" in data:
        return str(data["message"])
    stage = data.get("stage")
    step_ = step(stage, data.get("counts", {}).get(stage)) if stage else None
    return of_job(data.get("status", type_), step_, data.get("error"))
