"""Picture, dub, original sound and subtitles into one MP4."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from orchestrator.media.ffmpeg import MediaError, Progress, run, source, target
from orchestrator.media.languages import iso_639_2
from orchestrator.media.mp4 import disable_tracks
from orchestrator.media.streams import EIGHT_BIT_420, Container, Stream, inspect, picture_end
from orchestrator.subtitles import srt

COPIED_SOUND = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"})
"""Codecs MP4 holds as they are."""
FINE_SOUND = frozenset({"aac", "mp3", "ac3", "eac3"})
"""Codecs whose packets are shorter than `TOLERANCE_S` from 32 kHz on."""
OUTLASTING_S = 1.0
"""Sound that outlasts the picture by more than this belongs to a still picture: then the file's length counts."""
TOLERANCE_S = 0.05
BROKEN_S = 0.5
"""An output further off than this was not written whole."""
COPY: dict[str, Any] = {"c": "copy"}
AAC: dict[str, Any] = {"c": "aac", "b": "160k", "ar": 48_000, "aac_coder": "fast"}
"""The fast coder takes half the time and, at this rate, comes closer to the original."""
H264: dict[str, Any] = {"c": "libx264", "preset": "veryfast", "crf": 20, "fps_mode": "vfr", "enc_time_base": "1:90000"}


class NoPictureError(MediaError):
    def __init__(self) -> None:
        super().__init__("no_picture", "The file has no picture to put the dub to: ask for an audio translation.")


@dataclass(frozen=True, slots=True)
class SoftSubtitles:
    """A SubRip file and the language it is in."""

    language: str
    path: Path


@dataclass(frozen=True, slots=True)
class Merged:
    """What came out: its length in seconds, and whether the picture was copied untouched."""

    seconds: float
    picture_copied: bool


@dataclass(frozen=True, slots=True)
class _Track:
    """A stream of the output: `kind` is "v", "a" or "s", `options` hold for it alone."""

    kind: str
    stream: Any
    options: dict[str, Any]
    language: str = "und"
    title: str = ""
    default: bool = True


async def merge(
    path: Path,
    dub: Path | None,
    dest: Path,
    *,
    language: str | None = None,
    original_language: str | None = None,
    subtitles: Sequence[SoftSubtitles] = (),
    progress: Progress | None = None,
) -> Merged:
    """Write the MP4 of a video `path` and its `dub` to `dest`, under a temporary name until it is whole.

    The picture is copied where it is 8-bit 4:2:0 H.264, else transcoded. The dub (48 kHz stereo, at second 0 of the
    file) is the default audio track, padded or trimmed to the picture; the original is the second, without a dub the
    only one. Subtitles are soft tracks, off by default, cut off with the picture. Raises NoPictureError, MediaError.
    """
    container = await inspect(path)
    picture = container.picture
    if picture is None:
        raise NoPictureError
    end = await output_end(path, container, picture)
    media = source(path)
    with TemporaryDirectory(prefix=".merge-", dir=dest.parent) as scratch:
        part = Path(scratch) / "merged.mp4"
        tracks = [
            _picture(media, container, picture),
            *_sounds(media, container, dub, end, language, original_language),
            *_soft(subtitles, Path(scratch), end),
        ]
        await run(_command(tracks, part, end, container.title), progress=progress)
        await asyncio.to_thread(disable_tracks, part)
        seconds = await _checked(part, end)
        part.replace(dest)
    return Merged(seconds, is_copied(container, picture))


def is_copied(container: Container, picture: Stream) -> bool:
    """Whether the picture needs no transcoding; AVI has no times for reordered frames."""
    plain = picture.codec == "h264" and picture.pixel_format in EIGHT_BIT_420
    return plain and not ("avi" in container.formats and picture.has_b_frames)


async def output_end(path: Path, container: Container, picture: Stream) -> float:
    """When the output ends, seconds from the file's start: with the picture, or with the sound of a still one."""
    end = await picture_end(path, container, picture)
    duration = container.duration or end
    return duration if duration - end > OUTLASTING_S else end


