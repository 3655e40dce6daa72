"""The sound of a dub of which a few segments are other: all the rest stays as it is, to the bit."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from orchestrator.dubbing.balance import Levels
from orchestrator.dubbing.limiter import Leveller
from orchestrator.dubbing.loudness import held
from orchestrator.dubbing.mix import RATE, render
from orchestrator.dubbing.timeline import Clip
from orchestrator.jobs.mixing import VOICE_CHANNELS, Track
from orchestrator.jobs.stems import reader
from orchestrator.media.loudness import measure_loudness
from orchestrator.media.splicing import spliced

LEAD = RATE // 2
"""The limiter is given this much more at both ends than is taken of it."""

Samples = npt.NDArray[np.float32]


def touched(before: Sequence[Clip], after: Sequence[Clip], limit: int) -> list[tuple[int, int]]:
    """Where two stems differ, in samples from the beginning up to `limit`: where a clip is that the other has not."""
    old, new = Counter(before), Counter(after)
    differing = [*(old - new), *(new - old)]
    spans = ((clip.onset, min(limit, clip.onset + clip.samples)) for clip in differing)
    return [(begin, end) for begin, end in spans if begin < end]


async def patched(
    previous: Path, before: Sequence[Clip], after: Sequence[Clip], seconds: float, levels: Levels, scratch: Path
) -> Track:
    """The track of an earlier MP4 with the clips of `after` in place of those of `before`, at the same gain, as AAC.

    It is for dubs without a bed. Raises OtherTrackError.
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

    result = scratch / "patched.aac"
    await spliced(previous, result, touched(before, after, total), sound, scratch)
    return Track(result, await measure_loudness(result), levels)
