"""Coqui VITS voices: samples are a function of (text, voice, speed, seed) alone.

Nothing is appended and nothing trimmed: AUDIO is exactly what the durations say, and SECONDS is its length. Text
without a letter or digit is 0.1 s of silence, so that a row of punctuation or music signs fails no job.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import torch

from serve.errors import ModelError, invalid, not_found
from serve.models.base import Answer, Tensors, WeightSet, base_language, numbers, texts
from serve.models.speakable import clean, is_speakable, split_text
from serve.models.vits import VitsVoice, precision_named

SPEEDS = (0.5, 2.0)
SILENCE_S = 0.1
ANY = "*"


@dataclass(frozen=True, slots=True)
class Utterance:
    """One row, after validation."""

    text: str
    voice: str
    speed: float
    seed: int


class CoquiTts:
    """All loaded voices. Inputs and outputs as in model_repo/coqui_tts/config.pbtxt. One synthesis at a time."""

    def __init__(self, parameters: Mapping[str, str], weights: Sequence[WeightSet]) -> None:
        self._max_characters = int(parameters.get("max_characters", "5000"))
        self._split_characters = int(parameters.get("split_characters", "250"))
        self._precision = precision_named(parameters.get("decoder_precision", "auto"))
        self._weights = {weight.name: weight for weight in weights}
        self._lock = Lock()

    def load(self) -> None:
        os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8")  # memory: each length of text makes new ones
        torch.set_num_threads(1)
        self._voices = {name: VitsVoice(weight.folder, self._precision) for name, weight in self._weights.items()}
        for name in self._voices:
            self._speak(Utterance("Warm up.", name, 1.0, 0), sound=True)

    def catalogue(self) -> list[dict[str, Any]]:
        return [
            {**weight.facts, "sample_rate": self._voices[name].sample_rate} for name, weight in self._weights.items()
        ]

    def infer(self, batch: Sequence[Tensors], requested: Sequence[set[str]]) -> list[Answer]:
        return [self._request(*each) for each in zip(batch, requested, strict=True)]

    def _request(self, request: Tensors, requested: set[str]) -> Answer:
        sound = not requested or bool(requested & {"AUDIO"})
        try:
            rows = self._rows(request)
        except ModelError as error:
            return error
        spoken = [self._speak(row, sound=sound) for row in rows]
        rates = [self._voices[row.voice].sample_rate for row in rows]
        answer = {
            "NUM_SAMPLES": np.array([[count] for count, _ in spoken], np.int32),
            "SAMPLE_RATE": np.array([[rate] for rate in rates], np.int32),
            "SECONDS": np.array([[count / rate] for (count, _), rate in zip(spoken, rates, strict=True)], np.float32),
        }
        if sound:
            audio = np.zeros((len(rows), max((count for count, _ in spoken), default=0)), np.float32)
            for row, (count, samples) in enumerate(spoken):
                audio[row, :count] = samples
            answer["AUDIO"] = audio
        return answer

    def _rows(self, request: Tensors) -> list[Utterance]:
        rows = len(request["TEXT"])
        languages = texts(request, "LANGUAGE", rows)
        voices = texts(request, "VOICE", rows)
        speeds = numbers(request, "SPEED", rows, 1.0)
        seeds = numbers(request, "SEED", rows, 0)
        utterances = []
        for row, text in enumerate(texts(request, "TEXT", rows)):
            if len(text) > self._max_characters:
                raise invalid(
                    f"TEXT row {row}: {len(text)} characters, at most {self._max_characters} are spoken at once"
                )
            if not SPEEDS[0] <= speeds[row] <= SPEEDS[1]:
                raise invalid(f"SPEED row {row}: expected {SPEEDS[0]} to {SPEEDS[1]}, got {speeds[row]:g}")
            voice = self._voice(voices[row], languages[row])
            utterances.append(Utterance(clean(text), voice, float(speeds[row]), int(seeds[row])))
        return utterances

    def _voice(self, name: str, language: str) -> str:
        """The voice named, else the first of the language, else a stand-in for it; NOT_FOUND when there is none."""
        if name:
            if name in self._voices:
                return name
            raise not_found(f"there is no voice '{name}'; loaded voices: {self._known()}")
        wanted = base_language(language)
        facts = {known: weight.facts for known, weight in self._weights.items()}
        own = [
            known for known, fact in facts.items() if not wanted or base_language(str(fact.get("language"))) == wanted
        ]
        stand_ins = [known for known, fact in facts.items() if _stands_in(fact.get("stand_in_for"), wanted)]
        if not own + stand_ins:
            raise not_found(f"there is no voice for language '{language}'; loaded voices: {self._known()}")
        return (own + stand_ins)[0]

    def _known(self) -> str:
        return ", ".join(f"{name} ({weight.facts.get('language')})" for name, weight in self._weights.items()) or "none"

    def _speak(self, utterance: Utterance, *, sound: bool) -> tuple[int, Any]:
        """Number of samples, and the samples [n] when `sound` (else None)."""
        voice = self._voices[utterance.voice]
        if not is_speakable(utterance.text):
            count = int(SILENCE_S * voice.sample_rate)
            return count, np.zeros(count, np.float32) if sound else None
        pieces = split_text(utterance.text, self._split_characters)
        count, parts = 0, []
        for index, piece in enumerate(pieces):
            tokens = voice.tokens(piece)
            with self._lock:
                plan = voice.plan(tokens, utterance.speed, (utterance.seed + index) % 2**63)
                count += plan.total * voice.hop
                if sound:
                    parts.append(voice.speak(plan))
        return count, np.concatenate(parts) if sound else None


def _stands_in(languages: Any, wanted: str) -> bool:
    return languages == ANY or wanted in (languages or ())
