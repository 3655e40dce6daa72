"""Cues from words: at most as many lines as the rules have, cut where the text allows it best (see `plan`)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

from orchestrator.dubbing.timeline import Segment, Word
from orchestrator.subtitles.lines import Token, break_lines, tokenize
from orchestrator.subtitles.measure import width
from orchestrator.subtitles.plan import Run, Shown, Timed, plan
from orchestrator.subtitles.rules import PLAIN, Rules, rules_for


@dataclass(frozen=True, slots=True)
class Cue:
    """Lines shown from `start` to `end`, seconds; whose they are, where that is known.

    `words`: what the lines say, each with its leading space and the time it is said; empty where that is not known.
    `said`: when the first of it is said.
    """

    start: float
    end: float
    lines: tuple[str, ...]
    speaker: str | None = None
    words: tuple[Word, ...] = ()
    said: float | None = None

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@dataclass(frozen=True, slots=True)
class Line:
    """Text said from `start` to `end` seconds: what a cue is made of where word times are not known."""

    start: float
    end: float
    text: str
    speaker: str | None = None


NEVER_SPACED = frozenset({"zh", "yue", "ja"})
"""Languages without spaces even between sentences."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A sentence's tokens with their times, in a language, by a speaker; `heard`: each time is the word's own."""

    timed: tuple[Timed, ...]
    rules: Rules
    speaker: str | None
    heard: bool


def cues_of_segments(segments: Iterable[Segment], profile: Rules = PLAIN) -> list[Cue]:
    """Cues in the language spoken, by the times of the words; a segment without any, as a split may leave it, by its
    own times.
    """
    return cues_of_stretches([_stretch(each, rules_for(each.language, profile)) for each in segments])


def _stretch(segment: Segment, rules: Rules) -> Stretch:
    if any(word.text.strip() for word in segment.words):
        return stretch_of_words(segment.text, segment.words, rules, segment.speaker)
    return stretch_of_line(Line(segment.start, segment.end, segment.text, segment.speaker), rules)


def cues_of_lines(lines: Iterable[Line], language: str, profile: Rules = PLAIN) -> list[Cue]:
    """Cues of a translation: a line's time is shared out by characters. Empty text makes no cue."""
    rules = rules_for(language, profile)
    return cues_of_stretches([stretch_of_line(line, rules) for line in lines])


def stretch_of_words(text: str, words: Sequence[Word], rules: Rules, speaker: str | None = None) -> Stretch:
    """The text as tokens, each with the time of the word its characters come from."""
    tokens = tokenize(text, rules.language, rules.line_length, rules.widths)
    return Stretch(_spread(_joined_on(tokens, rules), _clock(words)), rules, speaker, heard=True)


def stretch_of_line(line: Line, rules: Rules) -> Stretch:
    tokens = tokenize(line.text, rules.language, rules.line_length, rules.widths)
    whole = Word("".join(token.text for token in tokens), line.start, max(line.start, line.end))
    return Stretch(_spread(_joined_on(tokens, rules), _clock([whole])), rules, line.speaker, heard=False)


def _joined_on(tokens: list[Token], rules: Rules) -> list[Token]:
    """The tokens of a sentence; no space parts it from the one before it in languages that have none there either."""
    if tokens and (rules.language or "").split("-")[0] in NEVER_SPACED:
        return [replace(tokens[0], spaced=False), *tokens[1:]]
    return tokens


_Instant = tuple[float, float, float]
"""Start, end and confidence of a character."""


def _clock(words: Sequence[Word]) -> list[_Instant]:
    """The time of every written character of the words, in order."""
    times: list[_Instant] = []
    for word in words:
        length = sum(not character.isspace() for character in word.text)
        share = (word.end - word.start) / max(1, length)
        times += [(word.start + at * share, word.start + (at + 1) * share, word.probability) for at in range(length)]
    return times


def _spread(tokens: Sequence[Token], clock: Sequence[_Instant]) -> tuple[Timed, ...]:
    """The tokens with the times of their first and last characters, as sure as the least sure of them."""
    timed = []
    at = 0
    for token in tokens:
        own = clock[min(at, len(clock) - 1) : at + len(token.text)]
        timed.append(Timed(token, own[0][0], own[-1][1], min(each[2] for each in own)))
        at += len(token.text)
    return tuple(timed)


def cues_of_stretches(stretches: Iterable[Stretch], kept: frozenset[int] = frozenset()) -> list[Cue]:
    """The cues of sentences; before those numbered in `kept` a cue begins already."""
    there = sorted(
        ((at, each) for at, each in enumerate(stretches) if each.timed), key=lambda pair: pair[1].timed[0].start
    )
    groups = [
        list(group) for _, group in groupby(there, key=lambda pair: (pair[1].rules, pair[1].speaker, pair[1].heard))
    ]
    runs = [_run(group, kept) for group in groups]
    return [_cue(runs[shown.run], shown, groups[shown.run][0][1].heard) for shown in plan(runs)]


def _run(group: Sequence[tuple[int, Stretch]], kept: frozenset[int]) -> Run:
    timed: list[Timed] = []
    ends, cuts = set(), set()
    for at, stretch in group:
        ends.add(len(timed))
        if at in kept:
            cuts.add(len(timed))
        timed += stretch.timed
    first = group[0][1]
    return Run(timed, first.rules, first.speaker, frozenset(ends), frozenset(cuts))


def _cue(run: Run, shown: Shown, heard: bool) -> Cue:
    timed = run.timed[shown.first : shown.stop]
    rules = run.rules
    tokens = [each.token for each in timed]
    lines = break_lines(tokens, rules.line_length, rules.lines, rules.language, rules.widths, strictly=rules.breaks)
    words = tuple(
        Word((" " if each.token.spaced else "") + each.token.text, each.start, each.end, each.confidence)
        for each in timed
        if heard
    )
    return Cue(shown.start, shown.end, lines, run.speaker, words, timed[0].start)


def characters(cue: Cue, rules: Rules = PLAIN) -> float:
    """Characters to read: a line's end is a space where the language has any; where not, spaces do not count."""
    if rules.spaced:
        return width(" ".join(cue.lines), rules.widths)
    return width("".join("".join(cue.lines).split()), rules.widths)


def words_by_line(cue: Cue) -> Iterator[list[Word]]:
    """The words of each line, by the characters the line shows."""
    at = 0
    for line in cue.lines:
        room = len("".join(line.split()))
        first = at
        while room > 0 and at < len(cue.words):
            room -= len("".join(cue.words[at].text.split()))
            at += 1
        yield list(cue.words[first:at])


def gaps(cues: Sequence[Cue]) -> list[float]:
    """Seconds between each cue and the next; negative where they overlap."""
    return [following.start - cue.end for cue, following in pairwise(cues)]
