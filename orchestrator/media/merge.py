"""Picture, dub, original sound and subtitles into one MP4."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from orchestrator.media.audio import UndecodableSoundError
from orchestrator.media.burning import BurnedSubtitles, burned
from orchestrator.media.failures import CONVERT, MediaError
from orchestrator.media.ffmpeg import LONGEST_MEDIA_S, Progress, own_subtitles, run, source, target
from orchestrator.media.languages import iso_639_2
from orchestrator.media.limits import Limits, copied, transcoded
from orchestrator.media.mp4 import disable_tracks
from orchestrator.media.streams import EIGHT_BIT_420, Container, Stream, extent, inspect
from orchestrator.subtitles import srt

COPIED_SOUND = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"})
"""Codecs MP4 holds as they are."""
LEAST_MP3_RATE = 16_000
"""MP4 has no MP3 below this."""
FINE_SOUND = frozenset({"aac", "mp3", "ac3", "eac3"})
"""Codecs whose packets are shorter than `TOLERANCE_S` from 32 kHz on."""
OUTLASTING_S = 1.0
TOLERANCE_S = 0.05
BROKEN_S = 0.5
"""An output further off than this was not written whole."""
LOST_S = 2.0
LOST_SHARE = 0.02
"""A picture that lacks more than both of these at its end could not be decoded; last frames are of any length."""
HIGH_DYNAMIC_RANGE = frozenset({"smpte2084", "arib-std-b67"})
"""PQ and HLG, by ffmpeg's names (ITU-R BT.2100)."""
REFERENCE_WHITE = 203
"""Candela per square metre of diffuse white (ITU-R BT.2408)."""
COPY: dict[str, Any] = {"c": "copy"}
AAC: dict[str, Any] = {"c": "aac", "b": "160k", "ar": 48_000, "aac_coder": "fast"}
"""The fast coder takes half the time and, at this rate, comes closer to the original."""
ADTS = ".aac"
PRIMING_S = 1024 / 48_000
"""By how much an AAC track begins before its first sample; raw packets do not say so."""
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
    redone: bool = False,
    burn: BurnedSubtitles | None = None,
    progress: Progress | None = None,
) -> Merged:
    """Write the MP4 of a video `path` and its `dub` to `dest`, under a temporary name until it is whole.

    The picture is copied where it is 8-bit 4:2:0 H.264, else transcoded: half pictures are joined, high dynamic range
    becomes standard. The dub (48 kHz stereo, at second 0 of the file) is the default audio track, padded or trimmed to
    the picture; the original's default track is the second, without a dub the only one. Subtitles are soft tracks, off
    by default, cut off with the picture; those to `burn` are painted into it, for which it is always transcoded. Title
    and chapters go along; the file's other tracks, covers and attachments do not. With `redone` the video is one that
    this has made before, whose last audio track is the original's. A dub in ADTS is taken as it is. Raises
    NoPictureError, MediaError.
    """
    container = await inspect(path)
    picture = container.picture
    if picture is None:
        raise NoPictureError
    shown, whole = await extent(path, container, picture)
    # Sound that outlasts the picture by far belongs to a still one: then the file's length counts.
    end = whole if whole - shown > OUTLASTING_S else shown
    if end > LONGEST_MEDIA_S + LOST_S:
        raise MediaError(
            "media_invalid", f"The picture's times run over {end / 3600:.0f} hours: it is damaged. {CONVERT}"
        )
    media = source(path)
    kept = burn is None and is_copied(container, picture)
    with TemporaryDirectory(prefix=".merge-", dir=dest.parent) as scratch:
        part = Path(scratch) / "merged.mp4"

        def paint(frames: Any) -> Any:
            return burned(frames, picture, burn, Path(scratch), end) if burn else frames

        tracks = [
            _picture(media, container, picture, kept, paint),
            *_sounds(media, container.redone if redone else container, dub, end, language, original_language),
            *_soft(subtitles, Path(scratch), end),
        ]
        limits = _limits(path, picture, end, kept)
        await run(_command(tracks, part, end, container.title), limits=limits, progress=progress)
        await asyncio.to_thread(disable_tracks, part)
        seconds = await _checked(part, Counter(track.kind for track in tracks), end, shown)
        part.replace(dest)
    return Merged(seconds, kept)


