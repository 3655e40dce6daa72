"""When the words of a segment are said after its text or its times were changed."""

from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher

from orchestrator.dubbing.sentences import is_unspaced
from orchestrator.dubbing.timeline import Word


def retimed(words: Sequence[Word], text: str, start: float, end: float, language: str) -> tuple[Word, ...]:
    """The words of a new text between `start` and `end`: those that stayed keep their times, the others share what lies
    between these by their length. Without words there were no times, and there are none."""
    if not words:
        return ()
    pieces = _pieces(text, language)
    matcher = SequenceMatcher(None, [_bare(word.text) for word in words], [_bare(piece) for piece in pieces], False)
    placed: list[Word] = []
    for kind, first, last, begin, stop in matcher.get_opcodes():
        if kind == "equal":
            kept = zip(words[first:last], pieces[begin:stop], strict=True)
            placed += [replace(word, text=piece) for word, piece in kept]
        elif begin < stop:
            since = placed[-1].end if placed else start
            until = words[last].start if last < len(words) else end
            placed += _shared(pieces[begin:stop], since, max(since, until))
    return tuple(placed)


def moved(words: Sequence[Word], old: tuple[float, float], new: tuple[float, float]) -> tuple[Word, ...]:
    """The words of a segment whose start and end were changed: at the same shares of its time."""
    length = old[1] - old[0]
    scale = (new[1] - new[0]) / length if length > 0 else 0.0

    def at(time: float) -> float:
        return min(new[1], max(new[0], new[0] + (time - old[0]) * scale))

    return tuple(replace(word, start=at(word.start), end=at(word.end)) for word in words)


def within(words: Sequence[Word], start: float, end: float) -> tuple[Word, ...]:
    """The words held to a time."""
    held = ((min(max(word.start, start), end), min(max(word.end, start), end)) for word in words)
    return tuple(replace(word, start=begin, end=stop) for word, (begin, stop) in zip(words, held, strict=True))


def _pieces(text: str, language: str) -> list[str]:
    """A text as words are written down: with the space before them where the language has spaces."""
    if not is_unspaced(language):
        return [f" {word}" for word in text.split()]
    return [character for character in text if not character.isspace()]


def _bare(text: str) -> str:
    return text.strip().casefold()


def _shared(pieces: Sequence[str], start: float, end: float) -> list[Word]:
    length = sum(max(1, len(piece.strip())) for piece in pieces)
    each = (end - start) / length
    words, at = [], start
    for piece in pieces:
        until = at + each * max(1, len(piece.strip()))
        words.append(Word(piece, at, min(until, end)))
        at = until
    return words
