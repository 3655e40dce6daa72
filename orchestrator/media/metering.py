"""How loud a finished file is, over the whole and from moment to moment."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

from orchestrator.dubbing.loudness import SILENT_LUFS, Loudness
from orchestrator.media.ffmpeg import LONGEST_MEDIA_S, run, source, target
from orchestrator.media.limits import sound
from orchestrator.media.loudness import METER, parse

KEY = "lavfi.r128.S"
"""What the filter calls short-term loudness, that of the last 3 s; it says it ten times a second."""
PER_SECOND = 10


async def loudness_over_time(path: Path) -> tuple[Loudness, list[float]]:
    """Loudness of a file's first audio track, and its short-term loudness in LUFS every 0.1 s. Raises MediaError."""
    values: list[float] = []

    def read(line: str) -> None:
        key, _, value = line.partition("=")
        if key == KEY:
            values.append(float(value))

    stream = source(path).audio.filter("ebur128", **METER, metadata=1)
    stream = stream.filter("ametadata", mode="print", key=KEY, file="pipe:1")
    command = target(stream, path=Path(os.devnull), format="null")
    done = await run(command, limits=sound(LONGEST_MEDIA_S), line=read, verbosity="info")
    return parse(done.errors), values


def thinned(values: Sequence[float], most: int) -> tuple[float, list[float | None]]:
    """At most so many values, each the loudest of its stretch, and how many seconds a stretch lasts; silence is None.

    A stretch is a second at least.
    """
    size = max(PER_SECOND, math.ceil(len(values) / most))
    loudest = [max(values[at : at + size]) for at in range(0, len(values), size)]
    return size / PER_SECOND, [round(each, 1) if each > SILENT_LUFS else None for each in loudest]
