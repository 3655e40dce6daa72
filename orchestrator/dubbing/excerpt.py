"""What a sample of an unfinished dub shows: from just before the first speech on, as far as speech is ready. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.dubbing.fit import place
from orchestrator.dubbing.mix import RATE
from orchestrator.dubbing.timeline import Clip

SHORTEST_S = 10.0
LONGEST_S = 30.0
LEAD_S = 0.5


@dataclass(frozen=True, slots=True)
class Ready:
    """A segment's onset in the media; the key and length of its speech, None while it is not spoken."""

    onset: float
    key: str | None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Excerpt:
    """`seconds` of the media from `start`, with the clips that sound in it, their onsets counted from `start`."""

    start: float
    seconds: float
    clips: tuple[Clip, ...]


def excerpt(segments: Sequence[Ready], duration: float) -> Excerpt | None:
    """The sample of a media of `duration` seconds; None while its first segment is not spoken."""
    spoken = []
    for segment in segments:
        if segment.key is None:
            break
        spoken.append((segment.onset, segment.seconds, segment.key))
    if not spoken:
        return None
    placed = place([onset for onset, _, _ in spoken], [seconds for _, seconds, _ in spoken], duration)
    start = max(0.0, min(placed[0].onset - LEAD_S, duration - SHORTEST_S))
    seconds = min(LONGEST_S, max(SHORTEST_S, placed[-1].end - start), duration - start)
    clips = tuple(
        Clip(key, round((where.onset - start) * RATE), round(length * RATE))
        for where, (_, length, key) in zip(placed, spoken, strict=True)
        if where.onset < start + seconds
    )
    return Excerpt(start, seconds, clips)
