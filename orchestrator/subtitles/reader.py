"""A subtitle file of any kind we take, told by its content and read into a document."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.subtitles import cues_json, read_ass, read_srt, read_vtt
from orchestrator.subtitles.decode import UnknownEncodingError, decode
from orchestrator.subtitles.document import MOST_CUES, Document, FileCue, TextLine, lines_of, remarks_on_times
from orchestrator.subtitles.markup import split
from orchestrator.subtitles.remarks import Remark
from orchestrator.subtitles.srt import SubtitleFormatError

CONTENT_TYPES: Mapping[str, str] = {
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
    "ass": "text/x-ssa",
    "ssa": "text/x-ssa",
    "txt": "text/plain; charset=utf-8",
    "json": "application/json",
}

LONGEST_CUE = 5_000
"""Characters nobody could read in one cue, nor any voice speak at once."""

Reader = Callable[[Sequence[TextLine]], tuple[list[FileCue], list[Remark]]]

READERS: Mapping[str, Reader] = {
    "srt": read_srt.read,
    "vtt": read_vtt.read,
    "ass": read_ass.read,
    "ssa": read_ass.read,
}

_VTT = re.compile(r"\s*WEBVTT(?:[ \t\r\n]|\Z)")
_ASS = re.compile(r"^[ \t]*\[(?:script info|v4\+? styles|events)\][ \t]*$", re.IGNORECASE | re.MULTILINE)
_SSA = re.compile(r"^[ \t]*\[v4 styles\][ \t]*$", re.IGNORECASE | re.MULTILINE)
_LIKE_CUES = re.compile(r"^[^\r\n]*\d[ \t]*-{1,3}[ \t]?>", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class SubtitleFile:
    """A file as read: its document, how it was encoded, and all that is not as it should be."""

    document: Document
    encoding: str
    marked: bool
    """It began with a byte order mark."""
    remarks: tuple[Remark, ...]


def format_of(text: str) -> str | None:
    """ "srt", "vtt", "ass", "ssa" or our own "json"; None for a text that is no subtitles."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if cues_json.SIGN.match(text):
        return "json"
    if _VTT.match(text):
        return "vtt"
    if _ASS.search(text):
        return "ssa" if _SSA.search(text) else "ass"
    return "srt" if _LIKE_CUES.search(text) else None


def read(data: bytes) -> SubtitleFile | None:
    """The file with these bytes; None where they are no subtitles at all.

    Raises SubtitleFormatError, with line and reason, where they are but not a single cue can be read, or there are too
    many of them.
    """
    try:
        decoded = decode(data)
    except UnknownEncodingError as error:
        raise SubtitleFormatError(str(error)) from error
    kind = format_of(decoded.text)
    if kind is None:
        return None
    lines = lines_of(decoded.text)
    if kind == "vtt":
        lines = lines[next(at for at, line in enumerate(lines) if not line.is_blank) :]
    cues, remarks = (_own_json(decoded.text), []) if kind == "json" else READERS[kind](lines)
    if not cues:
        raise SubtitleFormatError(
            f"line {remarks[0].line}: {remarks[0].reason}" if remarks else "there is no cue in it"
        )
    if len(cues) > MOST_CUES:
        raise SubtitleFormatError(
            f"line {cues[MOST_CUES].line}: more than {MOST_CUES:,} cues are not taken; cut the file in parts"
        )
    for cue in cues:
        _refuse_endless(cue, kind)
    remarks += remarks_on_times(cues)
    document = Document(kind, decoded.text, tuple(cues), tuple(remarks))
    return SubtitleFile(document, decoded.encoding, decoded.marked, (*decoded.remarks, *remarks))


def _own_json(text: str) -> list[FileCue]:
    """The cues of our own JSON. It is always written anew, so that their places in it are of no use: all 0."""
    cues = [cue for cue in cues_json.loads(text) if cue.text.strip()]
    return [
        FileCue(number, cue.start, cue.end, cue.text, 0, 0, cue.speaker or "") for number, cue in enumerate(cues, 1)
    ]


def _refuse_endless(cue: FileCue, kind: str) -> None:
    if len(cue.raw) > LONGEST_CUE and not cue.fixed and len(split(cue.raw, kind).text) > LONGEST_CUE:
        raise SubtitleFormatError(
            f"line {cue.line}: the cue says more than {LONGEST_CUE:,} characters; cut it in parts that can be read"
        )


def encoded(text: str, *, marked: bool) -> bytes:
    """A file's text as it is written: always in UTF-8, which every language has room in."""
    return text.encode("utf-8-sig" if marked else "utf-8")
