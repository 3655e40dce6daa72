"""Sentences that were cut into several segments, for their length or at a pause: translated whole, then shared out."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.subtitles.lines import join, tokenize
from orchestrator.subtitles.whole import HARDEST, Reading, sentences, share_tokens


@dataclass(frozen=True, slots=True)
class Whole:
    """A text to translate at once, the segments it stands in, and how many characters of it each has."""

    text: str
    segments: range
    lengths: tuple[int, ...]


def wholes(segments: Sequence[Reading], language: str) -> list[Whole]:
    """The segments, those that are clauses of one sentence together. Each is in exactly one, in order."""
    read = sentences(segments, language)
    sharing = Counter(cue for sentence in read for cue in {part.cue for part in sentence.parts})
    found: dict[int, Whole] = {}
    for sentence in read:
        cues = [part.cue for part in sentence.parts]
        if len(cues) > 1 and all(sharing[cue] == 1 for cue in cues):
            lengths = tuple(part.length for part in sentence.parts)
            found[cues[0]] = Whole(sentence.text, range(cues[0], cues[-1] + 1), lengths)
    result: list[Whole] = []
    at = 0
    while at < len(segments):
        text = segments[at].text
        result.append(found.get(at) or Whole(text, range(at, at + 1), (len(text),)))
        at = result[-1].segments.stop
    return result


def clauses(translation: str, lengths: Sequence[int], language: str) -> list[str] | None:
    """A translation in as many pieces as there are lengths, by their proportion, parted where it reads best.

    None where it has too few words for that.
    """
    tokens = tokenize(translation, language, HARDEST)
    if len(tokens) < len(lengths):
        return None
    return [join(run) for run in share_tokens(tokens, lengths, language)]
