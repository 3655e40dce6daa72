"""How loud a track is from moment to moment, by ffmpeg's EBU R128 meter."""

import math
import os
from pathlib import Path
from typing import Any

from orchestrator.dubbing.metering import PER_SECOND, Readings
from orchestrator.media.failures import MediaError
from orchestrator.media.ffmpeg import LONGEST_MEDIA_S, run, source, target
from orchestrator.media.limits import sound
from orchestrator.media.loudness import RATE

OVERSAMPLED = 4 * RATE
"""At which peaks between the samples are found (ITU-R BS.1770)."""
KEYS = ("lavfi.r128.M", "lavfi.r128.S", "lavfi.astats.Overall.Peak_level")
"""What the filters call momentary and short-term loudness and the peak, in this order for each tenth of a second."""
PEAKS: dict[str, Any] = {"metadata": 1, "reset": 1, "measure_perchannel": "none", "measure_overall": "Peak_level"}


async def metered(path: Path, skip: int = 0) -> Readings:
    """The first audio track's, from sample `skip` at 48 kHz on; mono counts as played on both sides.

    Raises MediaError.
    """
    rows: list[list[float]] = []
    row: dict[str, float] = {}

    def read(line: str) -> None:
        key, _, value = line.partition("=")
        if key in KEYS:
            row[key] = -math.inf if "nan" in value else float(value)  # of silence after sound, by its rounding
        if key == KEYS[-1]:  # alone in what is left at the end, which is too short for a reading
            rows.append([row.get(each, -math.inf) for each in KEYS])
            row.clear()

    stream = source(path).audio.filter("aresample", RATE)
    if skip:
        stream = stream.filter("atrim", start_sample=skip).filter("asetpts", "N/SR/TB")
    stream = stream.filter("ebur128", metadata=1, dualmono="true", framelog="verbose")
    stream = stream.filter("aresample", OVERSAMPLED).filter("asetnsamples", OVERSAMPLED // PER_SECOND, p=0)
    stream = stream.filter("astats", **PEAKS).filter("ametadata", mode="print", file="pipe:1")
    await run(target(stream, path=Path(os.devnull), format="null"), limits=sound(LONGEST_MEDIA_S), line=read)
    if not rows:
        raise MediaError("media_failed", "The track's loudness could not be measured.", 500)
    return Readings.of(rows)
