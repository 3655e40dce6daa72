"""A short piece of a video for a browser: H.264 and AAC in MP4, at most 720 lines."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from orchestrator.media.audio import NoAudioError
from orchestrator.media.ffmpeg import run, source, target
from orchestrator.media.limits import transcoded
from orchestrator.media.merge import NoPictureError
from orchestrator.media.streams import inspect

TIMEOUT_S = 120.0
LINES = 720
VIDEO: dict[str, Any] = {"c:v": "libx264", "preset": "veryfast", "crf": 23, "pix_fmt": "yuv420p"}
AUDIO: dict[str, Any] = {"c:a": "aac", "b:a": "128k", "ar": 48_000, "ac": 2}


async def clip(path: Path, dest: Path, *, start: float, seconds: float, sound: Path | None = None) -> None:
    """Write `seconds` of a video from `start` to `dest`, with its own sound or that of `sound`, which begins there.

    Raises NoPictureError, NoAudioError, MediaError.
    """
    container = await inspect(path)
    picture, track = container.picture, container.sound
    if picture is None:
        raise NoPictureError
    piece = source(path, ss=f"{start:.3f}", t=f"{seconds:.3f}")
    if sound is not None:
        heard = source(sound).audio.filter("apad")
    elif track is not None:
        heard = piece[str(track.index)]
    else:
        raise NoAudioError
    size = {"w": f"trunc(iw*min(1,{LINES}/ih)/2)*2", "h": f"trunc(min(ih,{LINES})/2)*2"}
    small = piece[str(picture.index)].filter("scale", **size)
    limits = transcoded(seconds, path.stat().st_size, picture.width * picture.height, 1 / picture.frame_seconds)
    with TemporaryDirectory(prefix=".clip-", dir=dest.parent) as scratch:
        part = Path(scratch) / "clip.mp4"
        options = {**VIDEO, **AUDIO, "t": f"{seconds:.3f}", "movflags": "+faststart", "map_metadata": -1}
        command = target(small, heard, path=part, format="mp4", **options)
        await run(command, limits=replace(limits, seconds=TIMEOUT_S))
        part.replace(dest)
