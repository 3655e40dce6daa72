"""What the catalogue parameter of a model's configuration says about its loaded weights."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from serve.models.base import WeightSet
from serve.weights import Weights

VOICE_FACTS = ("sample_rate", "characters_per_second", "licence_chain", "gender")


def _common(weights: Weights) -> dict[str, Any]:
    entry = weights.entry
    return {
        "name": entry.name,
        "licence": entry.licence,
        "licence_chain": list(entry.licence_chain),
        "paid_use": entry.paid_use,
        "starter": entry.starter,
        "attribution": entry.attribution,
    }


def _whisper(weights: Weights) -> dict[str, Any]:
    return _common(weights) | {"languages": list(weights.entry.languages)}


def _opus_mt(weights: Weights) -> dict[str, Any]:
    entry = weights.entry
    return _common(weights) | {
        "source": entry.source_language,
        "target": entry.target_language,
        "target_token": entry.target_token,
        "toy": entry.toy,
    }


def _coqui_tts(weights: Weights) -> dict[str, Any]:
    """Measured facts of a voice come from the voice.json its importer wrote."""
    entry = weights.entry
    path = weights.folder / "voice.json"
    measured = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    stand_in = entry.stand_in_for if entry.stand_in_for in (None, "*") else list(entry.stand_in_for or ())
    return (
        _common(weights)
        | {"language": entry.language, "languages": list(entry.languages)}
        | {"gender": entry.gender, "stand_in_for": stand_in}
        | {key: measured[key] for key in VOICE_FACTS if measured.get(key) is not None}
    )


def _align(weights: Weights) -> dict[str, Any]:
    return _common(weights) | {"language": weights.entry.language}


FACTS: Mapping[str, Callable[[Weights], dict[str, Any]]] = {
    "whisper": _whisper,
    "opus_mt": _opus_mt,
    "coqui_tts": _coqui_tts,
    "align": _align,
    "diarize": _common,
    "separate": _common,
    "speech_quality": _common,
    "speaker_embedding": _common,
}


def weight_set(weights: Weights) -> WeightSet:
    """Weights as a model class takes them."""
    return WeightSet(weights.name, weights.folder, FACTS[weights.model](weights))
