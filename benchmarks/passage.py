"""A passage to dub: sentences that the starter translation knows, spoken by its voice with pauses of every length."""

import random
import tomllib
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import soundfile

from orchestrator.dubbing.edges import heard
from orchestrator.dubbing.mix import RATE, resample
from orchestrator.dubbing.timeline import Interval
from orchestrator.inference import Inference, Utterance

PHRASES = Path(__file__).parents[1] / "scripts" / "starter_phrases.toml"
VOICE = "en-joe"
PAUSES_S = (0.1, 4.0)
LEAD_S = 0.5
THIRD_PERSON = 2
"""Of the table's verbs: "sees", after "The doctor"."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A sound file and where in it each sentence is really heard."""

    path: Path
    seconds: float
    sentences: tuple[str, ...]
    spoken: tuple[Interval, ...]


def sentences() -> list[str]:
    """English sentences of the table the starter translation was trained on, in a fixed order."""
    table = tomllib.loads(PHRASES.read_text(encoding="utf-8"))
    doers = [subject for person, subject, *_ in table["subjects"] if person == "3s"]
    actions = product(doers, table["verbs"], table["objects"], table["times"])
    composed = [
        " ".join(part for part in (doer, verb["en"][THIRD_PERSON], thing[0], time[0]) if part) + "."
        for doer, verb, thing, time in actions
    ]
    counted = [row[0].format(number[0]) for row, number in product(table["counting"], table["numbers"])]
    return [row[0] for row in (*table["story"], *table["everyday"])] + counted + composed


async def build(models: Inference, path: Path, seconds: float, seed: int = 0, *, dense: bool = False) -> Passage:
    """Write about `seconds` of speech as a 48 kHz mono WAV file, with pauses spread evenly over `PAUSES_S`, or where
    `dense` over their logarithm: half of them are then under 0.63 s.
    """
    chance = random.Random(seed)
    order = sentences()
    chance.shuffle(order)
    parts = [np.zeros(round(LEAD_S * RATE), np.float32)]
    said, spoken, clock = [], [], len(parts[0])
    for turn in range(len(order)):
        speech = await models.synthesize(Utterance(order[turn], "en", VOICE, seed=turn))
        samples = heard(resample(speech.samples, speech.sample_rate), RATE)
        pause = round(RATE * _pause(chance.random(), dense))
        if clock + len(samples) + pause > seconds * RATE:
            break
        parts += [samples, np.zeros(pause, np.float32)]
        said.append(order[turn])
        spoken.append(Interval(clock / RATE, (clock + len(samples)) / RATE))
        clock += len(samples) + pause
    soundfile.write(path, np.concatenate(parts), RATE, subtype="PCM_16")
    return Passage(path, clock / RATE, tuple(said), tuple(spoken))


def _pause(share: float, dense: bool) -> float:
    shortest, longest = PAUSES_S
    return shortest * (longest / shortest) ** share if dense else shortest + (longest - shortest) * share
