"""A model plane whose voices whistle and whose diarizer goes by loudness, and a conversation for them."""

import json
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.fixtures_model_plane import Plane, start_plane
from tests.fixtures_operation import write_serve_yaml

REPOSITORY = Path(__file__).parents[3] / "model_repo"
CLASSES = {"whisper": "Listed", "opus_mt": "Listed", "coqui_tts": "Whistles", "diarize": "ByLoudness"}
CLASS = '\nparameters {{ key: "class" value: {{ string_value: "tests.serve.fixture_models:{name}" }} }}\n'
ENTRY = """
[[weights]]
name = "{name}"
model = "{model}"
source = "file:{folder}"
licence = "CC0-1.0"
licence_chain = "CC0-1.0: ours"
paid_use = true
{more}
"""
WEIGHTS = {
    "ears": ("whisper", 'sets = ["starter"]\nlanguages = ["en"]'),
    "en-de": ("opus_mt", 'sets = ["starter"]\nsource_language = "en"\ntarget_language = "de"'),
    "en-fr": ("opus_mt", 'sets = ["starter"]\nsource_language = "en"\ntarget_language = "fr"'),
    "whistles": ("coqui_tts", 'sets = ["starter"]\nlanguages = ["de"]'),
    "by-loudness": ("diarize", ""),
}
RATE = 48_000
LOUD, SOFT = 400, 640
"""The notes of the two who speak, in Hz."""

Samples = npt.NDArray[np.float32]
Said = list[tuple[float, float, int]]
"""Start and end in seconds, and who."""


def fixture_config(model: str, **parameters: str) -> str:
    """The repository's configuration of a model, served by its fixture class."""
    config = (REPOSITORY / model / "config.pbtxt").read_text() + CLASS.format(name=CLASSES[model])
    values = [
        f"parameters {{ key: {json.dumps(key)} value: {{ string_value: {json.dumps(value)} }} }}\n"
        for key, value in parameters.items()
    ]
    return config + "".join(values)


def entries(folder: Path, *names: str) -> str:
    """The catalogue's text for these weights."""
    return "".join(
        ENTRY.format(name=name, model=WEIGHTS[name][0], folder=folder, more=WEIGHTS[name][1]) for name in names
    )


def start_voices_plane(root: Path) -> Plane:
    """Without vad: there is nothing but what takes part in the choice of voices."""
    for model in CLASSES:
        (root / "model_repo" / model).mkdir(parents=True)
        (root / "model_repo" / model / "config.pbtxt").write_text(fixture_config(model))
    (root / "model_repo" / "catalogue.toml").write_text(entries(root, *WEIGHTS))
    deployments = {model: {"graceful_shutdown_timeout_s": 4400 if model == "diarize" else 400} for model in CLASSES}
    return start_plane(
        root / "serve.log",
        OCTAVIA_PARENT_PID=str(os.getpid()),
        OCTAVIA_MODEL_REPO=str(root / "model_repo"),
        OCTAVIA_SERVE_CONFIG=str(write_serve_yaml(root / "serve.yaml", deployments)),
        OCTAVIA_DIARIZE="by-loudness",
    )


def conversation(said: Said, seconds: float) -> Samples:
    """Who is `LOUD` and who is `SOFT` hums that note in syllables, [n] at `RATE`; it is silent between."""
    sound = np.zeros(round(seconds * RATE), np.float32)
    for start, end, who in said:
        clock = np.arange(round(start * RATE), round(end * RATE)) / RATE
        syllables = 0.55 + 0.45 * np.sin(2 * np.pi * 4 * clock)
        level = 0.5 if who == LOUD else 0.08
        sound[round(start * RATE) : round(end * RATE)] = level * syllables * np.sin(2 * np.pi * who * clock)
    return sound
