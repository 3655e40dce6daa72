"""Whether words can be shown without breaking a rule at all, found otherwise than the planner does it.

No costs, no choice of beautiful places: which places between words can be reached, and how early, keeping every rule.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import ceil, floor

from orchestrator.dubbing.timeline import Segment
from orchestrator.subtitles.cues import Stretch, stretch_of_words
from orchestrator.subtitles.lines import Token, is_bad_break, join
from orchestrator.subtitles.measure import width
from orchestrator.subtitles.plan import JOIN_GAP_S, LEAST_CS
from orchestrator.subtitles.rules import Rules, rules_for

ISLAND_S = 10.0
"""More than the longest a cue lasts and the most it may be moved together, in any profile."""


@dataclass(frozen=True)
class Said:
    """A token and its time in hundredths; `parted`: no cue holds both it and the one before."""

    token: Token
    start: int
    end: int
    parted: bool


def islands(segments: Sequence[Segment], profile: Rules) -> list[tuple[list[Said], Rules]]:
    """The tokens between pauses so long that both sides have nothing to do with each other; one language in each."""
    found: list[tuple[list[Said], Rules]] = []
    last: Stretch | None = None
    for segment in segments:
        rules = rules_for(segment.language, profile)
        stretch = stretch_of_words(segment.text, segment.words, rules, segment.speaker)
        for number, timed in enumerate(stretch.timed):
            start, end = round(timed.start * 100), round(timed.end * 100)
            if not found or start - found[-1][0][-1].end > ISLAND_S * 100:
                found.append(([], rules))
            tokens = found[-1][0]
            start = max(start, tokens[-1].start if tokens else 0)
            other = number == 0 and last is not None and last.speaker != stretch.speaker
            parted = bool(tokens) and (other or start - tokens[-1].end > JOIN_GAP_S * 100)
            tokens.append(Said(timed.token, start, max(start, end, tokens[-1].end if tokens else 0), parted))
        last = stretch
    return found


def possible(words: Sequence[Said], rules: Rules, *, in_time_alone: bool = False) -> bool:
    """Whether there is a cut of an island's words and times for it that break no rule.

    `in_time_alone`: whether no cue need come too late, when none is shown longer than until the next one's words.
    """
    early, late, gap = floor(rules.early * 100), floor(rules.late * 100 + 1e-6), ceil(rules.gap * 100)
    reached = {0: max(0, words[0].start - early)}
    for first in range(len(words)):
        if first not in reached:
            continue
        for stop in _stops(words, first, rules, shapes=not in_time_alone):
            need = _need(words[first:stop], rules)
            if stop == len(words):
                if in_time_alone or need <= rules.longest * 100:
                    return True
                continue
            if in_time_alone:
                need = min(
                    need, floor(rules.longest * 100), max(LEAST_CS, words[stop].start - words[first].start - gap)
                )
            start = max(0, words[stop].start - early, reached[first] + need + gap)
            if need <= rules.longest * 100 and start <= words[stop].start + late:
                reached[stop] = min(start, reached.get(stop, start))
    return False


def possible_by_trying_all(words: Sequence[Said], rules: Rules) -> bool:
    """The same by looking at every cut there is: for few words."""
    return any(
        _keeps_all([0, *cuts, len(words)], words, rules)
        for many in range(len(words))
        for cuts in combinations(range(1, len(words)), many)
    )


def _keeps_all(cuts: Sequence[int], words: Sequence[Said], rules: Rules) -> bool:
    early, late, gap = floor(rules.early * 100), floor(rules.late * 100 + 1e-6), ceil(rules.gap * 100)
    free = 0
    for first, stop in pairwise(cuts):
        if stop not in _stops(words, first, rules, shapes=True):
            return False
        start = max(free, 0, words[first].start - early)
        need = _need(words[first:stop], rules)
        if start > words[first].start + late or need > rules.longest * 100:
            return False
        free = start + need + gap
    return True


def _stops(words: Sequence[Said], first: int, rules: Rules, *, shapes: bool) -> Iterator[int]:
    for stop in range(first + 1, len(words) + 1):
        said = words[first:stop]
        too_long = said[-1].end - said[0].start > rules.longest * 100
        lines = list(_lines([each.token for each in said], rules))
        if len(said) > 1 and (too_long or not lines or said[-1].parted):
            return
        if not shapes or not rules.breaks or not all(lines):
            yield stop


def _lines(tokens: Sequence[Token], rules: Rules) -> Iterator[bool]:
    """Of each way to lay the tokens on the fewest of at most two lines: whether its first line ends badly."""
    if width(join(tokens), rules.widths) <= rules.line_length:
        yield False
        return
    for cut in range(1, len(tokens)):
        halves = tokens[:cut], tokens[cut:]
        if all(width(join(half), rules.widths) <= rules.line_length for half in halves):
            yield is_bad_break(halves[0][-1].text, rules.language)


def _need(said: Sequence[Said], rules: Rules) -> int:
    size = sum(width(each.token.text, rules.widths) for each in said)
    size += rules.widths[0] * (len(said) - 1) if rules.spaced else 0
    return ceil(max(rules.shortest, rules.reading_time(size, len(said))) * 100 - 1e-6)
