"""Reference clips of a request: read out of its tensors, and refused when nobody could be heard in them."""

import hashlib

import numpy as np

from serve.errors import invalid
from serve.models.base import Tensors, numbers
from serve.models.voice import Clip, Samples
from serve.models.voice_level import loudness

SECONDS = (1.0, 60.0)
"""Length of a clip: less says too little of a speaker, more only costs memory."""

RATES = (8_000, 192_000)
SILENCE_LUFS = -60.0
"""A softer clip holds no speech."""

AMPLITUDE = 2.0
"""Samples are in [-1, 1]; a little more is an overshoot, much more another unit."""


def read_clips(request: Tensors, rows: int) -> list[Clip | None]:
    """The clip of each row; None where REFERENCE was not sent or its NUM_REFERENCE is 0. INVALID_ARGUMENT says what is
    wrong with a clip.
    """
    if "REFERENCE" not in request:
        for name in ("REFERENCE_RATE", "NUM_REFERENCE"):
            if name in request:
                raise invalid(f"{name}: was sent without REFERENCE")
        return [None] * rows
    clips = request["REFERENCE"].reshape(rows, -1)
    if "REFERENCE_RATE" not in request:
        raise invalid("REFERENCE_RATE: send the sample rate of REFERENCE in Hz")
    rates = numbers(request, "REFERENCE_RATE", rows, 0)
    counts = numbers(request, "NUM_REFERENCE", rows, clips.shape[1])
    return [_clip(row, clips[row], int(rates[row]), int(counts[row])) for row in range(rows)]


def _clip(row: int, padded: Samples, rate: int, count: int) -> Clip | None:
    if not 0 <= count <= len(padded):
        raise invalid(f"NUM_REFERENCE row {row}: expected 0 to {len(padded)}, the samples sent, got {count}")
    if count == 0:
        return None
    if not RATES[0] <= rate <= RATES[1]:
        raise invalid(f"REFERENCE_RATE row {row}: expected {RATES[0]} to {RATES[1]} Hz, got {rate}")
    samples = np.ascontiguousarray(padded[:count], np.float32)
    if not SECONDS[0] <= count / rate <= SECONDS[1]:
        raise invalid(
            f"REFERENCE row {row}: expected {SECONDS[0]:g} to {SECONDS[1]:g} s of speech, got {count / rate:.2f} s"
        )
    if not np.isfinite(samples).all():
        raise invalid(f"REFERENCE row {row}: holds values that are not finite (NaN or infinity)")
    largest = float(np.abs(samples).max())
    if largest > AMPLITUDE:
        raise invalid(f"REFERENCE row {row}: expected samples in [-1, 1], got up to {largest:g}")
    if loudness(samples, rate) < SILENCE_LUFS:
        raise invalid(f"REFERENCE row {row}: is silent; nobody can be heard in it")
    return Clip(samples, rate, hashlib.sha256(samples.tobytes() + str(rate).encode()).hexdigest())
