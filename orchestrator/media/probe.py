"""What a file is, by its content alone: ffprobe reads its header, ffmpeg walks its packets to see that it is whole.

Both run in a subprocess of their own, within limits, on the named containers only and without any protocol but
`file`, so that no playlist, concat script or reference inside a file makes them open another one.
"""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from orchestrator.errors import OctaviaError
from orchestrator.media.failures import MediaError
from orchestrator.media.ffmpeg import RESTRICTED, Completed, Progress, run
from orchestrator.media.limits import Limits, reading
from orchestrator.media.promised_size import promised_size
from orchestrator.media.subtitle_file import Subtitles, examine
from orchestrator.media.whitelists import DEMUXERS, MAX_PIXELS
from orchestrator.subtitles.reader import CONTENT_TYPES as SUBTITLE_TYPES

ACCEPTED = (
    "mp4, mov, mkv, webm, avi, wmv, flv, ts or mpg for video; mp3, wav, flac, ogg, m4a or aac for audio; "
    "srt, vtt, ass or ssa, json as we write it or txt for subtitles"
)

CONTENT_TYPES: Mapping[str, tuple[str, str]] = {
    "mov": ("video/mp4", "audio/mp4"),
    "matroska": ("video/x-matroska", "audio/x-matroska"),
    "avi": ("video/x-msvideo", "video/x-msvideo"),
    "asf": ("video/x-ms-wmv", "audio/x-ms-wma"),
    "flv": ("video/x-flv", "video/x-flv"),
    "mpegts": ("video/mp2t", "video/mp2t"),
    "mpeg": ("video/mpeg", "video/mpeg"),
    "mp3": ("audio/mpeg", "audio/mpeg"),
    "wav": ("audio/wav", "audio/wav"),
    "flac": ("audio/flac", "audio/flac"),
    "ogg": ("video/ogg", "audio/ogg"),
    "aac": ("audio/aac", "audio/aac"),
}
"""Content type with and without a picture."""

LARGEST_SUBTITLES = 10 * 2**20

MISSING_END_S = 2.0
MISSING_END_SHARE = 0.02
ROUNDED_S = 0.1
"""A file is incomplete when more than both of the first lack at its end: headers round, and tracks end unevenly."""

MEASURED = frozenset({"aac", "mp3", "mpegts", "mpeg"})
"""Containers whose duration is an estimate by bit rate: what was found counts."""

THINNEST_BYTES_PER_S = 10
THIN_FROM_S = 600.0
"""From this length on a file holds more bytes per second than that: even silence takes 160."""

SERVERS_FAULT = frozenset({"storage_full", "out_of_memory"})
TOLD = frozenset({"too_many_streams", "media_too_heavy", "codec_unsupported"})
"""Reasons that say more than that the file cannot be read."""

_BROKEN_OFF = re.compile(r"partial file|moov atom not found|Truncating packet|File ended prematurely", re.IGNORECASE)


class NotMediaError(OctaviaError):
    """The content is none of the containers we take, or is damaged beyond reading."""

    def __init__(self) -> None:
        super().__init__(
            "not_media",
            f"This is not a media file we can read, or it is incomplete. Upload a whole file: {ACCEPTED}.",
            422,
        )


class IncompleteMediaError(OctaviaError):
    """The file breaks off before the end its header promises."""

    def __init__(self, there_s: float) -> None:
        message = f"The file is incomplete: it breaks off after {there_s:.1f} s. Upload the whole file."
        super().__init__("media_incomplete", message, 422)


class NothingToPlayError(OctaviaError):
    """A container without a single readable picture or sound."""

    def __init__(self) -> None:
        super().__init__("media_empty", "The file has neither sound nor picture. Upload one that has.", 422)


class FrameTooLargeError(OctaviaError):
    """The picture has more pixels than any player shows."""

    def __init__(self, width: int, height: int) -> None:
        message = f"The picture has {width}x{height} pixels; at most 8192x4320 are accepted. Scale it down."
        super().__init__("frame_too_large", message, 422, limit=MAX_PIXELS)


