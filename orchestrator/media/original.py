"""The original's sound as it is mixed with a dub: full band, stereo, in time with the file."""

from pathlib import Path

from orchestrator.dubbing.loudness import Loudness
from orchestrator.media.audio import NoAudioError, sound_of
from orchestrator.media.ffmpeg import TELLING, run, target
from orchestrator.media.limits import sound
from orchestrator.media.loudness import METER, RATE, parse
from orchestrator.media.streams import inspect

DOWNMIX = {"clev": 0.7071, "slev": 0.7071, "lfe_mix_level": 0}
"""Of more channels than two: centre and surrounds 3 dB down to either side, no low-frequency effects (ITU-R BS.775)."""


async def extract_original(path: Path, dest: Path, seconds: float, *, redone: bool = False) -> Loudness:
    """Write the default audio track as 48 kHz stereo float WAV, at most `seconds` of it; how loud that is.

    With `redone` the file is a video of ours, and its original's track is written: the last one.

    Stereo stays as it is, mono lies in the middle, more channels are mixed down. Sample n sounds n / 48000 s after the
    file's start: tracks that begin late are padded, holes filled. Raises NoAudioError, MediaError.
    """
    container = await inspect(path)
    track = container.redone.sound if redone else container.sound
    if track is None:
        raise NoAudioError
    stream, beside = sound_of(path, container, track, RATE, DOWNMIX)
    stereo = stream.filter("aformat", channel_layouts="stereo")
    metered = stereo.filter("atrim", end=f"{seconds:.6f}").filter("ebur128", **METER)
    command = target(metered, path=dest, beside=beside, format="wav", acodec="pcm_f32le", rf64="auto")
    return parse((await run(command, limits=sound(seconds), verbosity=TELLING)).errors)
