"""Coqui voices: samples are a function of (text, voice, speed, seed) and of the clip to speak like, alone.

Nothing is appended and nothing trimmed: AUDIO is exactly as long as planned, and SECONDS is its length. Text
without a letter or digit is 0.1 s of silence, so that a row of punctuation or music signs fails no job.
"""

import os
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
import torch

from serve.devices import device_for
from serve.errors import ModelError, invalid
from serve.memory import give_back
from serve.models.base import Answer, Tensors, WeightSet, numbers, texts
from serve.models.cloning import read_clips
from serve.models.speakable import clean, is_speakable, split_text
from serve.models.vits import precision_named
from serve.models.voice import Clip, Manner, Samples
from serve.models.voice_length import SEEDS, TOLERANCE, sound_plan
from serve.models.voice_level import faded, levelled
from serve.models.voice_library import SPEEDS, Loaded, VoiceLibrary

SILENCE_S = 0.1
WARM_UP = "Warm up."
ROUNDING = 1e-6
"""Speeds come as float32: one at a voice's limit may lie a little beyond it."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One row, after validation."""

    text: str
    voice: str
    speaker: str
    clip: Clip | None
    language: str
    speed: float
    seed: int


class CoquiTts:
    """Voices loaded as they are asked for. Inputs and outputs as in model_repo/coqui_tts/config.pbtxt. One synthesis at
    a time.
    """

    def __init__(self, parameters: Mapping[str, str], weights: Sequence[WeightSet]) -> None:
        self._max_characters = int(parameters.get("max_characters", "5000"))
        self._split_characters = int(parameters.get("split_characters", "250"))
        self._tolerance = float(parameters.get("length_tolerance", str(TOLERANCE)))
        precision = precision_named(parameters.get("decoder_precision", "auto"))
        self._library = VoiceLibrary(weights, precision, device_for(parameters))
        self._lock = Lock()

    def load(self) -> None:
        """What all voices share; each is loaded and warmed up by `open`."""
        os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8")  # memory: each length of text makes new ones
        torch.set_num_threads(1)

    def keys(self) -> list[str]:
        """One key (VOICE,LANGUAGE) a voice."""
        return [f"{name}," for name in self._library.voices]

    def open(self, key: str) -> Loaded:
        """The voice that VOICE,LANGUAGE means, warm. NOT_FOUND when there is none."""
        voice, _, language = key.partition(",")
        return self._open(self._library.resolve(voice, language)[0])

    def lane(self, inputs: Tensors) -> Hashable:
        """The voice of the first row."""
        return self._library.resolve(texts(inputs, "VOICE", 1)[0], texts(inputs, "LANGUAGE", 1)[0])[0]

    def size(self, inputs: Tensors) -> int:
        """Rows."""
        return len(inputs["TEXT"])

    def catalogue(self) -> list[dict[str, Any]]:
        return [known.facts() for known in self._library.voices.values()]

    def infer(self, batch: Sequence[Tensors], requested: Sequence[set[str]]) -> list[Answer]:
        answers = [self._request(*each) for each in zip(batch, requested, strict=True)]
        give_back()  # each length of text leaves other holes
        return answers

    def _request(self, request: Tensors, requested: set[str]) -> Answer:
        sound = not requested or bool(requested & {"AUDIO"})
        try:
            rows = self._rows(request)
            loaded = {name: self._open(name) for name in {row.voice for row in rows}}
            spoken = [self._speak(row, loaded[row.voice], sound=sound) for row in rows]
        except ModelError as error:
            return error
        rates = [self._library.voices[row.voice].sample_rate for row in rows]
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
        clips = read_clips(request, rows)
        utterances = []
        for row, text in enumerate(texts(request, "TEXT", rows)):
            if len(text) > self._max_characters:
                raise invalid(
                    f"TEXT row {row}: {len(text)} characters, at most {self._max_characters} are spoken at once"
                )
            voice, speaker = self._library.resolve(voices[row], languages[row])
            self._check_speed(row, speeds[row], voice)
            if clips[row] is not None:
                self._library.check_cloning(voice, speaker, row)
            speed, seed = float(speeds[row]), int(seeds[row])
            utterances.append(Utterance(clean(text), voice, speaker, clips[row], languages[row], speed, seed))
        return utterances

    def _check_speed(self, row: int, speed: float, voice: str) -> None:
        if not SPEEDS[0] <= speed <= SPEEDS[1]:
            raise invalid(f"SPEED row {row}: expected {SPEEDS[0]} to {SPEEDS[1]}, got {speed:g}")
        slowest, fastest = self._library.voices[voice].speeds
        if not slowest - ROUNDING <= speed <= fastest + ROUNDING:
            raise invalid(f"SPEED row {row}: voice '{voice}' reaches {slowest:.2f} to {fastest:.2f}, got {speed:g}")

    def _open(self, name: str) -> Loaded:
        loaded, fresh = self._library.open(name)
        if fresh and self._library.voices[name].cloning != "xtts":
            self._speak(Utterance(WARM_UP, name, "", None, "", 1.0, 0), loaded, sound=True)
        return loaded

    def _speak(self, utterance: Utterance, loaded: Loaded, *, sound: bool) -> tuple[int, Samples | None]:
        """Number of samples, and the samples [n] when `sound`."""
        known, voice = self._library.voices[utterance.voice], loaded.voice
        if not is_speakable(utterance.text):
            count = int(SILENCE_S * known.sample_rate)
            return count, np.zeros(count, np.float32) if sound else None
        count, parts = 0, []
        limit = min(self._split_characters, voice.limit(utterance.language) or self._split_characters)
        with self._lock:
            timbre = loaded.timbre(utterance.speaker, utterance.clip)
        for index, piece in enumerate(split_text(utterance.text, limit)):
            seed = (utterance.seed + index) % SEEDS
            with self._lock:
                attempt = partial(_attempt, loaded, piece, Manner(timbre, utterance.language, utterance.speed, 0))
                plan = sound_plan(attempt, seed, piece, known.characters_per_s, self._tolerance)
                count += plan.samples
                if sound:
                    parts.append(faded(levelled(voice.speak(plan), known.sample_rate), known.sample_rate))
        return count, np.concatenate(parts) if sound else None


def _attempt(loaded: Loaded, piece: str, manner: Manner, seed: int) -> Any:
    return loaded.voice.plan(piece, Manner(manner.timbre, manner.language, manner.speed, seed))
