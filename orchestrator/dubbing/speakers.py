"""Who speaks: a long recording is told apart in pieces, and the speakers of the pieces become those of the whole.

1. Pieces of `PIECE_S` overlap by `OVERLAP_S`, in which the same people are heard twice.
2. A speaker of the next piece is the known one with whom it shares most of the overlap, the surest pair first, each
   taken once. Who shares nothing is somebody new, unless as many are known as there are said to be: then whoever of
   them has been silent longest.
3. Up to the middle of the overlap the earlier piece counts, from there on the later one.
4. A word is said by whoever speaks most of it, else by the nearest within `NEAR_S`. Shorter than `GLITCH_S`, an
   interjection of one speaker amid another's words is no change of speaker.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from orchestrator.dubbing.timeline import Interval, Word

PIECE_S = 600.0
OVERLAP_S = 60.0
NEAR_S = 0.5
GLITCH_S = 0.25
AROUND_S = 1.0


@dataclass(frozen=True, slots=True)
class Turn:
    """Somebody speaks from `start` to `end`, in seconds of the media."""

    start: float
    end: float
    speaker: str


def pieces(seconds: float) -> list[Interval]:
    """The overlapping pieces of a recording that long, the last one at least as long as the overlap."""
    found: list[Interval] = []
    start = 0.0
    while not found or found[-1].end < seconds:
        found.append(Interval(start, min(start + PIECE_S, seconds)))
        start += PIECE_S - OVERLAP_S
    return found


def joined(spans: Sequence[Interval], heard: Sequence[Sequence[Turn]], most: int | None = None) -> list[Turn]:
    """The turns of the whole, by start; its speakers are numbered by their first words, SPEAKER_00 speaks first.

    `heard` are the turns of each piece, named as its own; `most`: how many people there are, where that is known.
    """
    whole: list[Turn] = []
    for number, (span, turns) in enumerate(zip(spans, heard, strict=True)):
        shared = Interval(span.start, spans[number - 1].end) if number else Interval(0.0, 0.0)
        names = _same(whole, turns, shared, number, most)
        middle = (shared.start + shared.end) / 2
        before = [replace(turn, end=min(turn.end, middle)) for turn in whole if turn.start < middle]
        after = [replace(turn, start=max(turn.start, middle)) for turn in turns if turn.end > middle]
        whole = _one([*(before if number else []), *(replace(turn, speaker=names[turn.speaker]) for turn in after)])
    return _numbered(whole)


def spoken_by(words: Sequence[Word], turns: Sequence[Turn]) -> list[Word]:
    """The words, each with its speaker where anybody speaks then. `turns` by start."""
    said = [replace(word, speaker=_speaker(word, turns)) for word in words]
    for at in range(1, len(said) - 1):
        before, word, after = said[at - 1 : at + 2]
        if before.speaker == after.speaker != word.speaker and word.end - word.start < GLITCH_S:
            said[at] = replace(word, speaker=before.speaker)
    return said


def around(turns: Sequence[Turn], spans: Sequence[Interval]) -> Iterator[list[Turn]]:
    """Of each span, the turns that sound in it or within `AROUND_S` of it. `turns` by start."""
    latest = list(accumulate((turn.end for turn in turns), max))  # by when all up to a turn have ended
    for span in spans:
        first = bisect_right(latest, span.start - AROUND_S)
        last = bisect_right(turns, span.end + AROUND_S, key=lambda turn: turn.start)
        yield [turn for turn in turns[first:last] if turn.end > span.start - AROUND_S]


def seconds_by_speaker(turns: Sequence[Turn]) -> dict[str, float]:
    """How long each speaks, by name."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for turn in turns:
        seconds[turn.speaker] += turn.end - turn.start
    return dict(sorted(seconds.items()))


def alone(speaker: str, turns: Sequence[Turn]) -> list[Interval]:
    """Where nobody else speaks while this one does, in order. `turns` by start."""
    mine = [turn for turn in turns if turn.speaker == speaker]
    others = [turn for turn in turns if turn.speaker != speaker]
    free: list[Interval] = []
    first = 0
    for turn in mine:
        start = turn.start
        while first < len(others) and others[first].end <= turn.start:
            first += 1
        for other in others[first:]:
            if other.start >= turn.end:
                break
            if other.start > start:
                free.append(Interval(start, other.start))
            start = max(start, other.end)
        if start < turn.end:
            free.append(Interval(start, turn.end))
    return free


def cast(seconds: Mapping[str, float], voices: Sequence[str]) -> dict[str, str]:
    """A voice for each speaker, whoever speaks most first: each another while there are any, then from the start."""
    ranked = sorted(seconds, key=lambda name: (-seconds[name], name))
    return {name: voices[at % len(voices)] for at, name in enumerate(ranked)}


def _same(
    known: Sequence[Turn], turns: Sequence[Turn], shared: Interval, number: int, most: int | None
) -> dict[str, str]:
    """The name in the whole of each speaker of a piece."""
    together: defaultdict[tuple[str, str], float] = defaultdict(float)
    for one in (turn for turn in known if turn.end > shared.start):
        for other in turns:
            common = min(one.end, other.end, shared.end) - max(one.start, other.start, shared.start)
            if common > 0:
                together[one.speaker, other.speaker] += common
    names: dict[str, str] = {}
    for (old, new), _ in sorted(together.items(), key=lambda pair: (-pair[1], pair[0])):
        if new not in names and old not in names.values():
            names[new] = old
    last = {turn.speaker: turn.end for turn in known}
    silent = sorted(set(last) - set(names.values()), key=lambda name: (last[name], name))
    for new in dict.fromkeys(turn.speaker for turn in turns):
        if new in names:
            continue
        is_full = most is not None and len(set(last) | set(names.values())) >= most
        names[new] = silent.pop(0) if is_full and silent else f"{number}/{new}"
    return names


def _one(turns: Sequence[Turn]) -> list[Turn]:
    """By start, what the same speaker says without a break as one turn."""
    found: list[Turn] = []
    for turn in sorted(turns, key=lambda each: (each.start, each.end, each.speaker)):
        if found and found[-1].speaker == turn.speaker and turn.start <= found[-1].end:
            found[-1] = replace(found[-1], end=max(found[-1].end, turn.end))
        else:
            found.append(turn)
    return found


def _numbered(turns: Sequence[Turn]) -> list[Turn]:
    names = {name: f"SPEAKER_{at:02d}" for at, name in enumerate(dict.fromkeys(turn.speaker for turn in turns))}
    return [replace(turn, speaker=names[turn.speaker]) for turn in turns]


def _speaker(word: Word, turns: Sequence[Turn]) -> str | None:
    said: defaultdict[str, float] = defaultdict(float)
    nearest: tuple[float, str] | None = None
    for turn in turns:
        common = min(word.end, turn.end) - max(word.start, turn.start)
        if common > 0:
            said[turn.speaker] += common
        elif nearest is None or -common < nearest[0]:
            nearest = (-common, turn.speaker)
    if said:
        return max(said, key=lambda name: (said[name], name))
    return nearest[1] if nearest and nearest[0] <= NEAR_S else None
