"""What a file holds, as ffprobe sees it: the streams a dub is made from."""

import json
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from orchestrator.media.failures import MediaError
from orchestrator.media.ffmpeg import RESTRICTED, Line, run
from orchestrator.media.limits import reading

LONGEST_TITLE = 1000
DISCONTINUOUS = frozenset({"mpegts", "mpeg", "ogg"})
"""Containers whose times may jump: ffmpeg joins them, and counts from the first of the tracks that are read."""
TAIL_S = 20.0
"""How far before the stated end a picture's last packets are looked for."""
INTERLACED = frozenset({"tt", "bb", "tb", "bt"})
"""ffprobe's field orders of pictures that show two half pictures a frame."""
EIGHT_BIT_420 = frozenset({"yuv420p", "yuvj420p"})


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream. `start` and `duration` in seconds (None: the container does not say); `start` from the file's own."""

    index: int
    kind: str
    codec: str
    start: float
    duration: float | None
    default: bool
    language: str | None
    pixel_format: str | None = None
    width: int = 0
    height: int = 0
    frame_seconds: float = 0.04
    has_b_frames: bool = False
    attached_picture: bool = False
    interlaced: bool = False
    transfer: str | None = None
    channels: int = 0
    sample_rate: int = 0
    turned: bool = False
    """It lies on its side: players turn it by 90 degrees."""
    pixel_aspect: float = 1.0
    """How many times as wide as high a pixel is, as it is stored."""

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height of a picture as people see it."""
        wide = max(1, round(self.width * self.pixel_aspect))
        return (self.height, wide) if self.turned else (wide, self.height)


@dataclass(frozen=True, slots=True)
class Container:
    """A file: its formats by ffmpeg's names, seconds it says it lasts, its streams, its title."""

    formats: frozenset[str]
    duration: float | None
    streams: tuple[Stream, ...]
    title: str | None

    @property
    def picture(self) -> Stream | None:
        """The moving picture: cover art does not count, nor what has no size."""
        moving = [each for each in self.streams if each.kind == "video" and not each.attached_picture]
        return _preferred([each for each in moving if each.width and each.height])

    @property
    def sound(self) -> Stream | None:
        """The audio track people hear: the default one, else the first."""
        return _preferred([each for each in self.streams if each.kind == "audio" and each.channels])

    @property
    def redone(self) -> Self:
        """Of a video of our making, the same without its dub: with the last of its audio tracks alone."""
        sounds = [each for each in self.streams if each.kind == "audio"]
        return replace(self, streams=tuple(each for each in self.streams if each not in sounds[:-1]))


def _preferred(streams: list[Stream]) -> Stream | None:
    return next((each for each in streams if each.default), streams[0] if streams else None)


async def inspect(path: Path) -> Container:
    """Probe a file. Raises MediaError where it is none that can be read."""
    asked = "format=format_name,duration,start_time:format_tags=title:stream:stream_tags:stream_disposition"
    asked += ":stream_side_data=rotation"
    found = await _described(path, "-show_entries", asked)
    container = found.get("format", {})
    origin = _number(container.get("start_time")) or 0.0
    return Container(
        frozenset(container.get("format_name", "").split(",")),
        _number(container.get("duration")),
        tuple(_stream(each, origin) for each in found.get("streams", [])),
        container.get("tags", {}).get("title", "")[:LONGEST_TITLE] or None,
    )


async def extent(path: Path, container: Container, picture: Stream) -> tuple[float, float]:
    """When the last frame ends, by its packets, and when the file does; seconds from the file's start."""
    if container.formats & DISCONTINUOUS:
        return await _joined(path, container, picture)
    stated = container.duration
    tail = max(0.0, (stated or 0.0) - TAIL_S)
    shown = await _last_packet(path, picture, tail) or await _last_packet(path, picture, 0.0) or stated or 0.0
    return shown, stated or shown


async def _last_packet(path: Path, stream: Stream, since: float) -> float | None:
    """The end of the stream's last packet at or after `since`; None where there is none."""
    entries = "format=start_time:packet=pts_time,dts_time,duration_time,flags"
    arguments = ["-select_streams", str(stream.index), "-show_entries", entries]
    if since:
        arguments += ["-read_intervals", f"{since:.3f}%"]
    last, origin = -math.inf, 0.0

    def read(line: str) -> None:
        nonlocal last, origin
        fields = dict(part.split("=", 1) for part in line.split("|") if "=" in part)
        if "start_time" in fields:
            origin = _number(fields["start_time"]) or 0.0
        shown, decoded = _number(fields.get("pts_time")), _number(fields.get("dts_time"))
        time = decoded if shown is None else shown
        if time is not None and "D" not in fields.get("flags", ""):
            last = max(last, time + (_number(fields.get("duration_time")) or stream.frame_seconds))

    await _ffprobe(path, "-of", "compact=print_section=0", *arguments, line=read)
    return None if last == -math.inf else last - origin


