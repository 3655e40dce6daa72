"""The dub's track, rendered block by block, to the sample. Memory is that of a block and the clips that sound in it."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import soxr

from orchestrator.dubbing.timeline import Clip

RATE = 48_000
"""Sample rate of the mix, Hz."""
FADE_S = 0.005
BLOCK_S = 10

Samples = npt.NDArray[np.float32]
Read = Callable[[Clip], Samples]
"""A clip's samples at `RATE`: [n] or [n, channels], n as the clip says."""


def resample(samples: Samples, rate: int) -> Samples:
    """Speech [n] at `rate` Hz as float32 at `RATE`."""
    if rate == RATE:
        return samples.astype(np.float32, copy=False)
    resampled: Samples = soxr.resample(samples.astype(np.float32, copy=False), rate, RATE, quality="HQ")
    return resampled


def resampled_length(samples: int, rate: int) -> int:
    """How many samples `resample` makes of this many."""
    return round(samples * RATE / rate)


def render(clips: Sequence[Clip], read: Read, start: int, stop: int, channels: int = 2) -> Samples:
    """Samples [stop - start, channels] of the mix from sample `start` to `stop`.

    Raises ValueError where `read` gives another number of samples than the clip says.
    """
    block = np.zeros((stop - start, channels), np.float32)
    for clip in clips:
        if clip.onset < stop and clip.onset + clip.samples > start:
            _add(block, clip, sound(clip, read), start)
    return block


def blocks(
    clips: Sequence[Clip], read: Read, total: int, channels: int = 2, size: int = BLOCK_S * RATE
) -> Iterator[Samples]:
    """The whole mix of `total` samples in blocks [at most `size`, channels]; each clip is read once."""
    waiting = sorted(clips, key=lambda clip: clip.onset, reverse=True)
    sounding: list[tuple[Clip, Samples]] = []
    for start in range(0, total, size):
        stop = min(start + size, total)
        while waiting and waiting[-1].onset < stop:
            clip = waiting.pop()
            sounding.append((clip, sound(clip, read)))
        block = np.zeros((stop - start, channels), np.float32)
        for clip, samples in sounding:
            _add(block, clip, samples, start)
        sounding = [(clip, samples) for clip, samples in sounding if clip.onset + clip.samples > stop]
        yield block


def sound(clip: Clip, read: Read) -> Samples:
    """A clip's samples [n, 1 or channels] with its gain and click-free edges."""
    samples = np.atleast_2d(np.asarray(read(clip), np.float32).T).T
    if len(samples) != clip.samples:
        raise ValueError(f"clip '{clip.key}' has {len(samples)} samples, its plan says {clip.samples}")
    fade = min(round(FADE_S * RATE), len(samples) // 2)
    envelope = np.full((len(samples), 1), clip.gain, np.float32)
    if fade:
        ramp = np.sin(np.linspace(0, np.pi / 2, fade, dtype=np.float32)) ** 2
        envelope[:fade, 0] *= ramp
        envelope[-fade:, 0] *= ramp[::-1]
    return samples * envelope


def _add(block: Samples, clip: Clip, samples: Samples, start: int) -> None:
    first, last = max(clip.onset, start), min(clip.onset + clip.samples, start + len(block))
    if first < last:
        block[first - start : last - start] += samples[first - clip.onset : last - clip.onset]