class HollowMediaError(OctaviaError):
    """Hardly any content for the time it claims to last."""

    def __init__(self, size: int, duration_s: float) -> None:
        message = f"The file claims {duration_s / 3600:.1f} hours but holds {size / 1024:.0f} KB: it is damaged."
        super().__init__("media_hollow", f"{message} Export it again.", 422)


class ProbeTimeoutError(OctaviaError):
    """Reading the file took longer than any honest file does."""

    def __init__(self) -> None:
        super().__init__(
            "media_unreadable", "The file could not be read in time. Convert it to MP4 and try again.", 422
        )


@dataclass(frozen=True, slots=True)
class VideoStream:
    """The first real picture; cover art is none. `fps` is the average rate."""

    codec: str
    width: int
    height: int
    fps: float
    pix_fmt: str


@dataclass(frozen=True, slots=True)
class AudioStream:
    codec: str
    channels: int
    sample_rate: int
    language: str | None


@dataclass(frozen=True, slots=True)
class Probe:
    """A media file as found. `container` is ffmpeg's name, or a format of subtitles; `duration` in seconds."""

    container: str
    content_type: str
    duration: float
    video: VideoStream | None
    audio: tuple[AudioStream, ...]
    subtitles: Subtitles | None = None

    @property
    def kind(self) -> str:
        if self.subtitles:
            return "subtitles"
        return "video" if self.video else "audio"


async def probe(path: Path, largest_subtitles: int = LARGEST_SUBTITLES) -> Probe:
    """Examine a file of this machine. `largest_subtitles`: bytes a file of subtitles may have.

    Raises one of the errors above, UnreadableSubtitlesError, TooLargeError.
    """
    text = await asyncio.to_thread(examine, path, largest_subtitles)
    if text is not None:
        subtitles, seconds = text
        return Probe(subtitles.format, SUBTITLE_TYPES[subtitles.format], seconds, None, (), subtitles)
    found = await _header(path)
    container = _container(found)
    playable = [each for each in found["streams"] if _is_playable(each)]
    video, audio = _video(playable), _audio(playable)
    if video is None and not audio:
        raise NothingToPlayError
    tracks = [each["index"] for each in playable]
    duration = await _walk(path, tracks, _seconds(found["format"].get("duration")), container)
    return Probe(container, _content_type(path, container, found, video is not None), duration, video, audio)


async def _header(path: Path) -> dict[str, Any]:
    entries = (
        "format=format_name,duration:format_tags=major_brand"
        ":stream=index,codec_type,codec_name,width,height,avg_frame_rate,pix_fmt,channels,sample_rate"
        ":stream_disposition=attached_pic,timed_thumbnails:stream_tags=language"
    )
    command = ["ffprobe", *RESTRICTED, "-show_entries", entries, "-of", "json", f"file:{path}"]
    completed = await _run(command, reading(path.stat().st_size))
    found: dict[str, Any] = {"streams": [], **json.loads(completed.output)}
    if not found.get("format", {}).get("format_name"):
        raise NotMediaError
    if any(_moves(each) and not each.get("width") for each in found["streams"]):
        _refuse_too_large(completed.errors)
    return found


def _refuse_too_large(errors: str) -> None:
    """Where ffprobe leaves out a picture's size, its complaint tells whether that is too large."""
    for width, height in re.findall(r"Picture size (\d+)x(\d+) (?:is invalid|exceeds)", errors):
        if int(width) * int(height) > MAX_PIXELS:
            raise FrameTooLargeError(int(width), int(height))


def _container(found: Mapping[str, Any]) -> str:
    names = found["format"]["format_name"].split(",")
    container: str | None = next((name for name in names if name in DEMUXERS), None)
    if container is None:
        raise NotMediaError
    return container


def _moves(stream: Mapping[str, Any]) -> bool:
    """Whether the stream is a picture other than a cover."""
    disposition = stream.get("disposition", {})
    still = disposition.get("attached_pic") or disposition.get("timed_thumbnails")
    return stream.get("codec_type") == "video" and not still


