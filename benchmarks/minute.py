"""A minute of video to dub: the sample's clips, then sentences spoken by the starter voice with pauses between them."""

import asyncio
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from orchestrator.inference import Inference, Utterance

RATE = 48_000
SECONDS = 60.0
PAUSE_S = 0.7
SAMPLE = Path(__file__).parents[1] / "samples" / "sense-and-sensibility.mp4"
VOICE = "en-joe"
PHRASES = (
    "Good morning.",
    "Where is the library?",
    "The library opens at nine in the morning.",
    "Thank you very much.",
    "How are you today?",
    "The doctor buys fresh bread every morning.",
    "My friend reads about the old book today.",
    "The children see the white cat near the river.",
    "The teacher sells the red house.",
    "The engineers want a new car in the evening.",
    "Please bring your passport.",
)


async def build(models: Inference, destination: Path) -> Path:
    """Write the minute (640x360 H.264 with a timecode, AAC) to `destination`, unless it is there already."""
    if destination.exists():
        return destination
    with tempfile.TemporaryDirectory() as scratch:
        sound = Path(scratch) / "minute.wav"
        soundfile.write(sound, await _sound(models, Path(scratch)), RATE)
        part = destination.with_suffix(".part.mp4")
        picture = f"testsrc2=size=640x360:rate=25:duration={SECONDS}"
        command = ["ffmpeg", "-y", "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", picture, "-i", str(sound)]
        command += ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-c:a", "aac", str(part)]
        await asyncio.to_thread(subprocess.run, command, check=True)
        part.rename(destination)
    return destination


async def _sound(models: Inference, scratch: Path) -> npt.NDArray[np.float32]:
    clips = scratch / "clips.wav"
    command = [
        "ffmpeg",
        "-y",
        "-nostdin",
        "-loglevel",
        "error",
        "-i",
        str(SAMPLE),
        "-ac",
        "1",
        "-ar",
        str(RATE),
        str(clips),
    ]
    await asyncio.to_thread(subprocess.run, command, check=True)
    parts = [soundfile.read(clips, dtype="float32")[0]]
    pause = np.zeros(round(PAUSE_S * RATE), np.float32)
    total = len(parts[0])
    for turn in range(100):
        speech = await models.synthesize(Utterance(PHRASES[turn % len(PHRASES)], "en", VOICE, seed=turn))
        samples = soxr.resample(speech.samples, speech.sample_rate, RATE).astype(np.float32)
        if total + len(samples) + 2 * len(pause) > SECONDS * RATE:
            break
        parts += [pause, samples]
        total += len(pause) + len(samples)
    sound = np.concatenate(parts)
    return np.pad(sound, (0, round(SECONDS * RATE) - len(sound)))
