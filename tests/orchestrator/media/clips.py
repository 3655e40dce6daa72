"""Small media files made by ffmpeg itself, and what is in them."""

import asyncio
import json
import shlex
import subprocess
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T")

PICTURE = "-f lavfi -i testsrc2=size=160x120:rate=25:duration={seconds}"
TONE = "-f lavfi -i sine=frequency=440:sample_rate=44100:duration={seconds}"
H264 = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p"


def waited(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def ffmpeg(folder: Path, arguments: str, **values: Any) -> None:
    """Run ffmpeg in a folder; {picture} and {tone} stand for three seconds of each."""
    known = {"picture": PICTURE.format(seconds=3), "tone": TONE.format(seconds=3), "h264": H264}
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *shlex.split(arguments.format(**known, **values))]
    subprocess.run(command, cwd=folder, check=True, timeout=60)


def ffprobe(path: Path, *arguments: str) -> dict[str, Any]:
    command = ["ffprobe", "-v", "error", "-of", "json", *arguments, f"file:{path}"]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)
    return found


def streams(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ffprobe(path, "-show_streams")["streams"]
    return found


def duration(path: Path) -> float:
    return float(ffprobe(path, "-show_format")["format"]["duration"])


def packet_hash(path: Path) -> str:
    """SHA-256 over the packets of the first picture."""
    command = [
        "ffmpeg",
        "-nostdin",
        "-v",
        "error",
        "-i",
        f"file:{path}",
        "-map",
        "0:v:0",
        "-c",
        "copy",
        "-f",
        "streamhash",
        "-",
    ]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def packet_times(path: Path, stream: str = "v:0") -> list[float]:
    """When the stream's frames are shown, from the file's start, in order."""
    found = ffprobe(path, "-select_streams", stream, "-show_entries", "packet=pts_time:format=start_time")
    origin = float(found["format"]["start_time"])
    return sorted(float(each["pts_time"]) - origin for each in found["packets"])


def samples(path: Path, track: int = 0, rate: int = 48_000) -> npt.NDArray[np.float32]:
    """An audio track as players play it from the file's start, [n, 2]."""
    command = [
        "ffmpeg",
        "-nostdin",
        "-v",
        "error",
        "-i",
        f"file:{path}",
        "-map",
        f"0:a:{track}",
        "-af",
        "aresample=async=1:first_pts=0",
    ]
    command += ["-f", "f32le", "-ac", "2", "-ar", str(rate), "-"]
    raw = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    return np.frombuffer(raw, "<f4").reshape(-1, 2)


def loud_from(signal: npt.NDArray[Any], threshold: float = 0.02) -> int:
    """The first sample that is clearly not silent."""
    return int(np.argmax(np.abs(signal).reshape(len(signal), -1).max(axis=1) > threshold))


def frame(path: Path, seconds: float, size: int = 8) -> npt.NDArray[np.uint8]:
    """One frame as a small grey picture, [size, size]."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-ss", str(seconds), "-i", f"file:{path}", "-frames:v", "1"]
    command += ["-vf", f"scale={size}:{size},format=gray", "-f", "rawvideo", "-"]
    raw = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    return np.frombuffer(raw, np.uint8).reshape(size, size)