def _is_playable(stream: Mapping[str, Any]) -> bool:
    if not stream.get("codec_name"):
        return False
    if stream.get("codec_type") == "audio":
        return bool(stream.get("channels")) and int(stream.get("sample_rate") or 0) > 0
    return _moves(stream) and bool(stream.get("width"))


def _video(streams: list[dict[str, Any]]) -> VideoStream | None:
    for stream in streams:
        if not _moves(stream):
            continue
        width, height = int(stream["width"]), int(stream["height"])
        if width * height > MAX_PIXELS:
            raise FrameTooLargeError(width, height)
        return VideoStream(
            codec=stream["codec_name"],
            width=width,
            height=height,
            fps=_rate(stream.get("avg_frame_rate", "0/0")),
            pix_fmt=stream.get("pix_fmt", "unknown"),
        )
    return None


def _audio(streams: list[dict[str, Any]]) -> tuple[AudioStream, ...]:
    return tuple(
        AudioStream(
            codec=stream["codec_name"],
            channels=int(stream["channels"]),
            sample_rate=int(stream["sample_rate"]),
            language=_language(stream.get("tags", {}).get("language")),
        )
        for stream in streams
        if stream["codec_type"] == "audio"
    )


def _language(tag: str | None) -> str | None:
    return tag if tag and tag != "und" and re.fullmatch(r"[A-Za-z-]{2,12}", tag) else None


def _rate(text: str) -> float:
    numerator, _, denominator = text.partition("/")
    if not int(denominator or 0):
        return 0.0
    return round(float(Fraction(int(numerator), int(denominator))), 3)


def _seconds(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _content_type(path: Path, container: str, found: Mapping[str, Any], picture: bool) -> str:
    if container == "mov" and found["format"].get("tags", {}).get("major_brand", "").strip() == "qt" and picture:
        return "video/quicktime"
    with path.open("rb") as file:
        # The EBML header names the document type; ffmpeg's demuxer is the same for both.
        if container == "matroska" and b"webm" in file.read(64):
            return "video/webm" if picture else "audio/webm"
    return CONTENT_TYPES[container][0 if picture else 1]


async def _walk(path: Path, tracks: Sequence[int], promised_s: float | None, container: str) -> float:
    """The duration found by reading every packet of these tracks once, held against the header's."""
    maps = [part for index in tracks for part in ("-map", f"0:{index}")]
    command = ["ffmpeg", "-nostdin", *RESTRICTED, "-i", f"file:{path}", *maps, "-c", "copy", "-f", "null", "-"]
    size = path.stat().st_size
    there_s = 0.0

    def reached(seconds: float) -> None:
        nonlocal there_s
        there_s = max(there_s, seconds)

    errors = (await _run(command, reading(size), reached)).errors
    if there_s <= 0:
        raise NotMediaError
    promised_bytes = promised_size(path, container)
    if _BROKEN_OFF.search(errors) or (promised_bytes or 0) > size:
        raise IncompleteMediaError(there_s)
    if there_s > THIN_FROM_S and size < THINNEST_BYTES_PER_S * there_s:
        raise HollowMediaError(size, there_s)
    if promised_s is None or container in MEASURED:
        return there_s
    if promised_s - there_s > max(MISSING_END_S, MISSING_END_SHARE * promised_s):
        raise IncompleteMediaError(there_s)
    return there_s if there_s - promised_s > ROUNDED_S else promised_s


async def _run(command: list[str], limits: Limits, progress: Progress | None = None) -> Completed:
    """Run a reader; its refusal means the file, the server's own trouble stays what it is."""
    try:
        return await run(command, limits=limits, progress=progress)
    except MediaError as error:
        if error.code == "media_timeout":
            raise ProbeTimeoutError from error
        if error.code in SERVERS_FAULT | TOLD:
            raise
        raise NotMediaError from error