async def _joined(path: Path, container: Container, picture: Stream) -> tuple[float, float]:
    """The extent where times may jump: as ffmpeg joins them when it reads picture and sound together."""
    tracks = [picture, container.sound] if container.sound else [picture]
    units = [0.0 for _ in tracks]
    ends = [0.0 for _ in tracks]

    def read(line: str) -> None:
        if match := re.fullmatch(r"#tb (\d): (\d+)/(\d+)", line):
            units[int(match[1])] = int(match[2]) / int(match[3])
        elif match := re.match(r"(\d),\s*(-?\d+),\s*(-?\d+),\s*(\d+),", line):
            at, unit = int(match[1]), units[int(match[1])]
            begin = max(int(match[2]), int(match[3])) * unit
            ends[at] = max(ends[at], begin + (int(match[4]) * unit or tracks[at].frame_seconds))

    maps = [part for track in tracks for part in ("-map", f"0:{track.index}")]
    command = ["ffmpeg", "-nostdin", *RESTRICTED, "-i", f"file:{path}", *maps, "-c", "copy", "-f", "framecrc", "-"]
    await run(command, limits=reading(path.stat().st_size), line=read)
    return ends[0], max(ends)


async def _ffprobe(path: Path, *arguments: str, line: Line | None = None) -> bytes:
    command = ["ffprobe", *RESTRICTED, *arguments, f"file:{path}"]
    return (await run(command, limits=reading(path.stat().st_size), line=line)).output


async def _described(path: Path, *arguments: str) -> dict[str, Any]:
    output = await _ffprobe(path, "-of", "json", *arguments)
    try:
        found: dict[str, Any] = json.loads(output)
    except ValueError as error:
        raise MediaError("media_invalid", "The file is damaged or not a media file.") from error
    return found


def _stream(found: dict[str, Any], origin: float) -> Stream:
    tags = {key.lower(): value for key, value in found.get("tags", {}).items()}
    disposition = found.get("disposition", {})
    start = _number(found.get("start_time"))
    duration = _number(found.get("duration"))
    if duration is None and (end := _clock(tags.get("duration"))) is not None:
        duration = end - max(0.0, start or 0.0)
    return Stream(
        index=found["index"],
        kind=found.get("codec_type", "data"),
        codec=found.get("codec_name", "unknown"),
        start=0.0 if start is None else start - origin,
        duration=duration,
        default=bool(disposition.get("default")),
        language=tags.get("language"),
        pixel_format=found.get("pix_fmt"),
        width=found.get("width", 0),
        height=found.get("height", 0),
        frame_seconds=_frame_seconds(found),
        has_b_frames=bool(found.get("has_b_frames")),
        attached_picture=bool(disposition.get("attached_pic") or disposition.get("timed_thumbnails")),
        interlaced=found.get("field_order") in INTERLACED,
        transfer=found.get("color_transfer"),
        channels=found.get("channels", 0),
        sample_rate=int(found.get("sample_rate", 0)),
        turned=any(_is_turned(each) for each in found.get("side_data_list", [])),
        pixel_aspect=_ratio(found.get("sample_aspect_ratio")) or 1.0,
    )


def _is_turned(side_data: dict[str, Any]) -> bool:
    rotation = side_data.get("rotation")
    return isinstance(rotation, (int, float)) and round(rotation) % 180 == 90


def _ratio(text: str | None) -> float | None:
    """ "4:3" as a number, where it can be one of pixels."""
    over, _, under = (text or "").partition(":")
    ratio = int(over) / int(under) if over.isdigit() and under.isdigit() and int(under) else 0.0
    return ratio if 0.1 <= ratio <= 10 else None


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _clock(text: str | None) -> float | None:
    """Matroska's "00:01:02.345000000" in seconds."""
    match = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", text or "")
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3]) if match else None


def _frame_seconds(found: dict[str, Any]) -> float:
    for rate in (found.get("avg_frame_rate"), found.get("r_frame_rate")):
        over, _, under = (rate or "").partition("/")
        if over.isdigit() and under.isdigit() and int(over) and int(under):
            return int(under) / int(over)
    return 0.04
