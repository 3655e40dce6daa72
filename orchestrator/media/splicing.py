"""A stretch of an AAC track made anew: the packets around it stay as they are, bit for bit.

A packet holds 1024 samples and overlaps with its neighbours: number k sounds from sample 1024 (k - 1) to 1024 (k + 1),
for the first begins 1024 before the track (ISO/IEC 14496-3). At both ends of the stretch the new packets come from the
same samples as the old ones did, by an encoder that has had `RUN_UP` packets of them before: so they fit. (What is
decoded of a packet may still vary in the noise that AAC fills bands with: it goes by all the noise before.)
"""

import asyncio
import mmap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np
import numpy.typing as npt

from orchestrator.media.failures import MediaError
from orchestrator.media.ffmpeg import LONGEST_MEDIA_S, run, source, target
from orchestrator.media.limits import sound
from orchestrator.media.merge import AAC
from orchestrator.media.streams import inspect

RATE = 48_000
FRAME = 1024
RUN_UP = 24
MARGIN = 4
"""Packets replaced beyond those that hold what is other: the encoder looks ahead."""

Samples = npt.NDArray[np.float32]
Sound = Callable[[int, int], Samples]
"""The samples [n, 1] of the new track from one to another, silence before its first and after its last."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Packets `first` to `stop`, which are replaced."""

    first: int
    stop: int


class OtherTrackError(MediaError):
    """The track is none that one of ours could be put into."""

    def __init__(self) -> None:
        super().__init__("media_failed", "The earlier file's sound is not as it was made.", 500)


def stretches(touched: Sequence[tuple[int, int]], packets: int) -> list[Stretch]:
    """The packets that hold these samples (from, to), in order; stretches that are near each other are one."""
    found: list[Stretch] = []
    for begin, end in sorted(touched):
        first = max(0, begin // FRAME - MARGIN)
        stop = min(packets, -(-end // FRAME) + 1 + MARGIN)
        if found and first <= found[-1].stop + RUN_UP:
            found[-1] = Stretch(found[-1].first, max(found[-1].stop, stop))
        elif first < stop:
            found.append(Stretch(first, stop))
    return found


async def spliced(path: Path, dest: Path, touched: Sequence[tuple[int, int]], sound_of: Sound, scratch: Path) -> None:
    """Write the default audio track of an MP4 of ours as ADTS with what is `touched` encoded anew.

    Raises OtherTrackError where the track is not of our making.
    """
    container = await inspect(path)
    track = container.sound
    if track is None or (track.codec, track.sample_rate, track.channels) != ("aac", RATE, 2):
        raise OtherTrackError
    old = scratch / "old.aac"
    await run(target(source(path)[str(track.index)], path=old, format="adts", c="copy"), limits=sound(LONGEST_MEDIA_S))
    places = await asyncio.to_thread(_places, old)
    wanted = stretches(touched, len(places) - 1)
    new = [await _encoded(stretch, sound_of, scratch / f"{at}.aac") for at, stretch in enumerate(wanted)]
    await asyncio.to_thread(_join, old, places, list(zip(wanted, new, strict=True)), dest)


async def cut(track: Path, dest: Path, begin: int, end: int) -> int:
    """Write the packets of an ADTS track that sound from sample `begin` to `end`; how many samples are decoded of them
    before `begin`."""
    return await asyncio.to_thread(_cut, track, dest, begin, end)


def _cut(track: Path, dest: Path, begin: int, end: int) -> int:
    places = _places(track)
    first = begin // FRAME
    stop = min(len(places) - 1, -(-end // FRAME) + 2)
    with track.open("rb") as read:
        read.seek(places[first])
        dest.write_bytes(read.read(places[stop] - places[first]))
    return begin - (first - 1) * FRAME


async def _encoded(stretch: Stretch, sound_of: Sound, dest: Path) -> bytes:
    """The packets of a stretch, encoded from `RUN_UP` before to `RUN_UP` after it."""
    begin = max(0, stretch.first - RUN_UP)
    samples = await asyncio.to_thread(sound_of, begin * FRAME, (stretch.stop + RUN_UP) * FRAME)
    whole = np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2").tobytes()

    async def raw() -> Any:
        yield whole

    stream = ffmpeg.input("pipe:0", format="s16le", ar=RATE, ac=1).audio
    stream = stream.filter("channelmap", map="0|0", channel_layout="stereo")
    coding = {("acodec" if name == "c" else "audio_bitrate" if name == "b" else name): v for name, v in AAC.items()}
    command = target(stream, path=dest, format="adts", **coding)
    await run(command, limits=sound(len(samples) / RATE), stdin=raw())
    data = await asyncio.to_thread(dest.read_bytes)
    places = _places(dest)
    first, stop = stretch.first - begin, stretch.stop - begin
    if stop >= len(places):
        raise OtherTrackError
    return data[places[first] : places[stop]]


def _join(old: Path, places: Sequence[int], new: Sequence[tuple[Stretch, bytes]], dest: Path) -> None:
    with old.open("rb") as read, dest.open("wb") as written:
        at = 0
        for stretch, data in new:
            read.seek(places[at])
            written.write(read.read(places[stretch.first] - places[at]))
            written.write(data)
            at = stretch.stop
        read.seek(places[at])
        written.write(read.read())


def _places(path: Path) -> list[int]:
    """Where each ADTS packet begins, and the end of the last."""
    places, at, size = [], 0, path.stat().st_size
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        while at + 7 <= size and data[at] == 0xFF and data[at + 1] & 0xF0 == 0xF0:
            places.append(at)
            at += ((data[at + 3] & 3) << 11) | (data[at + 4] << 3) | (data[at + 5] >> 5)
    if at != size:
        raise OtherTrackError
    return [*places, at]
