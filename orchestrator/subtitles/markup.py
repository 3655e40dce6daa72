"""What a cue shows apart from how: its visible text, and the tags in it with their places.

Put back into a translation,

1. what stands before the first and behind the last visible character stays there, in the same order: a cue in italics
   or in a corner of the picture stays so to the letter;
2. a tag between words keeps its share of the text, at the nearest boundary of words. Tags keep their order, so pairs
   stay pairs, and two with words between them keep at least one there. Where the words between two tags come again in
   the translation, as names and numbers do, the tags stay with them.

No translation tells which word became which: an emphasis inside a sentence may end up on the neighbour of its word.
"""

import html
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise

from orchestrator.dubbing.sentences import is_unspaced

DIRECTION = re.compile("[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]")
"""Marks and embeddings of Unicode's bidirectional algorithm."""
RIGHT_TO_LEFT = frozenset({"ar", "arc", "ckb", "dv", "fa", "he", "ks", "ku", "ps", "sd", "ug", "ur", "yi"})

_PIECES: Mapping[str, re.Pattern[str]] = {
    "srt": re.compile(rf"(?P<line><br[ ]?/?>)|(?P<tag></?[a-zA-Z][^<>]*>|\{{\\[^{{}}]*\}}|{DIRECTION.pattern})"),
    "vtt": re.compile(rf"(?P<line>(?!))|(?P<tag></?[a-zA-Z][^<>]*>|<[\d:.]+>|</>|&(?:lrm|rlm);|{DIRECTION.pattern})"),
    "ass": re.compile(rf"(?P<line>\\[Nn])|(?P<tag>\{{[^{{}}]*\}}|{DIRECTION.pattern})"),
    "json": re.compile(r"(?P<line>(?!))(?P<tag>(?!))"),
}
_ENTITY = re.compile(r"&(?:#\d+|#x[\da-fA-F]+|[a-zA-Z]+);")
_WORD, _CHARACTER, _SPACE = re.compile(r"\S+"), re.compile(r"\S"), re.compile(r"\s*")
_MARKS = ".,;:!?…\"'“”‘’«»¿¡"
"""Punctuation that two languages may set otherwise around the same name."""


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag before the character at `place` of the visible text."""

    place: int
    text: str

    @property
    def closes(self) -> bool:
        return self.text.startswith("</")


@dataclass(frozen=True, slots=True)
class Marked:
    """A cue's visible text, its lines parted by a newline, and its tags in order."""

    raw: str
    text: str
    tags: tuple[Tag, ...]


def split(raw: str, format_: str) -> Marked:
    """What a cue of a format says, taken apart."""
    kind = "ass" if format_ == "ssa" else format_
    pieces: list[str] = []
    tags: list[Tag] = []
    length = at = 0
    for match in _PIECES[kind].finditer(raw):
        before = _PLAIN[kind](raw[at : match.start()]) + ("\n" if match["line"] else "")
        pieces.append(before)
        length += len(before)
        at = match.end()
        if match["tag"]:
            tags.append(Tag(length, match["tag"]))
    return Marked(raw, "".join([*pieces, _PLAIN[kind](raw[at:])]), tuple(tags))


def _plain_ass(text: str) -> str:
    return text.replace("\\h", " ")


def _unescaped(text: str) -> str:
    return _ENTITY.sub(lambda match: DIRECTION.sub("", html.unescape(match[0])), text)


_PLAIN: Mapping[str, Callable[[str], str]] = {"srt": _unescaped, "vtt": _unescaped, "ass": _plain_ass, "json": str}


def put_back(marked: Marked, text: str, format_: str, language: str) -> str:
    """The cue saying `text`, lines parted by a newline, in a language. The same text gives the same cue."""
    if text == marked.text:
        return marked.raw
    kept = [tag for tag in marked.tags if _fits(tag, language)]
    words = [match.span() for match in (_CHARACTER if is_unspaced(language) else _WORD).finditer(text)]
    escape = _ESCAPES["ass" if format_ == "ssa" else format_]
    with_entities = bool(_ENTITY.search(marked.raw))
    written, at = [], 0
    for tags, boundary in _placed(marked.text, kept, text, words):
        for tag, closing in tags:
            spot = _spot(closing, boundary, words, len(text))
            written += [escape(text[at:spot], with_entities), tag.text]
            at = spot
    return "".join([*written, escape(text[at:], with_entities)])


def _fits(tag: Tag, language: str) -> bool:
    """Marks of direction go where the new script runs the other way; everything else stays."""
    return not DIRECTION.fullmatch(html.unescape(tag.text)) or language.split("-", maxsplit=1)[0] in RIGHT_TO_LEFT