def _picture(media: Any, container: Container, picture: Stream) -> _Track:
    stream = media[str(picture.index)]
    if is_copied(container, picture):
        # AVI says when a frame is decoded, not when it is shown: without reordering that is the same.
        return _Track("v", stream, COPY | ({"bsf": "setts=pts=DTS"} if "avi" in container.formats else {}))
    if picture.has_b_frames and "avi" in container.formats:
        stream = stream.filter("setpts", "PTS-STARTPTS")
    # Odd sizes lose a row or column: scaling by a pixel would change the shape of the others.
    even = stream.filter("crop", "trunc(iw/2)*2", "trunc(ih/2)*2").filter("format", "yuv420p")
    return _Track("v", even, H264)


def _sounds(
    media: Any, container: Container, dub: Path | None, end: float, language: str | None, original_language: str | None
) -> Iterator[_Track]:
    """The dub, if there is one, and the original; the first is the default."""
    if dub is not None:
        padded = source(dub).audio.filter("apad").filter("atrim", end=f"{end:.6f}")
        yield _Track("a", padded, AAC, iso_639_2(language), "Dub", default=True)
    original = container.sound
    if original is not None:
        stream, coding = media[str(original.index)], COPY
        if not _sound_is_copied(original, end):
            stream = stream.filter("aresample", 48_000, **{"async": 1, "first_pts": 0})
            coding = AAC
        code = iso_639_2(original_language or original.language)
        yield _Track("a", stream, coding, code, "Original", default=dub is None)


def _sound_is_copied(original: Stream, end: float) -> bool:
    """Whether MP4 holds the original as it is and it can end with the picture: a cut is as fine as its packets."""
    if original.codec not in COPIED_SOUND:
        return False
    ends_inside = original.duration is not None and original.start + original.duration <= end + TOLERANCE_S
    return ends_inside or (original.codec in FINE_SOUND and original.sample_rate >= 32_000)


def _soft(subtitles: Sequence[SoftSubtitles], scratch: Path, end: float) -> Iterator[_Track]:
    """Subtitle tracks cut off at the end, for an MP4 lasts as long as its last cue; those without cues are left out."""
    for at, each in enumerate(subtitles):
        cues = srt.loads(each.path.read_text("utf-8-sig"))
        inside = [replace(cue, end=min(cue.end, end)) for cue in cues if cue.start < end]
        if inside:
            clipped = scratch / f"{at}.srt"
            clipped.write_text(srt.dumps(inside), "utf-8")
            stream = source(clipped, format="srt")["s:0"]
            yield _Track("s", stream, {"c": "mov_text"}, iso_639_2(each.language), default=False)


def _command(tracks: Sequence[_Track], dest: Path, end: float, title: str | None) -> list[str]:
    options: dict[str, Any] = {
        "format": "mp4",
        "movflags": "+faststart",
        "fflags": "+bitexact",
        "map_metadata": -1,
        "t": f"{end + 0.001:.6f}",
    }
    if title:
        options["metadata"] = f"title={title}"
    counts = Counter[str]()
    for index, track in enumerate(tracks):
        place = f"{track.kind}:{counts[track.kind]}"
        counts[track.kind] += 1
        options |= {f"{name}:{place}": value for name, value in track.options.items()}
        options[f"disposition:{place}"] = "default" if track.default else 0
        options[f"metadata:s:{place}"] = f"language={track.language}"
        # A second way to name the same stream, for ffmpeg-python takes an option only once.
        options[f"metadata:s:{index}"] = f"title={track.title}"
    return target(*(track.stream for track in tracks), path=dest, **options)


async def _checked(path: Path, end: float) -> float:
    written = await inspect(path)
    seconds = written.duration or 0.0
    if abs(seconds - end) > BROKEN_S:
        raise MediaError(
            "media_failed",
            f"The video came out {seconds:.2f} s long where the original's picture lasts {end:.2f} s.",
            500,
        )
    return seconds
