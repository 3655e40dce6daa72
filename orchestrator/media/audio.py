"""Sound out of a media, and tracks into files."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, Literal

from orchestrator.media.failures import CONVERT, MediaError
from orchestrator.media.ffmpeg import LONGEST_MEDIA_S, Progress, run, source, target
from orchestrator.media.limits import sound
from orchestrator.media.streams import DISCONTINUOUS, Container, Stream, extent, inspect

SPEECH_RATE = 16_000
TRUNCATED_S = 1.0
TRUNCATED_SHARE = 0.02
ESTIMATED = frozenset({"mp3", "aac", "ac3", "amr", "mpegts", "mpeg", "mpegvideo"})
"""Containers that do not say how long they are: ffprobe guesses from the bit rate."""

AudioFormat = Literal["mp3", "wav", "ogg", "opus", "flac", "m4a"]
ENCODERS: dict[AudioFormat, dict[str, Any]] = {
    "mp3": {"acodec": "libmp3lame", "audio_bitrate": "192k", "format": "mp3"},
    "wav": {"acodec": "pcm_s16le", "format": "wav", "rf64": "auto"},
    "ogg": {"acodec": "libvorbis", "qscale:a": 5, "format": "ogg"},
    "opus": {"acodec": "libopus", "audio_bitrate": "128k", "format": "opus"},
    "flac": {"acodec": "flac", "sample_fmt": "s16", "format": "flac"},
    "m4a": {"acodec": "aac", "audio_bitrate": "192k", "format": "ipod", "movflags": "+faststart"},
}
CONTENT_TYPES: Mapping[AudioFormat, str] = {
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "flac": "audio/flac",
    "m4a": "audio/mp4",
}


class NoAudioError(MediaError):
    def __init__(self) -> None:
        super().__init__("no_audio", "The file has no audio track: there is nothing to hear.")


class UndecodableSoundError(MediaError):
    def __init__(self) -> None:
        super().__init__("media_invalid", f"The file's audio track cannot be decoded: it is damaged. {CONVERT}")


async def extract_speech_audio(path: Path, dest: Path, longest: float = LONGEST_MEDIA_S) -> int:
    """Write the default audio track as 16 kHz mono s16le without a header; how many samples that are.

    Sample n sounds n / 16000 s after the file's start: tracks that begin late are padded, holes filled. At most
    `longest` seconds. Raises NoAudioError, and MediaError `media_truncated` where it ends well before its stated end.
    """
    container = await inspect(path)
    track = container.sound
    if track is None:
        raise NoAudioError
    stream, beside = sound_of(path, container, track, SPEECH_RATE)
    command = target(stream, path=dest, beside=beside, format="s16le", acodec="pcm_s16le", ac=1, t=longest)
    await run(command, limits=sound(min(longest, _expected(container))))
    samples = dest.stat().st_size // 2
    await _refuse_truncated(path, container, track, samples / SPEECH_RATE, longest)
    if not samples:
        raise UndecodableSoundError
    return samples


def sound_of(
    path: Path, container: Container, track: Stream, rate: int, layout: Mapping[str, Any] = MappingProxyType({})
) -> tuple[Any, Any | None]:
    """The track at `rate` Hz from the file's start on, and the stream to be read beside it for that to be so.

    `layout`: the resampler's options for fewer channels than there are.
    """
    media = source(path)
    stream = media[str(track.index)].filter("aresample", rate, **{"async": 1, "first_pts": 0, **layout})
    picture = container.picture if container.formats & DISCONTINUOUS else None
    return stream, media[str(picture.index)] if picture else None


def _expected(container: Container) -> float:
    """Seconds of sound to reckon with: the longest there may be where the file does not say or only guesses."""
    guessed = container.duration is None or container.formats & ESTIMATED
    return LONGEST_MEDIA_S if guessed else container.duration or 0.0


async def _refuse_truncated(path: Path, container: Container, track: Stream, decoded: float, longest: float) -> None:
    stated = await _stated_end(path, container, track, decoded)
    if stated is None:
        return
    missing = min(stated, longest) - decoded
    if missing > max(TRUNCATED_S, TRUNCATED_SHARE * stated):
        raise MediaError(
            "media_truncated",
            f"The file says its sound lasts {stated:.1f} s but ends after {decoded:.1f} s. Upload it again.",
        )


async def _stated_end(path: Path, container: Container, track: Stream, decoded: float) -> float | None:
    """When the track should end by its container; None where that is only a guess."""
    if container.formats & ESTIMATED:
        return None
    if track.duration is not None:
        return max(0.0, track.start) + track.duration
    if container.duration is None or container.picture is None or decoded >= container.duration - TRUNCATED_S:
        return container.duration
    # Sound may end before the picture does: only where the picture ends early too was something lost.
    shown, _ = await extent(path, container, container.picture)
    return container.duration if shown < container.duration - TRUNCATED_S else None


async def encode_audio(
    path: Path,
    dest: Path,
    kind: AudioFormat = "mp3",
    *,
    seconds: float | None = None,
    progress: Progress | None = None,
) -> float:
    """Encode the default audio track of a file (a finished dub, or the original to be kept) at 48 kHz, at most stereo.

    It is padded or trimmed to `seconds`, where given. Written under a temporary name and renamed. Returns its length.
    """
    container = await inspect(path)
    if container.sound is None:
        raise NoAudioError
    stream, beside = sound_of(path, container, container.sound, 48_000)
    if seconds is not None:
        stream = stream.filter("apad").filter("atrim", end=f"{seconds:.6f}")
    with TemporaryDirectory(prefix=".encode-", dir=dest.parent) as scratch:
        part = Path(scratch) / f"encoded.{kind}"
        channels = min(2, container.sound.channels or 2)
        options = {"ac": channels, "fflags": "+bitexact", "map_metadata": -1, **ENCODERS[kind]}
        command = target(stream, path=part, beside=beside, **options)
        await run(command, limits=sound(seconds or _expected(container)), progress=progress)
        seconds = await _written(part)
        part.replace(dest)
    return seconds


async def _written(path: Path) -> float:
    """The seconds of a track of ours. Raises UndecodableSoundError where nothing came of its source."""
    try:
        written = await inspect(path)
    except MediaError as error:
        raise UndecodableSoundError from error
    if not written.duration:
        raise UndecodableSoundError
    return written.duration
