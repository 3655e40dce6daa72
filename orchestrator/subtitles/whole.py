"""Sentences over cues: read together out of the cues they run over, and shared out to them again once translated.

1. A sentence goes on into the next cue unless its punctuation ends it, the cue is another speaker's or style's, lies
   more than `JOIN_GAP_S` later or overlaps, or begins with a dash, a note sign or a bracket. Within a cue a line that
   begins with a dash is another speaker's.
2. A translated sentence is shared out by the lengths its parts had, cut where the text allows it best nearby.
3. Each cue's text is broken into lines by the rules of its language; what does not fit them gets more lines, never less
   text. A cue that would be left without a word goes on showing what the cue before it shows of the sentence; where
   cues are read aloud it stays empty, or words would be heard twice.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, groupby, pairwise

from orchestrator.dubbing.sentences import LONG_PAUSE_S, ends_sentence, is_unspaced
from orchestrator.dubbing.timeline import Word
from orchestrator.subtitles.lines import Token, break_cost, break_lines, join, tokenize
from orchestrator.subtitles.measure import width
from orchestrator.subtitles.rules import Rules, rules_for

JOIN_GAP_S = 1.5
OVERLAP_S = 0.1
LONGEST = 250
"""Characters after which a sentence without an end is cut at the next cue."""
HARDEST = 500
"""Characters after which it is cut between words: models take no more at once."""

_LEAD = re.compile(r"[\s♪♫]*(?:[-–—‐]{1,2}(?=\s|\w|[¿¡\"“«'…]))?[\s♪♫]*")
_TRAIL = re.compile(r"[\s♪♫]*\Z")
_OPENS = ("[", "(", "（", "［", "【", "♪", "♫")
_SHUTS = ("]", ")", "）", "］", "】", "♪", "♫")
_NOTES = "♪♫"


@dataclass(frozen=True, slots=True)
class Reading:
    """A cue as it is read: seconds, its text with its line ends, whose it is."""

    start: float
    end: float
    text: str
    voice: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """What a cue shows of a sentence: so many characters, between marks that are no words ("- ", "♪ ")."""

    cue: int
    length: int
    lead: str = ""
    trail: str = ""
    own_line: bool = False


@dataclass(frozen=True, slots=True)
class Sentence:
    """A text to translate as a whole, and the parts of cues it was read from."""

    text: str
    parts: tuple[Part, ...]


@dataclass(slots=True)
class _Run:
    """A line of a cue, its marks aside, as tokens."""

    cue: int
    lead: str
    tokens: list[Token]
    trail: str
    own_line: bool


@dataclass(slots=True)
class _Open:
    """A sentence that is being read."""

    text: str = ""
    parts: list[Part] = field(default_factory=list)

    def add(self, run: _Run, tokens: Sequence[Token], lead: str, trail: str, space: str) -> None:
        said = join(tokens)
        self.text += (space if self.text else "") + said
        last = self.parts[-1] if self.parts else None
        if last is not None and last.cue == run.cue and not lead:
            self.parts[-1] = Part(last.cue, last.length + len(said), last.lead, trail, last.own_line)
        else:
            self.parts.append(Part(run.cue, len(said), lead, trail, run.own_line and bool(lead.strip())))


def sentences(cues: Sequence[Reading], language: str) -> list[Sentence]:
    """The sentences of the cues, which are in the order they are read in. Cues without a character give none."""
    done: list[Sentence] = []
    reading = _Open()

    def close() -> None:
        nonlocal reading
        if reading.parts:
            done.append(Sentence(reading.text, tuple(reading.parts)))
        reading = _Open()

    runs = [run for at, cue in enumerate(cues) for run in _runs(at, cue, language)]
    for run, following in zip(runs, [*runs[1:], None], strict=False):
        start, room = 0, len(reading.text)
        words = [_word(token, language) for token in run.tokens]
        for at in range(len(words)):
            last = at + 1 == len(words)
            room += len(words[at].text)
            if last:
                ends = following is None or _parts(cues, run, following, reading.text, words[at], language)
            else:
                ends = room >= HARDEST or ends_sentence(words[at], words[at + 1], 0.0)
            if ends or last:
                lead, trail = "" if start else run.lead, run.trail if last else ""
                reading.add(run, run.tokens[start : at + 1], lead, trail, "" if is_unspaced(language) else " ")
                start = at + 1
            if ends:
                close()
                room = 0
    close()
    return done


def _runs(at: int, cue: Reading, language: str) -> Iterator[_Run]:
    for number, line in enumerate(line for line in cue.text.split("\n") if line.strip()):
        lead = _LEAD.match(line)
        rest = line[lead.end() :] if lead else line
        trail = _TRAIL.search(rest)
        tokens = tokenize(rest[: trail.start()] if trail else rest, language, HARDEST)
        if tokens:
            yield _Run(at, lead[0] if lead else "", tokens, trail[0] if trail else "", own_line=number > 0)
        else:
            yield _Run(at, "", [Token(line.strip())], "", own_line=number > 0)


def _word(token: Token, language: str) -> Word:
    return Word((" " if token.spaced else "") + token.text, 0.0, 0.0, language=language)


def _parts(cues: Sequence[Reading], run: _Run, following: _Run, read: str, last: Word, language: str) -> bool:
    """Whether a sentence ends with a line, `last` its last word, when `following` is the next one."""
    if following.lead.strip() or any(note in run.trail for note in _NOTES):
        return True
    if following.tokens[0].text.startswith(_OPENS) or run.tokens[-1].text.endswith(_SHUTS):
        return True
    pause = 0.0
    if run.cue != following.cue:
        cue, after = cues[run.cue], cues[following.cue]
        gap = after.start - cue.end
        if (
            cue.voice != after.voice
            or not -OVERLAP_S <= gap <= JOIN_GAP_S
            or len(read) + len(join(run.tokens)) > LONGEST
        ):
            return True
        pause = min(max(gap, 0.0), LONG_PAUSE_S)
    return ends_sentence(last, _word(following.tokens[0], language), pause)


def passages(cues: Sequence[Reading], language: str, most: int) -> list[range]:
    """The cues in passages of about `most`: cut where a sentence ends with its cue, at twice as many anywhere."""
    spread_over = {
        cue for sentence in sentences(cues, language) for cue in range(sentence.parts[0].cue, sentence.parts[-1].cue)
    }
    found: list[range] = []
    start = 0
    for at in range(len(cues)):
        size = at + 1 - start
        if at + 1 == len(cues) or size >= 2 * most or (size >= most and at not in spread_over):
            found.append(range(start, at + 1))
            start = at + 1
    return found


def shared_out(
    read: Sequence[Sentence],
    translations: Sequence[str],
    cues: int,
    language: str,
    rules: Rules | None = None,
    *,
    aloud: bool = False,
) -> list[str | None]:
    """The text of each of so many cues, its lines parted by a newline; None for those no sentence was read from.

    `aloud`: the cues are spoken, so no word is in two of them. One that is left without a word is "".
    """
    own = rules or rules_for(language)
    pieces: list[list[tuple[Part, list[Token]]]] = [[] for _ in range(cues)]
    for sentence, translation in zip(read, translations, strict=True):
        tokens = tokenize(translation, language, own.line_length, own.widths)
        shares = share_tokens(tokens, [part.length for part in sentence.parts], language, aloud=aloud)
        for part, share in zip(sentence.parts, shares, strict=True):
            pieces[part.cue].append((part, share))
    return [_laid_out(each, own, language) if each else None for each in pieces]


def share_tokens(
    tokens: list[Token], lengths: Sequence[int], language: str, *, aloud: bool = False
) -> list[list[Token]]:
    """The tokens in as many runs as there are lengths, by their proportion.

    Of too few the last is shown on, or where they are read `aloud` said once: the runs behind it are empty.
    """
    if len(lengths) == 1 or len(tokens) < 2:
        return _padded([tokens], len(lengths), aloud=aloud)
    count = min(len(lengths), len(tokens))
    edges = list(accumulate(lengths))
    wanted = [edge / edges[-1] for edge in edges[: count - 1]]
    cuts = _cuts(tokens, wanted, language)
    runs = [tokens[start:stop] for start, stop in pairwise([0, *cuts, len(tokens)])]
    return _padded(runs, len(lengths), aloud=aloud)


def _padded(runs: list[list[Token]], count: int, *, aloud: bool) -> list[list[Token]]:
    return runs + [[] if aloud else runs[-1]] * (count - len(runs))


def _cuts(tokens: Sequence[Token], wanted: Sequence[float], language: str) -> list[int]:
    """Where to cut: the cheapest places in order, near the shares wanted and good to part words at."""
    ends = list(accumulate(len(token.text) + token.spaced for token in tokens))
    ahead: list[tuple[float, tuple[int, ...]]] = [(0.0, ())] * len(tokens)
    for which, share in enumerate(wanted):
        cheapest: tuple[float, tuple[int, ...]] = (math.inf, ())
        row = [cheapest] * len(tokens)
        for cut in range(which + 1, len(tokens)):
            cheapest = min(cheapest, ahead[cut - 1], key=lambda each: each[0])
            cost = 4 * abs(ends[cut - 1] / ends[-1] - share) + break_cost(tokens, cut, language)
            row[cut] = (cheapest[0] + cost, (*cheapest[1], cut))
        ahead = row
    return list(min(ahead[1:], key=lambda each: each[0])[1])


def _laid_out(pieces: Sequence[tuple[Part, list[Token]]], rules: Rules, language: str) -> str:
    """A cue's parts as lines: what a dash begins begins a line."""
    lines: list[str] = []
    numbered = list(accumulate((int(part.own_line) for part, _ in pieces)))
    for _, group in groupby(zip(numbered, pieces, strict=True), key=lambda each: each[0]):
        tokens: list[Token] = []
        for _, (part, share) in group:
            if not share:
                continue
            first, last = share[0], share[-1]
            worded = [*share]
            worded[0] = Token(part.lead.lstrip() + first.text, spaced=not is_unspaced(language))
            if part.trail.strip():
                base = worded[-1] if len(worded) > 1 else worded[0]
                worded[-1] = Token(base.text + part.trail.rstrip(), last.spaced if len(worded) > 1 else base.spaced)
            tokens += worded
        lines += _lines(tokens, rules, language)
    return "\n".join(lines)


def _lines(tokens: Sequence[Token], rules: Rules, language: str) -> Sequence[str]:
    try:
        if not tokens:
            return ()
        return break_lines(tokens, rules.line_length, rules.lines, language, rules.widths, strictly=rules.breaks)
    except ValueError:
        return _wrapped(tokens, rules)


def _wrapped(tokens: Sequence[Token], rules: Rules) -> list[str]:
    """As many full lines as it takes."""
    lines: list[list[Token]] = [[]]
    for token in tokens:
        if lines[-1] and width(join([*lines[-1], token]), rules.widths) > rules.line_length:
            lines.append([])
        lines[-1].append(token)
    return [join(line) for line in lines]
