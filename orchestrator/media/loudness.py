"""A dub's track on disk: written, measured by EBU R128, brought to its loudness."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np
import numpy.typing as npt
import soundfile

from orchestrator.dubbing.limiter import Leveller
from orchestrator.dubbing.loudness import TARGET_LUFS, Gain, Loudness, held, plan
from orchestrator.media.failures import MediaError
from orchestrator.media.ffmpeg import LONGEST_MEDIA_S, TELLING, run, source, target
from orchestrator.media.limits import sound

RATE = 48_000
BLOCK = 10 * RATE
TOLERANCE_LU = 0.5
PASSES = 3
METER: dict[str, Any] = {"peak": "true", "framelog": "verbose", "dualmono": "true"}

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Levelled:
    """What a track measures at its end, and the gain in dB that brought it there."""

    loudness: Loudness
    gain_db: float


async def measure_loudness(path: Path) -> Loudness:
    """Integrated loudness, true peak and range of a file's first audio track; mono counts as played on both sides."""
    command = target(source(path).audio.filter("ebur128", **METER), path=Path(os.devnull), format="null")
    return parse((await run(command, limits=sound(LONGEST_MEDIA_S), verbosity=TELLING)).errors)


def parse(report: str) -> Loudness:
    """The summary ffmpeg's ebur128 prints at the end. Raises MediaError where there is none."""
    summary = report.rpartition("Summary:")[2]
    found = {name: re.search(rf"{name}:\s+(-?(?:inf|[\d.]+|nan)) ", summary) for name in ("I", "LRA", "Peak")}
    values = {name: float(match[1]) for name, match in found.items() if match}
    if len(values) < 3:
        raise MediaError("media_failed", "The track's loudness could not be measured.", 500)
    return Loudness(values["I"], values["Peak"], values["LRA"])


async def measure_blocks(blocks: AsyncIterator[Samples], channels: int) -> Loudness:
    """How loud blocks [n, channels] of float32 at 48 kHz are; they are kept nowhere."""
    return await _write(blocks, Path(os.devnull), channels, channels, "pcm_f32le", "null")


async def write_track(blocks: AsyncIterator[Samples], dest: Path, channels: int) -> Loudness:
    """Write blocks [n, channels] of float32 at 48 kHz as a float WAV file and measure it on the way."""
    return await _write(blocks, dest, channels, channels, acodec="pcm_f32le")


async def levelled(
    track: Path,
    dest: Path,
    measured: Loudness,
    goal: float = TARGET_LUFS,
    *,
    gain_db: float | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> Levelled:
    """Bring a track to `goal` LUFS with its true peak limited, as 48 kHz stereo s16 WAV.

    With `gain_db` that gain is applied as it is, whatever comes of it, and peaks are limited all the same. Without,
    silence stays as it is, and where the limiter takes loudness away the gain is corrected, at most twice; `progress`
    is told the share done, 0-1, as if every one of the passes were needed.
    """
    if gain_db is not None:
        return Levelled(await _write_levelled(track, dest, held(gain_db), progress), gain_db)
    gain = plan(measured, goal)
    for number in range(PASSES):
        reached = await _write_levelled(track, dest, gain, _part(progress, number))
        if gain.limit is None or reached.is_silent or abs(goal - reached.integrated) <= TOLERANCE_LU:
            break
        if number < PASSES - 1:
            gain = Gain(gain.db + goal - reached.integrated, gain.limit)
    return Levelled(reached, gain.db)


def _part(progress: Callable[[float], None], number: int) -> Callable[[float], None]:
    return lambda share: progress((number + share) / PASSES)


async def _write_levelled(track: Path, dest: Path, gain: Gain, progress: Callable[[float], None]) -> Loudness:
    with soundfile.SoundFile(track) as file:
        leveller = Leveller(gain, file.channels)

        async def blocks() -> AsyncIterator[Samples]:
            while True:
                block = await asyncio.to_thread(file.read, BLOCK, "float32", always_2d=True)
                if not len(block):
                    break
                yield await asyncio.to_thread(leveller.process, block)
                progress(file.tell() / file.frames)
            yield await asyncio.to_thread(leveller.flush)

        return await _write(blocks(), dest, file.channels, 2, acodec="pcm_s16le")


async def _write(
    blocks: AsyncIterator[Samples], dest: Path, channels: int, written: int, acodec: str, kind: str = "wav"
) -> Loudness:
    """Write blocks with `written` channels and measure them; the file is RF64 where it grows over 4 GB."""

    async def raw() -> AsyncIterator[bytes]:
        async for block in blocks:
            yield np.ascontiguousarray(block, "<f4").tobytes()

    stream = ffmpeg.input("pipe:0", format="f32le", ar=RATE, ac=channels).audio.filter("ebur128", **METER)
    if written != channels:
        # ffmpeg's own way from mono to stereo takes 3 dB off.
        stream = stream.filter("channelmap", map="0|0", channel_layout="stereo")
    command = target(stream, path=dest, format=kind, acodec=acodec, **({"rf64": "auto"} if kind == "wav" else {}))
    return parse((await run(command, limits=sound(LONGEST_MEDIA_S), stdin=raw(), verbosity=TELLING)).errors)
