"""What a file holds, as ffprobe sees it: the streams a dub is made from."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.media.ffmpeg import RESTRICTED, MediaError, run

PROBE_TIMEOUT_S = 60.0
TAIL_S = 20.0
"""How far before the stated end a picture's last packets are looked for."""
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
    channels: int = 0
    sample_rate: int = 0


@dataclass(frozen=True, slots=True)
class Container:
    """A file: its formats by ffmpeg's names, seconds it says it lasts, its streams, its title."""

    formats: frozenset[str]
    duration: float | None
    streams: tuple[Stream, ...]
    title: str | None

    @property
    def picture(self) -> Stream | None:
        """The moving picture: cover art does not count."""
        return _preferred([each for each in self.streams if each.kind == "video" and not each.attached_picture])

    @property
    def sound(self) -> Stream | None:
        """The audio track people hear: the default one, else the first."""
        return _preferred([each for each in self.streams if each.kind == "audio"])


def _preferred(streams: list[Stream]) -> Stream | None:
    return next((each for each in streams if each.default), streams[0] if streams else None)


async def inspect(path: Path) -> Container:
    """Probe a file. Raises MediaError where it is none that can be read."""
    asked = "format=format_name,duration,start_time:format_tags=title:stream:stream_tags:stream_disposition"
    found = await _ffprobe(path, "-show_entries", asked)
    container = found.get("format", {})
    origin = _number(container.get("start_time")) or 0.0
    return Container(
        frozenset(container.get("format_name", "").split(",")),
        _number(container.get("duration")),
        tuple(_stream(each, origin) for each in found.get("streams", [])),
        container.get("tags", {}).get("title"),
    )


async def picture_end(path: Path, container: Container, picture: Stream) -> float:
    """When the last frame ends, seconds from the file's start, by its packets."""
    tail = max(0.0, (container.duration or 0.0) - TAIL_S)
    return (
        await _last_packet(path, picture, tail) or await _last_packet(path, picture, 0.0) or container.duration or 0.0
    )


async def _last_packet(path: Path, stream: Stream, since: float) -> float | None:
    """The end of the stream's last packet at or after `since`; None where there is none."""
    arguments = [
        "-select_streams",
        str(stream.index),
        "-show_entries",
        "format=start_time:packet=pts_time,dts_time,duration_time,flags",
    ]
    if since:
        arguments += ["-read_intervals", f"{since:.3f}%"]
    found = await _ffprobe(path, *arguments)
    origin = _number(found.get("format", {}).get("start_time")) or 0.0
    ends = [
        time - origin + (_number(packet.get("duration_time")) or stream.frame_seconds)
        for packet in found.get("packets", [])
        if (time := _number(packet.get("pts_time", packet.get("dts_time")))) is not None and "D" not in packet["flags"]
    ]
    return max(ends, default=None)


async def _ffprobe(path: Path, *arguments: str) -> dict[str, Any]:
    command = ["ffprobe", *RESTRICTED, "-of", "json", *arguments, f"file:{path}"]
    completed = await run(command, timeout=PROBE_TIMEOUT_S)
    try:
        found: dict[str, Any] = json.loads(completed.output)
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
        channels=found.get("channels", 0),
        sample_rate=int(found.get("sample_rate", 0)),
    )


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
