"""A plain text, which has no times, as subtitles: a cue for each sentence, one after the other at a reader's pace."""

from collections.abc import Iterator

from orchestrator.dubbing.sentences import is_unspaced
from orchestrator.subtitles import srt
from orchestrator.subtitles.cues import Cue
from orchestrator.subtitles.language import certain
from orchestrator.subtitles.whole import Reading, sentences

READ_PER_S = 12.0
"""Characters a voice reads in a second without haste."""
READ_PER_S_UNSPACED = 4.0
"""The same in languages written without spaces, whose characters say more."""
SHORTEST_S = 1.0
PAUSE_S = 0.3
PARAGRAPH_PAUSE_S = 0.9


def as_subtitles(text: str) -> str | None:
    """The text as SubRip, its paragraphs parted by empty lines; None where it says nothing."""
    language = certain(text) or "en"
    cues = list(_cues(text, language))
    return srt.dumps(cues) if cues else None


def _cues(text: str, language: str) -> Iterator[Cue]:
    pace = READ_PER_S_UNSPACED if is_unspaced(language) else READ_PER_S
    at = 0.0
    for paragraph in _paragraphs(text):
        for sentence in sentences([Reading(0.0, 0.0, paragraph)], language):
            end = at + max(SHORTEST_S, len(sentence.text) / pace)
            yield Cue(at, end, (sentence.text,))
            at = end + PAUSE_S
        at += PARAGRAPH_PAUSE_S - PAUSE_S


def _paragraphs(text: str) -> Iterator[str]:
    lines: list[str] = []
    for line in [*text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), ""]:
        if line.strip():
            lines.append(line.strip())
        elif lines:
            yield "\n".join(lines)
            lines = []
