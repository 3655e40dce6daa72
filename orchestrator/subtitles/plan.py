"""Which words are shown together, and when: the cut of timed words into cues that breaks the rules least.

1. The words come in runs (one language, one speaker). A cue never crosses the end of a run nor a pause over
   `JOIN_GAP_S`, holds no more than its lines do, and its words are said within the longest time of a cue.
2. Dynamic programming over the places between words looks for the cut that breaks no rule or, where there is none, that
   breaks them least: cues later than their words by more than allowed, with too little time to read, too short, with
   lines that must end badly. Beyond that it likes few cues that end with sentences, clauses and pauses. A state is a
   place, what it cost to get there and the earliest time the next cue may begin: a cue may come a little before or
   after its words where its neighbour needs the time. Of two states at one place the one that costs more and begins
   later is dropped, so that nothing is missed.
3. A cue without time to be read keeps at least the time until the next one's words are said, so that no other cue
   gets its time at its expense.
4. Back from the last cue each gets the time nearest to its words that leaves the others theirs, and stays for a
   comfortable reading speed where there is silence. Short gaps are closed.

Times are whole hundredths of a second, which every format can write.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from orchestrator.subtitles.lines import Token, break_cost, break_lines, is_bad_break
from orchestrator.subtitles.measure import width
from orchestrator.subtitles.rules import Rules

JOIN_GAP_S = 1.0
"""Words further apart do not share a cue."""
LEAST_CS = 10
"""What a cue is shown for at the very least, whatever else is broken."""
PAUSE_CS = 30

LATE, BROKEN = 1e12, 1e6
"""What a cue that comes too late costs, and every other broken rule: more than all good looks together."""
WORSE = ((1.25, 1), (1.6, 2), (2.2, 4), (3.0, 8), (math.inf, 16))
"""Up to how many times the time it has a cue may need to count as so many broken rules: some that are a little too fast
are read more easily than one that is much too fast. Between these steps looks decide."""
HASTE, MOST_HASTE = 2.0, 20.0
"""What each such time costs beyond that."""
NEW_CUE = 1.0
INSIDE_SENTENCES = 1.5
"""What it costs that a cue goes on beyond a sentence's end."""
PAUSE_BONUS = 0.3
KEPT_BONUS = 0.8
"""What a cut is worth that is there already."""
FULLNESS = 0.5
POOR_LINES = 0.5
WAITING = 4.0
"""What each second costs that a cue comes later than its words."""
KEPT_STATES = 8


@dataclass(frozen=True, slots=True)
class Timed:
    """A token said from `start` to `end` seconds, and how sure its hearing is."""

    token: Token
    start: float
    end: float
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class Run:
    """Tokens in one language, of one speaker, that may share cues.

    `ends`: before which of them a sentence has ended; `kept`: before which of them a cue began already.
    """

    timed: Sequence[Timed]
    rules: Rules
    speaker: str | None = None
    ends: frozenset[int] = frozenset()
    kept: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Shown:
    """The tokens `first` to `stop` of a run, shown from `start` to `end` seconds."""

    run: int
    first: int
    stop: int
    start: float
    end: float


_State = tuple[float, int, int, int, int]
"""A way to a place: what it costs, when the next cue may begin (hundredths), the place and number of the state it came
from, and the hundredths its last cue is shown for at the least."""


class _Hundredths(NamedTuple):
    """The times of rules, so that what keeps to these keeps to those."""

    shortest: int
    longest: int
    gap: int
    chain: int
    early: int
    late: int
    linger: int

    @classmethod
    def of(cls, rules: Rules) -> "_Hundredths":
        least = (_ceiling(rules.shortest), _floor(rules.longest), _ceiling(rules.gap), _ceiling(rules.chain))
        return cls(*least, _floor(rules.early), _floor(rules.late), _floor(rules.linger))


class _Cue(NamedTuple):
    """Tokens of the whole: by place, with the hundredths they are shown for at the least."""

    first: int
    stop: int
    demand: int