def is_copied(container: Container, picture: Stream) -> bool:
    """Whether the picture needs no transcoding; AVI has no times for reordered frames."""
    plain = picture.codec == "h264" and picture.pixel_format in EIGHT_BIT_420
    return plain and not ("avi" in container.formats and picture.has_b_frames)


def _limits(path: Path, picture: Stream, end: float, kept: bool) -> Limits:
    size = path.stat().st_size
    if kept:
        return copied(end, size)
    return transcoded(end, size, picture.width * picture.height, 1 / picture.frame_seconds)


def _picture(media: Any, container: Container, picture: Stream, kept: bool, paint: Callable[[Any], Any]) -> _Track:
    """The picture as it is where it is `kept`, else encoded anew with what is painted on its frames."""
    stream = media[str(picture.index)]
    if kept:
        # AVI says when a frame is decoded, not when it is shown: without reordering that is the same.
        return _Track("v", stream, COPY | ({"bsf": "setts=pts=DTS"} if "avi" in container.formats else {}))
    if picture.has_b_frames and "avi" in container.formats:
        stream = stream.filter("setpts", "PTS-STARTPTS")
    if picture.interlaced:
        stream = stream.filter("bwdif", mode="send_frame", deint="interlaced")
    if picture.transfer in HIGH_DYNAMIC_RANGE:
        stream = _toned(stream, picture.transfer)
    # Odd sizes lose a row or column: scaling by a pixel would change the shape of the others.
    even = stream.filter("crop", "trunc(iw/2)*2", "trunc(ih/2)*2").filter("format", "yuv420p")
    return _Track("v", paint(even), H264)


def _toned(stream: Any, transfer: str | None) -> Any:
    """High dynamic range as standard: white is white, what shines brighter is compressed; wide colours are fitted."""
    known = stream.filter("setparams", color_primaries="bt2020", color_trc=transfer, colorspace="bt2020nc")
    linear = known.filter("zscale", t="linear", npl=REFERENCE_WHITE).filter("format", "gbrpf32le")
    toned = linear.filter("zscale", p="bt709").filter("tonemap", "mobius", desat=0)
    return toned.filter("zscale", t="bt709", m="bt709", r="tv")


def _sounds(
    media: Any, container: Container, dub: Path | None, end: float, language: str | None, original_language: str | None
) -> Iterator[_Track]:
    """The dub, if there is one, and the original; the first is the default."""
    if dub is not None and dub.suffix == ADTS:
        yield _Track("a", source(dub, itsoffset=-PRIMING_S).audio, COPY, iso_639_2(language), "Dub", default=True)
    elif dub is not None:
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
    if original.codec not in COPIED_SOUND or (original.codec == "mp3" and original.sample_rate < LEAST_MP3_RATE):
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
            stream = own_subtitles(clipped)["s:0"]
            yield _Track("s", stream, {"c": "mov_text"}, iso_639_2(each.language), default=False)


def _command(tracks: Sequence[_Track], dest: Path, end: float, title: str | None) -> list[str]:
    options: dict[str, Any] = {
        "format": "mp4",
        "movflags": "+faststart",
        "strict": "experimental",  # what this ffmpeg calls FLAC in MP4; players have it since 2017
        "fflags": "+bitexact",
        "map_metadata:g": -1,
        "map_metadata:s": -1,
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


async def _checked(path: Path, wanted: Counter[str], end: float, shown: float) -> float:
    """The output's length. Raises MediaError where it or its picture is not what it should be."""
    written = await inspect(path)
    seconds = written.duration or 0.0
    picture = written.picture
    there = picture.start + (picture.duration or 0.0) if picture else 0.0
    if shown - there > max(LOST_S, LOST_SHARE * shown):
        raise MediaError(
            "picture_undecodable",
            f"Only {there:.1f} s of the picture's {shown:.1f} s can be decoded: it is damaged. {CONVERT}",
        )
    kinds = Counter(each.kind[0] for each in written.streams)
    if kinds["a"] < wanted["a"]:
        raise UndecodableSoundError
    # What a header promises beyond the picture may be sound, or not be there.
    missing = BROKEN_S if end == shown else max(LOST_S, LOST_SHARE * end)
    if not -missing <= seconds - end <= BROKEN_S or any(kinds[kind] < count for kind, count in wanted.items()):
        raise MediaError(
            "media_failed",
            f"The video came out {seconds:.2f} s long, where the original lasts {end:.2f} s.",
            500,
        )
    return seconds
