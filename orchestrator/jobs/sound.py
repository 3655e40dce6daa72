"""A job's extracted sound, by samples."""

import numpy as np
import numpy.typing as npt

from orchestrator.inference import SPEECH_RATE
from orchestrator.jobs import keys
from orchestrator.jobs.context import current

BYTES_PER_SAMPLE = 2


async def read_sound(job_id: str, start: int, stop: int) -> npt.NDArray[np.float32]:
    """Samples [start, stop) of the job's 16 kHz sound, float32 in [-1, 1]."""
    data = await current().storage.read_range(keys.speech(job_id), start * BYTES_PER_SAMPLE, stop * BYTES_PER_SAMPLE)
    return floats(np.frombuffer(data, "<i2"))


def floats(samples: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
    """16-bit samples [n] in [-1, 1]."""
    return samples.astype(np.float32) / np.float32(32768)


async def samples_of_sound(job_id: str) -> int:
    return await current().storage.size(keys.speech(job_id)) // BYTES_PER_SAMPLE


async def seconds_of_sound(job_id: str) -> float:
    return await samples_of_sound(job_id) / SPEECH_RATE
