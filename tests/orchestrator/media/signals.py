"""Clips in which a flash and a beep begin together, and where both are found again."""

import subprocess
from pathlib import Path

import numpy as np
import soundfile

from orchestrator.media.audio import extract_speech_audio
from orchestrator.media.merge import Merged, merge
from orchestrator.media.probe import Probe, probe
from tests.orchestrator.media.clips import ffmpeg, samples, waited

FLASH = (
    '-f lavfi -i "color=black:size={size}:rate={fps}:duration=3,'
    "drawbox=w=iw:h=ih:color=white:t=fill:enable='between(t\\,1\\,1.6)'\""
)
BEEP = "-f lavfi -i \"aevalsrc='0.5*sin(2*PI*700*t)*between(t\\,1\\,1.6)':s={rate}:d={seconds}\""


def made(folder: Path, arguments: str, *, size: str = "160x120", fps: int = 25, rate: int = 48_000) -> Path:
    """A clip named as the last word of its arguments; {flash} and {beep} begin a second after its start."""
    flash, beep = FLASH.format(size=size, fps=fps), BEEP.format(rate=rate, seconds=3)
    short, long = BEEP.format(rate=rate, seconds=1.8), BEEP.format(rate=rate, seconds=3.7)
    ffmpeg(folder, arguments, flash=flash, beep=beep, short=short, long=long)
    return folder / arguments.rsplit(maxsplit=1)[-1]


def flashes(path: Path) -> list[float]:
    """Seconds from the file's start at which the picture becomes white, read together with the sound."""
    report = "[0:v:0]signalstats,metadata=print:key=lavfi.signalstats.YAVG:file=-[v]"
    command = [
        "ffmpeg",
        "-nostdin",
        "-v",
        "error",
        "-i",
        f"file:{path}",
        "-filter_complex",
        report,
        "-map",
        "[v]",
        "-map",
        "0:a:0",
    ]
    lines = subprocess.run(
        [*command, "-f", "null", "-"], check=True, capture_output=True, text=True, timeout=120
    ).stdout.splitlines()
    found, white, time = [], False, 0.0
    for line in lines:
        if "pts_time:" in line:
            time = float(line.rpartition("pts_time:")[2])
        elif "YAVG=" in line:
            before, white = white, float(line.rpartition("=")[2]) > 120
            if white and not before:
                found.append(time)
    return found


def beeps(path: Path, track: int = 0) -> list[float]:
    """Seconds from the file's start at which the track's tone begins."""
    loud = np.flatnonzero(np.abs(samples(path, track)).max(axis=1) > 0.05)
    begins = np.flatnonzero(np.diff(loud, prepend=-48_000) > 24_000)
    return [float(loud[at]) / 48_000 for at in begins]


def put_through(clip: Path) -> tuple[Probe, Merged, Path]:
    """Probe a clip, take its sound out as the models hear it, and merge exactly that sound as the dub."""
    pcm, dub, out = (clip.with_name(name) for name in ("speech.pcm", "dub.wav", "out.mp4"))

    async def chain() -> tuple[Probe, Merged]:
        found = await probe(clip)
        await extract_speech_audio(clip, pcm)
        speech = np.frombuffer(pcm.read_bytes(), "<i2") / 32768
        soundfile.write(dub, np.repeat(np.repeat(speech, 3)[:, None], 2, axis=1), 48_000, "PCM_16")
        return found, await merge(clip, dub, out, language="es", original_language="en")

    found, merged = waited(chain())
    return found, merged, out
