"""What sounds beneath a dub, made of the original's sound when the dub is put together."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from orchestrator.dubbing.balance import Mix
from orchestrator.dubbing.mix import RATE
from orchestrator.dubbing.overlap import Joined, Window, windows
from orchestrator.jobs import keys
from orchestrator.jobs.context import current
from orchestrator.jobs.mixing import BLOCK, Bed
from orchestrator.media.loudness import measure_blocks, measure_loudness
from orchestrator.media.original import extract_original

WINDOW_S = 12
OVERLAP_S = 1
SHORTEST = RATE // 2
"""A window shorter than this has silence behind it: a model needs something to go by."""

Samples = npt.NDArray[np.float32]
Share = Callable[[float], None]


@asynccontextmanager
async def bed(
    job_id: str,
    mix: Mix,
    source: Path,
    scratch: Path,
    seconds: float,
    progress: Share = lambda _: None,
    *,
    redone: bool = False,
) -> AsyncIterator[Bed | None]:
    """The bed of a dub of the media `source`, made in `scratch`; None where the dub replaces the original's sound.

    The background without voices is made once for all languages of a job and kept with the results, which may be made
    anew of it. With `redone` the `source` is a video of ours. Raises NoAudioError, MediaError, ModelRefusedError where
    no model takes voices out.
    """
    if mix == "replace":
        yield None
        return
    original = scratch / "original.wav"
    loudness = await extract_original(source, original, seconds, redone=redone)
    if mix == "voice_over":
        yield Bed(original, loudness, ducked=True)
        return
    key = keys.background(job_id)
    if not await current().storage.exists(key):
        made = scratch / "background.flac"
        await _separate(original, made, progress)
        await current().storage.put_file(key, made)
        made.unlink()
    async with current().storage.local(key) as background:
        voices = await measure_blocks(_voices(original, background), 2)
        original.unlink()
        yield Bed(background, await measure_loudness(background), voices)


async def _separate(original: Path, dest: Path, progress: Share) -> None:
    """Write the original without its voices, as long as it, as 24-bit FLAC."""
    with (
        soundfile.SoundFile(original) as file,
        soundfile.SoundFile(dest, "w", RATE, 2, "PCM_24", format="FLAC") as written,
    ):
        total, overlap = file.frames, OVERLAP_S * RATE
        joined = Joined(total, overlap)
        for window in windows(total, WINDOW_S * RATE, overlap):
            sound = await asyncio.to_thread(_read, file, window)
            background = (await current().models.separate(sound, RATE))[: window.stop - window.start]
            await asyncio.to_thread(written.write, joined.add(window, background))
            progress(window.stop / total)


def _read(file: soundfile.SoundFile, window: Window) -> Samples:
    file.seek(window.start)
    sound = np.zeros((max(window.stop - window.start, SHORTEST), 2), np.float32)
    sound[: window.stop - window.start] = file.read(window.stop - window.start, "float32", always_2d=True)
    return sound


async def _voices(original: Path, background: Path) -> AsyncIterator[Samples]:
    """What was taken out of the original, in blocks [n, 2], as far as both go: a video of ours may end elsewhere."""

    def block(whole: soundfile.SoundFile, rest: soundfile.SoundFile) -> Samples:
        left: Samples = whole.read(BLOCK, "float32", always_2d=True)
        found = rest.read(len(left), "float32", always_2d=True)
        left[: len(found)] -= found
        return left[: len(found)]

    with soundfile.SoundFile(original) as whole, soundfile.SoundFile(background) as rest:
        while len(samples := await asyncio.to_thread(block, whole, rest)):
            yield samples