def plan(runs: Sequence[Run]) -> list[Shown]:
    """The cues of the runs, which are in the order of their times."""
    if not any(run.timed for run in runs):
        return []
    words = _Words(runs)
    cues = words.cheapest()
    return [
        Shown(words.run[cue.first], *words.within(cue), start / 100, end / 100)
        for cue, (start, end) in zip(cues, words.times(cues), strict=True)
    ]


class _Words:
    """All tokens in a row, with what is asked of them again and again worked out once."""

    def __init__(self, runs: Sequence[Run]) -> None:
        at = [number for number, run in enumerate(runs) for _ in run.timed]
        self.run = at
        self.rules = [runs[number].rules for number in at]
        self.hundredths = [each for run in runs for each in [_Hundredths.of(run.rules)] * len(run.timed)]
        self.count = len(at)
        self.offset = list(accumulate((len(run.timed) for run in runs), initial=0))
        self.tokens = [timed.token for run in runs for timed in run.timed]
        self.starts, self.ends = _in_order([timed for run in runs for timed in run.timed])
        self.widths = [width(token.text, rules.widths) for token, rules in zip(self.tokens, self.rules, strict=True)]
        self.parted = [self._parted(runs, place) for place in range(self.count + 1)]
        self.breaking = [0.0 if self.parted[place] else self._breaking(runs, place) for place in range(self.count)]
        self.sentences = list(
            accumulate(
                (int(place - self.offset[at[place]] in runs[at[place]].ends) for place in range(self.count)), initial=0
            )
        )
        bad = (
            is_bad_break(self.tokens[place - 1].text, self.rules[place].language) if place else True
            for place in range(self.count)
        )
        self.good_before = list(accumulate((int(not each) for each in bad), initial=0))
        self.sizes = list(accumulate(self.widths, initial=0.0))
        self.reach = list(
            accumulate(
                (
                    size + (rules.widths[0] if token.spaced else 0.0)
                    for size, token, rules in zip(self.widths, self.tokens, self.rules, strict=True)
                ),
                initial=0.0,
            )
        )

    def _parted(self, runs: Sequence[Run], place: int) -> bool:
        """Whether no cue may cross this place."""
        if place in (0, self.count) or self.run[place] != self.run[place - 1]:
            return True
        return self.starts[place] - self.ends[place - 1] > round(JOIN_GAP_S * 100)

    def _breaking(self, runs: Sequence[Run], place: int) -> float:
        """What it costs to begin a cue there."""
        run = runs[self.run[place]]
        within = place - self.offset[self.run[place]]
        tokens = [run.timed[within - 1].token, run.timed[within].token]
        cost = break_cost(tokens, 1, run.rules.language)
        pause = PAUSE_BONUS if self.starts[place] - self.ends[place - 1] >= PAUSE_CS else 0.0
        return cost - pause - (KEPT_BONUS if within in run.kept else 0.0)

    def within(self, cue: _Cue) -> tuple[int, int]:
        """A cue's tokens as its run counts them."""
        before = self.offset[self.run[cue.first]]
        return cue.first - before, cue.stop - before

    def cheapest(self) -> list[_Cue]:
        states: list[list[_State]] = [[] for _ in range(self.count + 1)]
        first = max(0, self.starts[0] - self.hundredths[0].early)
        states[0] = [(0.0, first, -1, -1, 0)]
        for place in range(self.count):
            states[place] = _thinned(states[place])
            for stop, looks in self._cues_from(place):
                self._follow(place, stop, states[place], looks, states[stop])
        _, _, place, before, demand = min(states[self.count])
        cues: list[_Cue] = []
        stop = self.count
        while place >= 0:
            cues.append(_Cue(place, stop, demand))
            stop = place
            _, _, place, before, demand = states[place][before]
        return cues[::-1]

    def _cues_from(self, first: int) -> Iterator[tuple[int, float]]:
        """Where a cue that begins there may end, and what its looks cost."""
        rules = self.rules[first]
        used, room = 1, rules.line_length
        for stop in range(first + 1, self.count + 1):
            taken = self.widths[stop - 1]
            space = rules.widths[0] if self.tokens[stop - 1].spaced and room < rules.line_length else 0.0
            if taken + space <= room:
                room -= taken + space
            else:
                used, room = used + 1, rules.line_length - taken
            too_long = self.ends[stop - 1] - self.starts[first] > self.hundredths[first].longest
            if stop - 1 > first and (used > rules.lines or too_long):
                return
            yield stop, self._looks(first, stop, rules)
            if self.parted[stop]:
                return

    def _looks(self, first: int, stop: int, rules: Rules) -> float:
        size = self._size(first, stop)
        cost = NEW_CUE + FULLNESS * (size / (rules.line_length * rules.lines)) ** 2
        if not self.parted[stop]:
            cost += self.breaking[stop]
        cost += INSIDE_SENTENCES * (self.sentences[stop] - self.sentences[first + 1])
        if size > rules.line_length and not self._breaks_well(first, stop, rules):
            cost += BROKEN if rules.breaks else POOR_LINES
        return cost

    def _size(self, first: int, stop: int) -> float:
        """The width of the tokens on one line."""
        space = self.rules[first].widths[0] if self.tokens[first].spaced else 0.0
        return self.reach[stop] - self.reach[first] - space

    def _breaks_well(self, first: int, stop: int, rules: Rules) -> bool:
        """Whether there are lines none of which ends with a word that belongs to the next."""
        if rules.lines != 2:
            lines = break_lines(
                self.tokens[first:stop], rules.line_length, rules.lines, rules.language, rules.widths, strictly=True
            )
            return not any(is_bad_break(line.split()[-1], rules.language) for line in lines[:-1])
        # The second line begins at a place from `low` to `high`: what is before and behind it fits a line each.
        edge = self.reach[first] + (rules.widths[0] if self.tokens[first].spaced else 0.0)
        high = bisect_right(self.reach, edge + rules.line_length + 1e-9, first + 1, stop) - 1
        low = bisect_left(self.reach, self.reach[stop] - rules.line_length - rules.widths[0] - 1e-9, first + 1, stop)
        while low < stop and self._size(low, stop) > rules.line_length + 1e-9:
            low += 1
        return high >= low and self.good_before[high + 1] > self.good_before[low]

    def _reading(self, first: int, stop: int) -> int:
        """The hundredths it takes to read a cue."""
        return _ceiling(self.rules[first].reading_time(self._characters(first, stop), stop - first))

    def _characters(self, first: int, stop: int) -> float:
        spaces = self.rules[first].widths[0] * (stop - first - 1) if self.rules[first].spaced else 0.0
        return self.sizes[stop] - self.sizes[first] + spaces

    def _follow(self, first: int, stop: int, states: list[_State], looks: float, found: list[_State]) -> None:
        """Add where a cue leads to: with the time it needs, and with less where the next one would come too late."""
        rules = self.hundredths[first]
        reading, shortest, longest, gap = self._reading(first, stop), rules.shortest, rules.longest, rules.gap
        if stop == self.count:
            demand = min(max(reading, shortest), longest)
            looks += _broken(demand, reading, shortest)
            found += [(state[0] + looks, 0, first, before, demand) for before, state in enumerate(states)]
            return
        said, limits = self.starts[stop], self.hundredths[stop]
        earliest, latest = max(0, said - limits.early), said + limits.late
        enough = min(max(reading, shortest), longest)
        natural = min(enough, max(LEAST_CS, said - self.starts[first] - gap))
        less = max(natural, min(reading, shortest, longest))
        ways = [
            (looks + _broken(demand, reading, shortest), demand, demand + gap)
            for demand in dict.fromkeys((enough, less, natural))
        ]
        for before, state in enumerate(states):
            cost, begun = state[0], state[1]
            start = 0
            for way, demand, taken in ways:
                start = begun + taken
                if start <= earliest:
                    found.append((cost + way, earliest, first, before, demand))
                    break
                if start <= latest:
                    late = WAITING / 100 * (start - said) if start > said else 0.0
                    found.append((cost + way + late, start, first, before, demand))
            if start > latest:
                way, demand, _ = ways[-1]
                found.append((cost + way + LATE + WAITING / 100 * (start - said), start, first, before, demand))

    def times(self, cues: Sequence[_Cue]) -> list[tuple[int, int]]:
        """When each cue is shown, in hundredths."""
        latest = [0] * len(cues)
        ahead = None
        for at in range(len(cues) - 1, -1, -1):
            cue, rules = cues[at], self.hundredths[cues[at].first]
            latest[at] = self.starts[cue.first] + rules.late
            if ahead is not None:
                latest[at] = min(latest[at], ahead - rules.gap - cue.demand)
            ahead = latest[at]
        starts: list[int] = []
        for at, cue in enumerate(cues):
            said, rules = self.starts[cue.first], self.hundredths[cue.first]
            start = max(0, said - rules.early, min(said, latest[at]))
            if starts:
                start = max(start, starts[-1] + cues[at - 1].demand + self.hundredths[cues[at - 1].first].gap)
            starts.append(start)
        nexts: list[float] = [*starts[1:], math.inf]
        return [
            (start, self._end(cue, start, following)) for cue, start, following in zip(cues, starts, nexts, strict=True)
        ]

    def _end(self, cue: _Cue, start: int, following: float) -> int:
        rules = self.hundredths[cue.first]
        latest = min(following - rules.gap, start + rules.longest)
        said = self.ends[cue.stop - 1]
        characters = self._characters(cue.first, cue.stop)
        at_leisure = start + _ceiling(self.rules[cue.first].comfortable_time(characters, cue.stop - cue.first))
        wanted = max(said, start + cue.demand, start + rules.shortest, min(at_leisure, said + rules.linger))
        return int(latest if following - wanted < rules.chain else min(wanted, latest))


