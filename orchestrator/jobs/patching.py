"""The sound of a dub of which a few segments are other: all the rest stays as it is, to the bit.

Its loudness is that of what stays, by the meter's earlier readings, and of what was made anew, which alone is metered.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from orchestrator.dubbing.balance import Levels
from orchestrator.dubbing.limiter import Leveller
from orchestrator.dubbing.loudness import held
from orchestrator.dubbing.metering import PER_SECOND, SHORT_TERM_STEPS, Readings
from orchestrator.dubbing.mix import RATE, render
from orchestrator.dubbing.timeline import Clip
from orchestrator.jobs.mixing import VOICE_CHANNELS, Track
from orchestrator.jobs.stems import reader
from orchestrator.media.metering import metered
from orchestrator.media.splicing import FRAME, cut, spliced

LEAD = RATE // 2
"""The limiter is given this much more at both ends than is taken of it."""

REACH = 8 * FRAME
"""So far from what is touched packets are other, and what is decoded of them."""
STEP = RATE // PER_SECOND
LEAD_STEPS = SHORT_TERM_STEPS + 2
"""The meter is given so much more, for its filter and its memory."""

Samples = npt.NDArray[np.float32]


def touched(before: Sequence[Clip], after: Sequence[Clip], limit: int) -> list[tuple[int, int]]:
    """Where two stems differ, in samples from the beginning up to `limit`: where a clip is that the other has not."""
    old, new = Counter(before), Counter(after)
    differing = [*(old - new), *(new - old)]
    spans = ((clip.onset, min(limit, clip.onset + clip.samples)) for clip in differing)
    return [(begin, end) for begin, end in spans if begin < end]


def steps(spans: Sequence[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """The meter's steps (from, to) of `most` that are other when these samples are, in order and none twice."""
    found: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        first, stop = max(0, begin - REACH) // STEP, min(most, -(-(end + REACH) // STEP) + SHORT_TERM_STEPS)
        if first >= most:  # beyond the picture, with which the track was cut off
            continue
        if found and first <= found[-1][1] + LEAD_STEPS:
            found[-1] = found[-1][0], max(found[-1][1], stop)
        else:
            found.append((first, stop))
    return found


async def patched(
    previous: Path,
    before: Sequence[Clip],
    after: Sequence[Clip],
    seconds: float,
    levels: Levels,
    scratch: Path,
    readings: Readings | None,
) -> Track:
    """The track of an earlier MP4 with the clips of `after` in place of those of `before`, at the same gain, as AAC.

    It is for dubs without a bed. `readings`: the meter's of the earlier one. Raises OtherTrackError.
    """
    total = round(seconds * RATE)
    read = reader()

    def sound(start: int, stop: int) -> Samples:
        first, last = max(0, start - LEAD), max(0, min(total, stop + LEAD))
        stem = render(after, read, first, max(first, last), VOICE_CHANNELS)
        leveller = Leveller(held(levels.gain_db), VOICE_CHANNELS)
        levelled = np.concatenate([leveller.process(stem), leveller.flush()])
        samples = np.zeros((stop - start, VOICE_CHANNELS), np.float32)
        there = levelled[start - first : stop - first]
        samples[: len(there)] = there
        return samples

    result, spans = scratch / "patched.aac", touched(before, after, total)
    await spliced(previous, result, spans, sound, scratch)
    metered_anew = await _metered(result, spans, readings, scratch)
    return Track(result, metered_anew.loudness(), levels, metered_anew)


async def _metered(track: Path, spans: Sequence[tuple[int, int]], readings: Readings | None, scratch: Path) -> Readings:
    """The readings of an ADTS track that are the earlier ones but for these samples."""
    changed = [] if readings is None else steps(spans, len(readings))
    if readings is None or 2 * sum(stop - first + LEAD_STEPS for first, stop in changed) > len(readings):
        return await metered(track, skip=FRAME)
    for first, stop in changed:
        begin = max(0, first - LEAD_STEPS)
        piece = scratch / "piece.aac"
        part = await metered(piece, skip=await cut(track, piece, begin * STEP, stop * STEP))
        readings = readings.with_part(first, Readings(part.rows[first - begin : stop - begin]))
    return readings
