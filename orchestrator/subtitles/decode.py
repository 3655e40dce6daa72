"""The bytes of a subtitle file as text, in whatever encoding it was saved.

1. A byte order mark says it. Without one, UTF-16 is known by its arrows and headings, UTF-8 by being valid.
2. Anything else is a code page of before Unicode, told by charset-normalizer from the lines that are not ASCII.
3. A file glued together from both is read line by line: what is valid UTF-8 is taken for that.

Control characters, which no line of a subtitle holds, are left out: neither databases nor models take them.
"""

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass

import charset_normalizer

from orchestrator.subtitles.remarks import Remark

CODE_PAGES = (
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874"),
    *("koi8_r", "iso8859_2", "cp932", "euc_jp", "gb18030", "big5", "cp949"),
)
"""What subtitles were saved in before Unicode."""
SEVERAL_BYTES = frozenset({"cp932", "euc_jp", "gb18030", "big5", "cp949"})
TRUSTED_UTF8 = 0.2
"""Share of lines that must be valid UTF-8 to count as such beside an encoding whose letters may look like it."""

SAMPLE_BYTES = 64 * 2**10
HEAD_BYTES = 64 * 2**10

MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
SIGNS = ("-->", "WEBVTT", "[Script Info]", "[Events]", "Dialogue:")
"""One of them stands in every subtitle file."""

_CONTROLS = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 127, 65279))
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x19\x1c-\x1f]")
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n|\Z)")


@dataclass(frozen=True, slots=True)
class Decoded:
    """A file's text without byte order mark; `marked` says that it had one."""

    text: str
    encoding: str
    marked: bool
    remarks: tuple[Remark, ...] = ()


class UnknownEncodingError(ValueError):
    """No encoding we know gives text."""

    def __init__(self) -> None:
        super().__init__("its encoding cannot be told; save it as UTF-8")


def seems_text(head: bytes) -> bool:
    """Whether a file that begins like this may be text: media files hold bytes that no text has."""
    return _utf16(head) is not None or not _BINARY.search(head)


def decode(data: bytes) -> Decoded:
    """The text of a file. Raises UnknownEncodingError."""
    for mark, encoding in MARKS:
        if data.startswith(mark):
            return _decoded(data[len(mark) :], encoding, marked=True)
    unmarked = _utf16(data[:HEAD_BYTES])
    if unmarked:
        return _decoded(data, unmarked)
    try:
        return Decoded(_clean(data.decode()), "utf-8", marked=False)
    except UnicodeDecodeError:
        return _legacy(data)


def _utf16(head: bytes) -> str | None:
    """The byte order of UTF-16 text, with or without its mark; None where it is none."""
    for mark, encoding in MARKS[1:]:
        found = [head.find(sign.encode(encoding)) for sign in SIGNS]
        if head.startswith(mark) or any(at >= 0 and at % 2 == 0 for at in found):
            return encoding
    return None


def _decoded(data: bytes, encoding: str, *, marked: bool = False) -> Decoded:
    text = data.decode(encoding, errors="replace")
    remarks = []
    if "\ufffd" in text and "\ufffd".encode(encoding) not in data:
        line = text.count("\n", 0, text.index("\ufffd")) + 1
        reason = f"bytes that are no {encoding.upper()} are shown as \ufffd; the file may be cut off or damaged."
        remarks.append(Remark("undecodable", line, reason))
    return Decoded(_clean(text), encoding, marked, tuple(remarks))


def _legacy(data: bytes) -> Decoded:
    """A file that is no Unicode, or not everywhere."""
    lines = _LINE.findall(data)
    foreign = [at for at, line in enumerate(lines) if not line.isascii()]
    unicode = {at for at in foreign if _is_utf8(lines[at])}
    strange = [lines[at] for at in foreign if at not in unicode]
    encoding = _code_page(strange)
    if encoding in SEVERAL_BYTES and len(unicode) < TRUSTED_UTF8 * len(foreign):
        unicode = set()
    first = next(at for at in foreign if at not in unicode) + 1
    if not unicode:
        reason = f"the file is not UTF-8 and was read as {encoding}. If letters look wrong, save it as UTF-8."
        text, remark = data.decode(encoding, errors="replace"), Remark("encoding_guessed", first, reason)
    else:
        reason = f"the file mixes UTF-8 with {encoding}, as which this line was read."
        parts = [line.decode("utf-8" if at in unicode else encoding, errors="replace") for at, line in enumerate(lines)]
        text, remark = "".join(parts), Remark("mixed_encodings", first, reason)
    return Decoded(_clean(text), encoding, marked=False, remarks=(remark,))


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _code_page(lines: Sequence[bytes]) -> str:
    found = charset_normalizer.from_bytes(b"".join(lines)[:SAMPLE_BYTES], cp_isolation=list(CODE_PAGES)).best()
    if found is None:
        raise UnknownEncodingError
    return found.encoding


def _clean(text: str) -> str:
    return text.translate(_CONTROLS)
