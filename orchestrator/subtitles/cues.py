"""Cues from words: at most two lines each, cut where the text allows it best, shown as long as it takes to read.

1. Words become tokens with times; dynamic programming cuts them into few cues that end at punctuation, pauses, phrases.
2. Cues too short to be read join a neighbour where both fit one cue.
3. A cue stays for a comfortable reading speed where there is time, two frames off the next; short gaps are closed.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from orchestrator.dubbing.timeline import Segment, Word
from orchestrator.subtitles.lines import Token, break_cost, break_lines, fits, join, tokenize
from orchestrator.subtitles.rules import Rules, rules_for

JOIN_GAP_S = 1.0
"""Cues further apart are not joined, short as they may be."""
_PAUSE_S = 0.3


@dataclass(frozen=True, slots=True)
class Cue:
    """Lines shown from `start` to `end`, seconds."""

    start: float
    end: float
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@dataclass(frozen=True, slots=True)
class Line:
    """Text said from `start` to `end` seconds: what a cue is made of where word times are not known."""

    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True)
class _Timed:
    token: Token
    start: float
    end: float


_Group = list[_Timed]


def cues_of_segments(segments: Iterable[Segment], rules: Rules | None = None) -> list[Cue]:
    """Cues in the language spoken, by the times of the words."""
    groups: list[tuple[_Group, str]] = []
    for segment in segments:
        own = rules or rules_for(segment.language)
        timed = _timed_words(segment, own)
        groups += [(group, segment.language) for group in _cut(timed, own, segment.language)]
    return _finish(groups, rules)


def cues_of_lines(lines: Iterable[Line], language: str, rules: Rules | None = None) -> list[Cue]:
    """Cues of a translation: a line's time is shared out by characters. Empty text makes no cue."""
    own = rules or rules_for(language)
    groups = [(group, language) for line in lines for group in _cut(_timed_text(line, own, language), own, language)]
    return _finish(groups, rules)


def _timed_words(segment: Segment, rules: Rules) -> _Group:
    """The segment's text as tokens, each with the time of the word its characters come from."""
    return _spread(tokenize(segment.text, segment.language, rules.line_length), _clock(segment.words))


def _clock(words: Sequence[Word]) -> list[tuple[float, float]]:
    """The time of every written character of the words, in order."""
    times = []
    for word in words:
        length = sum(not character.isspace() for character in word.text)
        share = (word.end - word.start) / max(1, length)
        times += [(word.start + at * share, word.start + (at + 1) * share) for at in range(length)]
    return times


def _spread(tokens: Sequence[Token], clock: Sequence[tuple[float, float]]) -> _Group:
    """The tokens with the times of their first and last characters."""
    timed = []
    at = 0
    for token in tokens:
        first, last = clock[min(at, len(clock) - 1)], clock[min(at + len(token.text), len(clock)) - 1]
        timed.append(_Timed(token, first[0], last[1]))
        at += len(token.text)
    return timed


def _timed_text(line: Line, rules: Rules, language: str) -> _Group:
    tokens = tokenize(line.text, language, rules.line_length)
    return _spread(
        tokens, _clock([Word("".join(token.text for token in tokens), line.start, max(line.start, line.end))])
    )


def _cut(timed: _Group, rules: Rules, language: str) -> list[_Group]:
    """The cheapest cut of tokens into cues that fit the lines and, unless one token breaks it, the longest time."""
    tokens = [each.token for each in timed]
    best = [0.0] + [math.inf] * len(timed)
    begins = [0] * (len(timed) + 1)
    for stop in range(1, len(timed) + 1):
        breaking = 0.0 if stop == len(timed) else break_cost(tokens, stop, language) - _pause(timed, stop)
        for first in range(stop - 1, -1, -1):
            alone = first == stop - 1
            if not alone and not fits(tokens[first:stop], rules.line_length, rules.lines):
                break
            if not alone and timed[stop - 1].end - timed[first].start > rules.longest:
                break
            cost = best[first] + breaking + _cue_cost(timed, first, stop, rules)
            if cost < best[stop]:
                best[stop], begins[stop] = cost, first
    groups: list[_Group] = []
    stop = len(timed)
    while stop:
        groups.append(timed[begins[stop] : stop])
        stop = begins[stop]
    return groups[::-1]


def _pause(timed: _Group, cut: int) -> float:
    """What a pause takes off the cost of a cut there."""
    return 0.3 if timed[cut].start - timed[cut - 1].end >= _PAUSE_S else 0.0


def _cue_cost(timed: _Group, first: int, stop: int, rules: Rules) -> float:
    end = timed[stop].start if stop < len(timed) else timed[-1].end
    short = 2.0 if end - timed[first].start < rules.shortest else 0.0
    fill = len(join([each.token for each in timed[first:stop]])) / (rules.line_length * rules.lines)
    return 1.0 + short + 0.5 * fill**2


def _finish(groups: Sequence[tuple[_Group, str]], rules: Rules | None) -> list[Cue]:
    joined: list[tuple[_Group, str]] = []
    for group, language in sorted(groups, key=lambda each: each[0][0].start):
        if joined and joined[-1][1] == language and _may_join(joined[-1][0], group, rules or rules_for(language)):
            joined[-1] = ([*joined[-1][0], *group], language)
        else:
            joined.append((group, language))
    cues = []
    for group, language in joined:
        own = rules or rules_for(language)
        lines = break_lines([each.token for each in group], own.line_length, own.lines, language)
        cues.append((Cue(group[0].start, max(each.end for each in group), lines), own))
    return _settle(cues)


def _may_join(group: _Group, following: _Group, rules: Rules) -> bool:
    """Whether one of two neighbours is too short to read and both together make one cue."""
    pause = following[0].start - group[-1].end
    room = following[0].start - group[0].start - rules.gap
    short = min(room, following[-1].end - following[0].start) < rules.shortest
    together = [each.token for each in (*group, *following)]
    return (
        short
        and pause <= JOIN_GAP_S
        and following[-1].end - group[0].start <= rules.longest
        and fits(together, rules.line_length, rules.lines)
    )


def _settle(cues: Sequence[tuple[Cue, Rules]]) -> list[Cue]:
    """Cues with the times they are shown: long enough to read, apart by the gap, none before its words."""
    settled: list[Cue] = []
    starts: list[float] = []
    for cue, rules in cues:
        starts.append(max(cue.start, starts[-1] + rules.gap + 0.001) if starts else max(0.0, cue.start))
    nexts = [*starts[1:], math.inf]
    for (cue, rules), start, following in zip(cues, starts, nexts, strict=False):
        latest = min(following - rules.gap, start + rules.longest)
        wanted = max(cue.end, start + rules.shortest, start + characters(cue) / rules.comfortable_speed)
        end = latest if following - rules.gap - wanted < rules.chain - rules.gap else wanted
        settled.append(Cue(start, min(end, latest), cue.lines))
    return settled


def characters(cue: Cue) -> int:
    """Characters to read, spaces counted, line ends not."""
    return sum(len(line) for line in cue.lines)


def gaps(cues: Sequence[Cue]) -> list[float]:
    """Seconds between each cue and the next; negative where they overlap."""
    return [following.start - cue.end for cue, following in pairwise(cues)]
