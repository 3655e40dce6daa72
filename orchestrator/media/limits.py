"""What one run of ffmpeg may use, in proportion to what it has to do; the kernel holds it to that.

Generous by design: an honest file comes through on a slow and busy machine. What exceeds them is damaged, made to
harm, or out of all proportion.
"""

import math
import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass

GIB = 2**30
THREADS = 4
"""Of each decoder, filter graph and encoder, whatever the machine has: memory and H.264 output depend on it."""

READING_S = 45.0
READ_BYTES_PER_S = 4 * 2**20
STARTING_S = 120.0
SOUND_SHARE = 0.25
"""Processor time of decoding, filtering and encoding sound, by its length; measured: 0.02."""
PIXELS_PER_S = 10e6
"""Pixels decoded and encoded per second of processor time; measured on one slow core: 30 million."""
FRAME_RATES = (10.0, 120.0)
"""A picture is taken to have so many frames a second, whatever its header says."""
WAITING = 4.0
"""How many times its processor time a run may last: others run beside it."""
LONGEST_S = 24 * 3600.0

PICTURE_MEMORY = 3 * GIB // 2
BYTES_PER_PIXEL = 250
"""Frames held by decoder, filters and the encoder's look-ahead; measured: 150, and 180 in high dynamic range."""

WRITTEN_BYTES_PER_S = 400_000
"""Sound as it is written: 48 kHz stereo in 32 bits is the largest."""
WRITTEN_PER_PIXEL = 0.25
"""Bytes of a transcoded picture by its pixels, four times what grain takes."""
HEADERS = 64 * 2**20

DESCRIPTORS = 64
KILL_AFTER_S = 10


@dataclass(frozen=True, slots=True)
class Limits:
    """One process's share: seconds on the clock, seconds of processor time, bytes of memory, bytes of any file."""

    seconds: float
    processor_s: float
    memory: int = GIB
    file: int = 0
    """0: it writes no file at all, only to its pipes."""


def reading(size: int) -> Limits:
    """For looking through a file of `size` bytes without decoding it."""
    seconds = READING_S + size / READ_BYTES_PER_S
    return Limits(seconds, seconds)


def sound(seconds: float) -> Limits:
    """For decoding, filtering and encoding `seconds` of sound."""
    processor_s = STARTING_S + SOUND_SHARE * seconds
    return Limits(min(LONGEST_S, WAITING * processor_s), processor_s, GIB, _sound_bytes(seconds))


def copied(seconds: float, size: int) -> Limits:
    """For putting the picture of a file of `size` bytes into another as it is, and encoding sound to it."""
    processor_s = STARTING_S + 2 * SOUND_SHARE * seconds + size / READ_BYTES_PER_S
    return Limits(min(LONGEST_S, WAITING * processor_s), processor_s, GIB, 2 * size + 2 * _sound_bytes(seconds))


def transcoded(seconds: float, size: int, pixels: int, rate: float) -> Limits:
    """The same where the picture, of so many `pixels` and frames a second, is encoded anew."""
    total = pixels * seconds * min(max(rate, FRAME_RATES[0]), FRAME_RATES[1])
    processor_s = copied(seconds, size).processor_s + total / PIXELS_PER_S
    return Limits(
        min(LONGEST_S, WAITING * processor_s),
        processor_s,
        PICTURE_MEMORY + BYTES_PER_PIXEL * pixels,
        int(WRITTEN_PER_PIXEL * total) + 2 * size + 2 * _sound_bytes(seconds),
    )


def _sound_bytes(seconds: float) -> int:
    return HEADERS + math.ceil(WRITTEN_BYTES_PER_S * seconds)


LONGEST = Limits(LONGEST_S, LONGEST_S * THREADS, 12 * GIB, 256 * GIB)
"""For what nobody has measured."""


def bounded(command: Sequence[str], limits: Limits) -> list[str]:
    """The command held to its limits and ended with our own process, by Linux' prlimit and setpriv (util-linux).

    A limit that is on us already is never raised. Elsewhere than on Linux the command stays as it is.
    """
    if sys.platform != "linux":
        return list(command)
    seconds = math.ceil(limits.processor_s)
    wanted = {
        "as": (resource.RLIMIT_AS, limits.memory, limits.memory),
        "fsize": (resource.RLIMIT_FSIZE, limits.file, limits.file),
        "cpu": (resource.RLIMIT_CPU, seconds, seconds + KILL_AFTER_S),
        "nofile": (resource.RLIMIT_NOFILE, DESCRIPTORS, DESCRIPTORS),
        "core": (resource.RLIMIT_CORE, 0, 0),
    }
    options = [f"--{name}={_below(kind, soft)}:{_below(kind, hard)}" for name, (kind, soft, hard) in wanted.items()]
    return ["prlimit", *options, "setpriv", "--no-new-privs", "--pdeathsig", "KILL", *command]


def _below(kind: int, wanted: int) -> int:
    inherited = [limit for limit in resource.getrlimit(kind) if limit != resource.RLIM_INFINITY]
    return min([wanted, *inherited])
