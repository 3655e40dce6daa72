"""Models whose voices whistle and whose diarizer goes by loudness, and a conversation for them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from serve.models.base import Model, WeightSet
from tests.serve.fixture_models import ByLoudness, Listed, Whistles
from tests.standins.models import serving_models

RATE = 48_000
LOUD, SOFT = 400, 640
"""The notes of the two who speak, in Hz."""

Samples = npt.NDArray[np.float32]
Said = list[tuple[float, float, int]]
"""Start and end in seconds, and who."""


@asynccontextmanager
async def whistling(*, diarizer: bool = True) -> AsyncIterator[str]:
    """The address of models with five voices that whistle in German, and one in French that clones."""
    ears = {"name": "ears", "languages": ["en"]}
    licence = {"licence": "CC0-1.0", "paid_use": True}
    pairs = [{"name": f"en-{target}", "source": "en", "target": target, **licence} for target in ("de", "fr")]
    models: dict[str, Model] = {
        "whisper": Listed({}, [WeightSet("ears", Path(), ears)]),
        "opus_mt": Listed({}, [WeightSet(str(each["name"]), Path(), each) for each in pairs]),
        "coqui_tts": Whistles({}, []),
    }
    absent = {"diarize": "set OCTAVIA_DIARIZE"}
    if diarizer:
        models["diarize"] = ByLoudness({}, [WeightSet("by-loudness", Path(), {"name": "by-loudness"})])
        absent = {}
    async with serving_models(models, absent) as address:
        yield address


def conversation(said: Said, seconds: float) -> Samples:
    """Who is `LOUD` and who is `SOFT` hums that note in syllables, [n] at `RATE`; it is silent between."""
    sound = np.zeros(round(seconds * RATE), np.float32)
    for start, end, who in said:
        clock = np.arange(round(start * RATE), round(end * RATE)) / RATE
        syllables = 0.55 + 0.45 * np.sin(2 * np.pi * 4 * clock)
        level = 0.5 if who == LOUD else 0.08
        sound[round(start * RATE) : round(end * RATE)] = level * syllables * np.sin(2 * np.pi * who * clock)
    return sound
