"""Texts through one Marian: in lines and pieces the model takes, guarded, and put together again."""

from collections.abc import Sequence
from dataclasses import dataclass

from serve.errors import ModelError
from serve.models.marian import Found, Hypothesis, Marian
from serve.models.translation_guards import badness, mended, sound
from serve.models.translation_text import cleaned, divided, is_text, joined, lines

SPLIT_TOKENS = 64
"""Opus-MT learnt from sentences and drops some of many: a text of more tokens is translated sentence by sentence."""

AGAIN = {"no_repeat_ngram_size": 4, "repetition_penalty": 1.2}
"""How a translation that a guard refused is searched for once more."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line and the sentences to translate in it; none where it is passed through as it is."""

    text: str
    pieces: Sequence[str] = ()


def laid_out(marian: Marian, text: str) -> list[Line]:
    """A text's lines, newlines between them. ValueError when one cannot be divided into what the model takes."""
    return [Line(line, _pieces(marian, cleaned(line))) if is_text(line) else Line(line) for line in lines(text)]


def _pieces(marian: Marian, line: str) -> list[str]:
    return divided(line, lambda text: len(marian.pieces(text)), SPLIT_TOKENS, marian.max_tokens)


def translated(marian: Marian, texts: Sequence[Sequence[Line]], count: int) -> list[Found]:
    """Each text's translations, best first, at most `count`; a text's score is its pieces' mean by their length."""
    pieces = [piece for text in texts for line in text for piece in line.pieces]
    found = iter(_guarded(marian, pieces, count))
    return [_assembled(text, [[next(found) for _ in line.pieces] for line in text], count) for text in texts]


def _guarded(marian: Marian, sentences: Sequence[str], count: int) -> list[Found]:
    """Translations that pass the guards, or the least bad. What doesn't pass is searched for once more."""
    tokens = [marian.pieces(sentence) for sentence in sentences]
    found = marian.translate(tokens, count)
    if marian.search.forced_tokens:
        return found
    doubtful = [i for i, each in enumerate(found) if not isinstance(each, ModelError) and not _good(sentences[i], each)]
    wide = max(count, marian.search.beam_size)
    again = marian.translate([tokens[i] for i in doubtful], wide, **AGAIN) if doubtful else []
    second = dict(zip(doubtful, again, strict=True))
    return [
        each if isinstance(each, ModelError) else chosen(sentence, each, second.get(i), count)
        for i, (sentence, each) in enumerate(zip(sentences, found, strict=True))
    ]


def _good(source: str, hypotheses: Sequence[Hypothesis]) -> bool:
    return bool(hypotheses) and sound(source, hypotheses[0].text)


def chosen(source: str, first: Sequence[Hypothesis], second: Found | None, count: int) -> list[Hypothesis]:
    """Of one or two searches the hypotheses that pass, best first; none passing, the least bad without its loop."""
    candidates = [*first, *(second if isinstance(second, list) else ())]
    ranked = sorted({each.text: each for each in candidates}.values(), key=lambda each: -each.score)
    passing = [each for each in ranked if sound(source, each.text)]
    if passing or not ranked:
        return passing[:count]
    shortened = [Hypothesis(mended(source, each.text), each.score) for each in ranked]
    return [min(shortened, key=lambda each: badness(source, each.text))]


def _assembled(text: Sequence[Line], found: Sequence[Sequence[Found]], count: int) -> Found:
    """The n-th translation of a text consists of the n-th of each piece, or the last where a piece has fewer."""
    good: list[list[list[Hypothesis]]] = []
    for line in found:
        good.append([])
        for each in line:
            if isinstance(each, ModelError):
                return each
            good[-1].append(each)
    width = max((len(each) for line in good for each in line), default=1)
    return [_nth(text, good, rank) for rank in range(min(count, width))]


def _nth(text: Sequence[Line], found: Sequence[Sequence[Sequence[Hypothesis]]], rank: int) -> Hypothesis:
    parts: list[str] = []
    score = weight = 0.0
    for line, pieces in zip(text, found, strict=True):
        picked = [piece[min(rank, len(piece) - 1)] for piece in pieces if piece]
        parts.append(joined([each.text for each in picked]) if line.pieces else line.text)
        for source, each in zip(line.pieces, picked, strict=False):
            score += each.score * len(source)
            weight += len(source)
    return Hypothesis("".join(parts), score / weight if weight else 0.0)
