"""Text into tokens that may stand at a line's end, and tokens into lines."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.dubbing.sentences import CLAUSES, CLOSERS, ENDINGS, is_unspaced
from orchestrator.subtitles.grammar import clings, starts_phrase

_NO_LINE_START = re.escape("!?。！？｡、，；：）〉》」』】〕…‥・ーっゃゅょぁぃぅぇぉッャュョァィゥェォ々%,.:;)]}\"'”’»")
_NO_LINE_END = re.escape("（〈《「『【〔([{«“‘$€£¥")
_UNSPACED_TOKEN = re.compile(
    rf"[{_NO_LINE_END}]*(?:[A-Za-z0-9À-ɏ]+(?:[.,:'’/-][A-Za-z0-9À-ɏ]+)*|\S)[{_NO_LINE_START}\u0300-\u036f\u0e31\u0e34-\u0e3a\u0e47-\u0e4e]*"
)
"""A Latin word or number, else one character, with the marks that must not leave it (kinsoku shori, Thai vowels)."""


@dataclass(frozen=True, slots=True)
class Token:
    """The smallest part a line holds; `spaced` says that a space parts it from the one before."""

    text: str
    spaced: bool = True


def tokenize(text: str, language: str | None, longest: int) -> list[Token]:
    """The tokens of a text; none is longer than `longest` characters: words that are get split hard."""
    tokens: list[Token] = []
    for word in text.split():
        parts = _UNSPACED_TOKEN.findall(word) if is_unspaced(language) else [word]
        if "".join(parts) != word:
            parts = [word]
        for at, part in enumerate(parts):
            pieces = [part[cut : cut + longest] for cut in range(0, len(part), longest)]
            tokens += [Token(piece, spaced=at == 0 and which == 0) for which, piece in enumerate(pieces)]
    return tokens


def join(tokens: Sequence[Token]) -> str:
    return "".join((" " if at and token.spaced else "") + token.text for at, token in enumerate(tokens))


def fits(tokens: Sequence[Token], length: int, lines: int) -> bool:
    """Whether the tokens go into this many lines."""
    used, room = 1, length
    for at, token in enumerate(tokens):
        space = int(token.spaced and at > 0 and room < length)
        if len(token.text) + space <= room:
            room -= len(token.text) + space
        elif used == lines or len(token.text) > length:
            return False
        else:
            used, room = used + 1, length - len(token.text)
    return True


def break_lines(tokens: Sequence[Token], length: int, lines: int, language: str | None) -> tuple[str, ...]:
    """The tokens as the fewest, best-shaped lines. Raises ValueError where they do not fit."""
    for count in range(1, lines + 1):
        if fits(tokens, length, count):
            return tuple(join(line) for line in _best(tokens, length, count, language)[1])
    raise ValueError(f"{len(join(tokens))} characters do not fit {lines} lines of {length}")


def _best(
    tokens: Sequence[Token], length: int, count: int, language: str | None
) -> tuple[float, list[Sequence[Token]]]:
    """The cost and lines of the cheapest way to make exactly `count` lines."""
    if count == 1 or len(tokens) < 2:
        return (_shape(tokens, length), [tokens])
    options = []
    for cut in range(1, len(tokens)):
        if len(join(tokens[:cut])) <= length and fits(tokens[cut:], length, count - 1):
            cost, rest = _best(tokens[cut:], length, count - 1, language)
            options.append(
                (cost + _shape(tokens[:cut], length) + break_cost(tokens, cut, language), [tokens[:cut], *rest])
            )
    return min(options, key=lambda option: option[0])


def _shape(line: Sequence[Token], length: int) -> float:
    """Grows faster than the line, so that lines of equal length are cheapest."""
    return 2 * (len(join(line)) / length) ** 2


def break_cost(tokens: Sequence[Token], cut: int, language: str | None) -> float:
    """How bad it is to part tokens at `cut`, 0 (a sentence's end) to 1.2 (inside a word)."""
    before, after = tokens[cut - 1].text, tokens[cut].text
    mark = before.rstrip(CLOSERS)[-1:]
    if not tokens[cut].spaced and not is_unspaced(language):
        return 1.2
    if mark and mark in ENDINGS:
        return 0.0
    if mark and mark in CLAUSES:
        return 0.1
    if clings(before, language):
        return 1.0
    if starts_phrase(after, language):
        return 0.3
    return 0.6
