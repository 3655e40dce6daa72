"""The voice of a dub before any gain, put together of its segments' speech in storage."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt
import soundfile

from orchestrator.dubbing.mix import RATE, Read, blocks
from orchestrator.dubbing.timeline import Clip
from orchestrator.jobs.context import current
from orchestrator.jobs.mixing import VOICE_CHANNELS
from orchestrator.jobs.models import Rendition

Samples = npt.NDArray[np.float32]


def clips_of(renditions: Iterable[Rendition]) -> list[Clip]:
    """Where the speech lies, to the sample."""
    return [
        Clip(each.audio_key or "", round((each.onset or 0.0) * RATE), round((each.seconds or 0.0) * RATE))
        for each in renditions
    ]


def reader() -> Read:
    """Reads clips from storage, in threads alone: each is fetched by the loop that this was called in."""
    loop = asyncio.get_running_loop()
    storage = current().storage

    def read(clip: Clip) -> Samples:
        data = asyncio.run_coroutine_threadsafe(storage.read(clip.key), loop).result()
        samples: Samples = soundfile.read(io.BytesIO(data), dtype="float32")[0]
        return samples

    return read


async def stem(
    clips: Sequence[Clip], seconds: float, progress: Callable[[float], None] = lambda _: None
) -> AsyncIterator[Samples]:
    """Blocks [n, 1] at 48 kHz, `seconds` in all. `progress` is told the share done, 0-1."""
    total, done = round(seconds * RATE), 0
    rendered = blocks(clips, reader(), total, VOICE_CHANNELS)
    while (block := await asyncio.to_thread(next, rendered, None)) is not None:
        yield block
        done += len(block)
        progress(done / total)