def _in_order(timed: Sequence[Timed]) -> tuple[list[int], list[int]]:
    """The tokens' times in hundredths, none before those of the one before it."""
    starts: list[int] = []
    ends: list[int] = []
    for each in timed:
        starts.append(max(0, round(each.start * 100), starts[-1] if starts else 0))
        ends.append(max(starts[-1], round(each.end * 100), ends[-1] if ends else 0))
    return starts, ends


def _broken(demand: int, reading: int, shortest: int) -> float:
    """What the rules cost that a cue of so many hundredths breaks."""
    return sum(_short_of(need / demand) for need in (reading, shortest) if demand < need)


def _short_of(times: float) -> float:
    """What it costs that a cue needs so many times the time it has."""
    steps = next(worth for limit, worth in WORSE if times <= limit)
    return steps * BROKEN + min(MOST_HASTE, HASTE * (times - 1))


def _thinned(states: list[_State]) -> list[_State]:
    """Of the states at a place those that no other is better than in both cost and time, so many of them at most.

    Of those with equally many broken rules the cheapest and the earliest are always among them.
    """
    best: list[_State] = []
    for state in sorted(states):
        if not best or state[1] < best[-1][1]:
            best.append(state)
    if len(best) <= KEPT_STATES:
        return best
    classes = [int(state[0] // BROKEN) for state in best]
    edges = {
        at
        for at in range(len(best))
        if at in (0, len(best) - 1) or classes[at] != classes[at - 1] or classes[at] != classes[at + 1]
    }
    kept = sorted({*sorted(edges)[: KEPT_STATES - 1], len(best) - 1})
    return [best[at] for at in kept]


def _ceiling(seconds: float) -> int:
    return math.ceil(seconds * 100 - 1e-6)


def _floor(seconds: float) -> int:
    return math.floor(seconds * 100 + 1e-6)
