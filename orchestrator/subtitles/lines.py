"""Text into tokens that may stand at a line's end, and tokens into lines."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate

import budoux
import regex

from orchestrator.dubbing.sentences import CLAUSES, CLOSERS, ENDINGS, is_unspaced
from orchestrator.subtitles.grammar import clings, starts_phrase
from orchestrator.subtitles.measure import EACH_ONE, Widths, pieces, width

NO_LINE_START = "！？!?。｡、，；：）〉》」』】〕］｝…‥・ーっゃゅょぁぃぅぇぉッャュョァィゥェォヮヵヶ々ゝゞヽヾ〜ๆฯ"
NO_LINE_END = "（〈《「『【〔［｛เแโใไ"
"""Kinsoku shori (JIS X 4051, GB/T 15834), and the Thai vowels that are written before the letter they follow."""
_CLINGS_BACK = regex.escape(NO_LINE_START + "%,.:;)]}\"'”’»")
_CLINGS_ON = regex.escape(NO_LINE_END + "([{«“‘$€£¥")
_UNSPACED_TOKEN = regex.compile(
    rf"[{_CLINGS_ON}]*(?:[A-Za-z0-9À-ɏ]+(?:[.,:'’/-][A-Za-z0-9À-ɏ]+)*|\X)(?:[{_CLINGS_BACK}]|[\p{{M}}\u200d\ufe0e\ufe0f])*"
)
"""A Latin word or number, else one character, with the marks that must not leave it."""

INSIDE_PHRASE = 0.8
AT_SPACE = 0.2
"""What parting costs in languages without spaces: within a phrase, and where one is written all the same."""


@dataclass(frozen=True, slots=True)
class Token:
    """The smallest part a line holds; `spaced` says that a space parts it from the one before.

    `inside`: it goes on with the phrase of the one before it, in a language without spaces.
    """

    text: str
    spaced: bool = True
    inside: bool = field(default=False, compare=False)


def tokenize(text: str, language: str | None, longest: float, widths: Widths = EACH_ONE) -> list[Token]:
    """The tokens of a text; none is wider than `longest`: words that are get split hard, never within a character."""
    tokens: list[Token] = []
    for word in text.split():
        parts = _UNSPACED_TOKEN.findall(word) if is_unspaced(language) else [word]
        if "".join(parts) != word:
            parts = [word]
        phrases = _phrases(word, language) if len(parts) > 1 else frozenset()
        begin = 0
        for at, part in enumerate(parts):
            for which, piece in enumerate(pieces(part, longest, widths)):
                inside = bool(phrases) and begin not in phrases
                tokens.append(Token(piece, at == 0 and which == 0, inside))
                begin += len(piece)
    return tokens


def _phrases(word: str, language: str | None) -> frozenset[int]:
    """Where phrases begin in a text without spaces (BudouX, Apache-2.0); empty where it does not know the language."""
    parser = _parser((language or "").lower())
    if parser is None:
        return frozenset()
    return frozenset(accumulate((len(phrase) for phrase in parser.parse(word)), initial=0))


TRADITIONAL = ("zh-hant", "zh-tw", "zh-hk", "zh-mo", "yue")


@lru_cache(maxsize=64)
def _parser(language: str) -> budoux.Parser | None:
    if language.startswith(TRADITIONAL):
        return budoux.load_default_traditional_chinese_parser()
    loaders = {
        "ja": budoux.load_default_japanese_parser,
        "zh": budoux.load_default_simplified_chinese_parser,
        "th": budoux.load_default_thai_parser,
    }
    loader = loaders.get(language.split("-", maxsplit=1)[0])
    return loader() if loader else None


def join(tokens: Sequence[Token]) -> str:
    return "".join((" " if at and token.spaced else "") + token.text for at, token in enumerate(tokens))


def fits(tokens: Sequence[Token], length: float, lines: int, widths: Widths = EACH_ONE) -> bool:
    """Whether the tokens go into this many lines."""
    used, room = 1, length
    for at, token in enumerate(tokens):
        taken = width(token.text, widths)
        space = widths[0] if token.spaced and at > 0 and room < length else 0.0
        if taken + space <= room:
            room -= taken + space
        elif used == lines or taken > length:
            return False
        else:
            used, room = used + 1, length - taken
    return True


def break_lines(
    tokens: Sequence[Token],
    length: float,
    lines: int,
    language: str | None,
    widths: Widths = EACH_ONE,
    *,
    strictly: bool = False,
) -> tuple[str, ...]:
    """The tokens as the fewest, best-shaped lines; `strictly`: a good place to break counts more than any shape.

    Raises ValueError where they do not fit.
    """
    for count in range(1, lines + 1):
        if fits(tokens, length, count, widths):
            shape = _Shape(length, language, widths, 10.0 if strictly else 1.0)
            return tuple(join(line) for line in _best(tokens, count, shape)[1])
    raise ValueError(f"{len(join(tokens))} characters do not fit {lines} lines of {length:g}")


@dataclass(frozen=True, slots=True)
class _Shape:
    """What lines are to look like."""

    length: float
    language: str | None
    widths: Widths
    clinging: float
    """How many times the cost of parting words that belong together counts."""

    def fits(self, line: Sequence[Token]) -> bool:
        return width(join(line), self.widths) <= self.length

    def cost(self, line: Sequence[Token]) -> float:
        """Grows faster than the line, so that lines of equal length are cheapest."""
        return 2 * (width(join(line), self.widths) / self.length) ** 2

    def breaking(self, tokens: Sequence[Token], cut: int) -> float:
        return break_cost(tokens, cut, self.language) * (
            self.clinging if is_bad_break(tokens[cut - 1].text, self.language) else 1.0
        )


def _best(tokens: Sequence[Token], count: int, shape: _Shape) -> tuple[float, list[Sequence[Token]]]:
    """The cost and lines of the cheapest way to make exactly `count` lines."""
    if count == 1 or len(tokens) < 2:
        return (shape.cost(tokens), [tokens])
    options = []
    for cut in range(1, len(tokens)):
        if shape.fits(tokens[:cut]) and fits(tokens[cut:], shape.length, count - 1, shape.widths):
            cost, rest = _best(tokens[cut:], count - 1, shape)
            options.append((cost + shape.cost(tokens[:cut]) + shape.breaking(tokens, cut), [tokens[:cut], *rest]))
    return min(options, key=lambda option: option[0])


def is_bad_break(last: str, language: str | None) -> bool:
    """Whether a line must not end with this word: what follows belongs to it, and no punctuation parts them."""
    mark = last.rstrip(CLOSERS)[-1:]
    return not (mark and mark in ENDINGS + CLAUSES) and clings(last, language)


def break_cost(tokens: Sequence[Token], cut: int, language: str | None) -> float:
    """How bad it is to part tokens at `cut`, 0 (a sentence's end) to 1.2 (inside a word)."""
    before, token = tokens[cut - 1].text, tokens[cut]
    unspaced = is_unspaced(language)
    mark = before.rstrip(CLOSERS)[-1:]
    if not token.spaced and not unspaced:
        cost = 1.2
    elif mark and mark in ENDINGS:
        cost = 0.0
    elif mark and mark in CLAUSES:
        cost = 0.1
    elif unspaced:
        cost = AT_SPACE if token.spaced else INSIDE_PHRASE if token.inside else 0.5
    elif clings(before, language):
        cost = 1.0
    else:
        cost = 0.3 if starts_phrase(token.text, language) else 0.6
    return cost
