"""A dub's track: its voice alone, or over a bed of the original's sound; brought to the loudness asked for.

With the `Levels` of an earlier mix nothing is set anew: what did not change comes out as it was.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from orchestrator.dubbing.balance import Levels, bed_gain, voice_gain
from orchestrator.dubbing.ducking import Ducker
from orchestrator.dubbing.loudness import Loudness
from orchestrator.dubbing.metering import Readings
from orchestrator.dubbing.mix import BLOCK_S, RATE
from orchestrator.media.loudness import levelled, write_track

VOICE_CHANNELS = 1
"""A dub's voice is mixed in mono and lies in the middle: the same on both sides."""
BLOCK = BLOCK_S * RATE

Samples = npt.NDArray[np.float32]
Share = Callable[[float], None]
"""Told the share done, 0-1."""


@dataclass(frozen=True, slots=True)
class Bed:
    """What sounds beneath a dub: a 48 kHz stereo sound file, of any length, and how loud it is.

    `voices`: how loud those were that were taken out of it. `ducked`: whether it goes down under the dub.
    """

    path: Path
    loudness: Loudness
    voices: Loudness | None = None
    ducked: bool = False


@dataclass(frozen=True, slots=True)
class Track:
    """A finished track, a 48 kHz stereo WAV file, how loud it is, and with which gains it was mixed; where its coded
    sound was metered already, with the readings."""

    path: Path
    loudness: Loudness
    levels: Levels
    readings: Readings | None = None


async def mixed(
    stem: AsyncIterator[Samples],
    bed: Bed | None,
    scratch: Path,
    goal: float,
    *,
    levels: Levels | None = None,
    progress: Share = lambda _: None,
) -> Track:
    """Mix the dub's voice [n, 1], which comes in blocks at 48 kHz before any gain, with its bed, at `goal` LUFS.

    As long as the voice. With `levels` those gains are applied as they are, whatever loudness comes of it.
    """
    voice, whole, finished = (scratch / name for name in ("voice.wav", "mixed.wav", "dub.wav"))
    measured = await write_track(stem, voice, VOICE_CHANNELS)
    set_to = levels or Levels(
        0.0,
        voice_gain(measured) if bed else 0.0,
        bed_gain(bed.loudness, bed.voices) if bed else None,
    )
    if bed is not None:
        measured = await write_track(_over(voice, bed, set_to), whole, 2)
        voice.unlink()
    reached = await levelled(
        whole if bed else voice,
        finished,
        measured,
        goal,
        gain_db=levels.gain_db if levels else None,
        progress=progress,
    )
    (whole if bed else voice).unlink()
    return Track(finished, reached.loudness, Levels(reached.gain_db, set_to.voice_db, set_to.bed_db))


async def _over(voice: Path, bed: Bed, levels: Levels) -> AsyncIterator[Samples]:
    """The voice over the bed in blocks [n, 2]."""
    ducker = Ducker() if bed.ducked else None
    voice_factor = np.float32(10 ** (levels.voice_db / 20))
    bed_factor = np.float32(10 ** ((levels.bed_db or 0.0) / 20))

    def block(spoken: soundfile.SoundFile, beneath: soundfile.SoundFile) -> Samples:
        above = spoken.read(BLOCK, "float32", always_2d=True) * voice_factor
        under = np.zeros((len(above), 2), np.float32)
        found = beneath.read(len(above), "float32", always_2d=True)
        under[: len(found)] = found * bed_factor
        if ducker is not None:
            under *= ducker.gain(above[:, 0])[:, None]
        summed: Samples = under + above
        return summed

    with soundfile.SoundFile(voice) as spoken, soundfile.SoundFile(bed.path) as beneath:
        while len(samples := await asyncio.to_thread(block, spoken, beneath)):
            yield samples