_Group = list[tuple[Tag, bool]]
"""Tags at one place, each with whether it closes what stands before it, with nothing but such in front."""
_START, _END = -1, 2**31


def _placed(source: str, tags: Sequence[Tag], text: str, words: Sequence[tuple[int, int]]) -> list[tuple[_Group, int]]:
    """Tags by their place, with the word of the translation they go before."""
    first, last = len(source) - len(source.lstrip()), len(source.rstrip())

    def place_of(tag: Tag) -> int:
        """Tags with nothing but space between them stand at one place."""
        space = _SPACE.match(source, tag.place)
        return _START if tag.place <= first else min(space.end() if space else tag.place, last)

    groups = [(place, list(group)) for place, group in groupby(tags, key=place_of)]
    inner = [place for place, _ in groups if _START < place < last]
    boundaries = {_START: _START, last: _END} | dict(zip(inner, _boundaries(source, inner, text, words), strict=True))
    return [(_with_sides(group), boundaries[place]) for place, group in groups]


def _with_sides(tags: Sequence[Tag]) -> _Group:
    closing: list[bool] = list(accumulate((tag.closes for tag in tags), lambda before, now: before and now))
    return list(zip(tags, closing, strict=True))


def _boundaries(source: str, places: Sequence[int], text: str, words: Sequence[tuple[int, int]]) -> list[int]:
    """For each place within the source the word of the translation it goes before, in the same order."""
    pins = _pins(source, places, text, words)
    starts = [start for start, _ in words]
    latest, ahead = [0] * len(places), len(words)
    for at in range(len(places) - 1, -1, -1):
        ahead = latest[at] = pins.get(at, ahead - 1)
    found: list[int] = []
    for at, place in enumerate(places):
        before = found[-1] if found else 0
        nearest = _nearest(starts, _reached(source, place, text))
        found.append(pins.get(at, max(min(max(nearest, before + 1), latest[at]), before)))
    return found


def _reached(source: str, place: int, text: str) -> float:
    """The place in the translation: its share of the text, or of its line where both have as many."""
    lines, translated = source.split("\n"), text.split("\n")
    if len(lines) != len(translated):
        return place / len(source) * len(text)
    line = source.count("\n", 0, place)
    before = sum(len(each) + 1 for each in lines[:line])
    share = (place - before) / max(1, len(lines[line]))
    return sum(len(each) + 1 for each in translated[:line]) + share * len(translated[line])


def _nearest(starts: Sequence[int], at: float) -> int:
    after = bisect_left(starts, at)
    if after and (after == len(starts) or at - starts[after - 1] <= starts[after] - at):
        return after - 1
    return after


def _pins(source: str, places: Sequence[int], text: str, words: Sequence[tuple[int, int]]) -> dict[int, int]:
    """Places whose words come again in the translation, once and in order, by their number: before which word."""
    spelled = [text[start:stop].strip(_MARKS) for start, stop in words]
    where: defaultdict[str, list[int]] = defaultdict(list)
    for at, word in enumerate(spelled):
        where[word].append(at)
    pins: dict[int, int] = {}
    reached = 1
    for at, (place, following) in enumerate(pairwise(places)):
        between = [word.strip(_MARKS) for word in source[place:following].split()]
        hits = where.get(between[0], []) if between else []
        if len(hits) == 1 and hits[0] >= reached + at and spelled[hits[0] : hits[0] + len(between)] == between:
            pins[at], pins[at + 1] = hits[0], hits[0] + len(between)
            reached = pins[at + 1] - at
    return pins


def _spot(closing: bool, boundary: int, words: Sequence[tuple[int, int]], length: int) -> int:
    """The character a tag goes before: a closing one follows the word before the boundary, others precede the next."""
    if boundary == _START:
        return 0
    if boundary >= len(words):
        return length
    return words[boundary - 1][1] if closing and boundary else words[boundary][0]


def _srt_text(text: str, with_entities: bool) -> str:
    return (html.escape(text, quote=False) if with_entities else text).replace("-->", "→")


def _vtt_text(text: str, _: bool) -> str:
    return html.escape(text, quote=False)


def _ass_text(text: str, _: bool) -> str:
    return text.replace("{", "\\{").replace("}", "\\}").replace("\n", "\\N")


_ESCAPES: Mapping[str, Callable[[str, bool], str]] = {"srt": _srt_text, "vtt": _vtt_text, "ass": _ass_text}
