"""A short piece of a video for a browser: H.264 and AAC in MP4, at most 720 lines."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from orchestrator.media.ffmpeg import run, source, target

TIMEOUT_S = 120.0
LINES = 720
VIDEO: dict[str, Any] = {"c:v": "libx264", "preset": "veryfast", "crf": 23, "pix_fmt": "yuv420p"}
AUDIO: dict[str, Any] = {"c:a": "aac", "b:a": "128k", "ar": 48_000, "ac": 2}


async def clip(path: Path, dest: Path, *, start: float, seconds: float, sound: Path | None = None) -> None:
    """Write `seconds` of a video from `start` to `dest`, with its own sound or that of `sound`, which begins there.

    Raises MediaError.
    """
    piece = source(path, ss=f"{start:.3f}", t=f"{seconds:.3f}")
    picture = piece["v:0"].filter("scale", w=f"trunc(iw*min(1,{LINES}/ih)/2)*2", h=f"trunc(min(ih,{LINES})/2)*2")
    heard = source(sound).audio.filter("apad") if sound is not None else piece["a:0"]
    with TemporaryDirectory(prefix=".clip-", dir=dest.parent) as scratch:
        part = Path(scratch) / "clip.mp4"
        options = {**VIDEO, **AUDIO, "t": f"{seconds:.3f}", "movflags": "+faststart", "map_metadata": -1}
        await run(target(picture, heard, path=part, format="mp4", **options), timeout=TIMEOUT_S)
        part.replace(dest)
