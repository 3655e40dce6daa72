"""Speech brought to an exact length at the same pitch, by a filter of ffmpeg."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, Self, get_args

import ffmpeg
import numpy as np
import numpy.typing as npt

from orchestrator.media.ffmpeg import run, target
from orchestrator.media.limits import reading, sound

RATE = 48_000
SHORTEST = RATE // 10
"""The filters need a few periods of sound to work on: anything shorter is cut or filled up with silence."""
Filter = Literal["rubberband", "atempo"]

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Stretcher:
    """The filter that changes tempo: rubberband hits a length to the sample, atempo some 20 ms short."""

    filter: Filter = "atempo"

    @classmethod
    async def find(cls) -> Self:
        """The best filter that this machine's ffmpeg has; every ffmpeg has atempo."""
        listed = (await run(["ffmpeg", "-hide_banner", "-filters"], limits=reading(0))).output.decode()
        names = {line.split()[1] for line in listed.splitlines() if len(line.split()) > 1}
        return cls(next((each for each in get_args(Filter) if each in names), "atempo"))

    async def stretch(self, samples: Samples, count: int, scratch: Path) -> Samples:
        """Mono speech [n] at 48 kHz as exactly `count` samples. What the filter lacks is silence at the end.

        Works in a folder of its own in `scratch`. Raises MediaError, and ValueError where there is nothing to stretch.
        """
        if not len(samples) or count < 1:
            raise ValueError(f"{len(samples)} samples cannot be made {count}")
        if len(samples) == count:
            return samples
        if len(samples) < SHORTEST:
            return _held(samples, count)
        with TemporaryDirectory(prefix=".stretch-", dir=scratch) as folder:
            raw = Path(folder) / "speech.f32"
            stream = ffmpeg.input("pipe:0", format="f32le", ar=RATE, ac=1).audio
            stream = stream.filter(self.filter, f"{len(samples) / count:.9f}")
            command = target(stream, path=raw, format="f32le", acodec="pcm_f32le")
            seconds = max(len(samples), count) / RATE
            await run(command, limits=sound(seconds), stdin=_blocks(samples))
            return _held(np.fromfile(raw, "<f4", count=count), count)


def _held(samples: Samples, count: int) -> Samples:
    """The first `count` samples, silence behind them where there are fewer."""
    return np.pad(samples[:count], (0, max(0, count - len(samples))))


async def _blocks(samples: Samples) -> AsyncIterator[bytes]:
    yield np.ascontiguousarray(samples, "<f4").tobytes()
