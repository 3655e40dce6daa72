"""Pieces of a media's sound, one after the other in one file."""

from collections.abc import Sequence
from pathlib import Path

from orchestrator.dubbing.timeline import Interval
from orchestrator.media.audio import NoAudioError, sound_of
from orchestrator.media.ffmpeg import run, target
from orchestrator.media.limits import sound
from orchestrator.media.streams import inspect


async def extract_excerpts(path: Path, dest: Path, spans: Sequence[Interval], rate: int) -> None:
    """Write what sounds in the spans of the default audio track (in order, to about 50 ms) as mono 16-bit WAV at `rate`
    Hz.

    Raises NoAudioError, MediaError.
    """
    container = await inspect(path)
    if container.sound is None:
        raise NoAudioError
    stream, beside = sound_of(path, container, container.sound, rate)
    last = max(span.end for span in spans)
    wanted = "+".join(f"between(t,{span.start:.3f},{span.end:.3f})" for span in spans)
    chosen = stream.filter("atrim", end=f"{last:.3f}").filter("aselect", wanted).filter("asetpts", "N/SR/TB")
    command = target(chosen, path=dest, beside=beside, format="wav", acodec="pcm_s16le", ac=1)
    await run(command, limits=sound(last))
