"""Cues of Advanced SubStation Alpha files and of the older SSA: the lines `Dialogue:` of the section [Events]."""

import re
from collections.abc import Sequence

from orchestrator.subtitles import clock
from orchestrator.subtitles.document import FileCue, TextLine
from orchestrator.subtitles.remarks import Remark

FIELDS = ("layer", "start", "end", "style", "name", "marginl", "marginr", "marginv", "effect", "text")
"""Where a file does not say in which order they stand."""
_DRAWING = re.compile(r"\{[^{}]*\\p[1-9][^{}]*\}")
"""From here on numbers are strokes, not words."""


def read(lines: Sequence[TextLine]) -> tuple[list[FileCue], list[Remark]]:
    """The cues in order of the file, and what cannot be read: such a line stays in the file as it is."""
    cues: list[FileCue] = []
    remarks: list[Remark] = []
    fields: Sequence[str] = FIELDS
    section = ""
    for line in lines:
        text = line.text.strip()
        if text.startswith("[") and text.endswith("]"):
            section = text.lower()
            continue
        key, _, values = line.text.partition(":")
        kind = key.strip().lower()
        if section != "[events]" or kind not in ("format", "dialogue"):
            continue
        if kind == "format":
            named = tuple(name.strip().lower() for name in values.split(","))
            fields = named if named[-1:] == ("text",) and {"start", "end"} <= set(named) else FIELDS
            continue
        try:
            cues.append(_cue(line, values, fields))
        except ValueError as error:
            reason = f"{error}. The line is left as it is, untranslated and unspoken."
            remarks.append(Remark("malformed_cue", line.number, reason))
    return cues, remarks


def _cue(line: TextLine, values: str, fields: Sequence[str]) -> FileCue:
    parts = values.split(",", len(fields) - 1)
    if len(parts) < len(fields):
        raise ValueError(f"'Dialogue' has {len(parts)} of {len(fields)} fields ({', '.join(fields)})")
    row = dict(zip(fields, parts, strict=True))
    raw = parts[-1]
    return FileCue(
        line.number,
        clock.read_signed(row["start"]),
        clock.read_signed(row["end"]),
        raw,
        line.end - len(raw),
        line.end,
        voice=f"{row.get('style', '').strip()}/{row.get('name', '').strip()}",
        fixed=bool(_DRAWING.search(raw)),
    )
