"""Whether an uploaded file is subtitles, and what is in them."""

from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import OctaviaError
from orchestrator.media.upload import TooLargeError
from orchestrator.subtitles import plain, reader
from orchestrator.subtitles.decode import HEAD_BYTES, SIGNS, UnknownEncodingError, decode, seems_text
from orchestrator.subtitles.language import certain
from orchestrator.subtitles.markup import split
from orchestrator.subtitles.remarks import Told, told
from orchestrator.subtitles.srt import SubtitleFormatError


class UnreadableSubtitlesError(OctaviaError):
    """Subtitles of which not one cue can be used; the message names line and reason."""

    def __init__(self, reason: str) -> None:
        super().__init__("subtitles_invalid", f"The subtitle file cannot be used: {reason}", 422)


@dataclass(frozen=True, slots=True)
class Subtitles:
    """A subtitle file as found. `format`: as of a Document; `language`: None where it is not certain."""

    format: str
    encoding: str
    cues: int
    language: str | None
    remarks: list[Told]


def examine(path: Path, limit: int) -> tuple[Subtitles, float] | None:
    """What is in a subtitle file of at most `limit` bytes, and the seconds it lasts; None where the file is none.

    Raises UnreadableSubtitlesError, TooLargeError.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        if not seems_text(head):
            return None
        if path.stat().st_size > limit:
            if any(sign.encode(encoding) in head for sign in SIGNS for encoding in ("utf-8", "utf-16-le", "utf-16-be")):
                raise TooLargeError(limit, "subtitle file")
            return None
        data = head + file.read()
    try:
        found = reader.read(data)
    except SubtitleFormatError as error:
        raise UnreadableSubtitlesError(str(error)) from error
    if found is None:
        return None
    document = found.document
    text = "\n".join(split(cue.raw, document.format).text for cue in document.cues if not cue.fixed)
    remarks = told(found.remarks)
    subtitles = Subtitles(document.format, found.encoding, len(document.cues), certain(text), remarks)
    return subtitles, document.seconds


def plain_text_as_subtitles(data: bytes) -> bytes | None:
    """A text without times as a SubRip file that says it; None for what is subtitles already, no text, or empty."""
    if not seems_text(data[:HEAD_BYTES]):
        return None
    try:
        text = decode(data).text
    except UnknownEncodingError:
        return None
    if reader.format_of(text) is not None:
        return None
    found = plain.as_subtitles(text)
    return found.encode() if found else None
