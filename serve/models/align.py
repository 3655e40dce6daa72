"""Forced alignment: when each of the known words of a window is said. WhisperX with a wav2vec2 model per language."""

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt
import torch

from serve.devices import device_for
from serve.errors import ModelError, invalid, not_found
from serve.models.aligner import RATE, Aligner, whisperx
from serve.models.base import Answer, Tensors, WeightSet, base_language, bytes_column, texts
from serve.models.segments import Segment, read_segments, write_segments
from serve.models.word_times import RECEPTIVE, fill, with_times, words_of


class Align:
    """Inputs and outputs as in model_repo/align/config.pbtxt. One set of weights per language.

    A word without letters its model knows (numbers, symbols) lies between its neighbours, with score 0.
    """

    def __init__(self, parameters: Mapping[str, str], weights: Sequence[WeightSet]) -> None:
        if not weights:
            raise ValueError("align has no weights: name entries of the catalogue in OCTAVIA_ALIGN")
        self._max_seconds = float(parameters.get("max_seconds", "60"))
        self._device = device_for(parameters)
        self._weights = {base_language(str(weight.facts["language"])): weight for weight in weights}
        if len(self._weights) < len(weights):
            named = ", ".join(f"{weight.name} ({weight.facts['language']})" for weight in weights)
            raise ValueError(f"OCTAVIA_ALIGN names two sets of weights for one language: {named}")
        self._open: WeakValueDictionary[str, Aligner] = WeakValueDictionary()
        self._loading = Lock()
        self._running = Lock()

    def load(self) -> None:
        torch.set_num_threads(1)
        whisperx()

    def catalogue(self) -> list[dict[str, Any]]:
        return [dict(weight.facts) for weight in self._weights.values()]

    def open(self, key: str) -> Aligner:
        """The model of the language `key`, a BCP 47 code; NOT_FOUND names the languages there are."""
        language = base_language(key)
        if not language:
            raise invalid("LANGUAGE: expected a language code, got an empty string")
        if language not in self._weights:
            raise not_found(f"no alignment model for language '{key}'; there is {', '.join(sorted(self._weights))}")
        with self._loading:
            aligner = self._open.get(language)
            if aligner is None:
                aligner = self._open[language] = Aligner(self._weights[language], language, self._device)
        return aligner

    def keys(self) -> Sequence[str]:
        return tuple(self._weights)

    def infer(self, batch: Sequence[Tensors], requested: Sequence[set[str]]) -> list[Answer]:
        del requested
        return [self._answer(request) for request in batch]

    def _answer(self, request: Tensors) -> Answer:
        rows = len(request["AUDIO"])
        try:
            languages = texts(request, "LANGUAGE", rows)
            return {"SEGMENTS": bytes_column([self._row(request, row, languages[row]) for row in range(rows)])}
        except ModelError as error:
            return error

    def _row(self, request: Tensors, row: int, language: str) -> str:
        audio = self._audio(request, row)
        segments = _segments(request, row, len(audio) / RATE)
        aligner = self.open(language)
        with self._running:
            return write_segments([_aligned(aligner, audio, segment) for segment in segments])

    def _audio(self, request: Tensors, row: int) -> npt.NDArray[np.float32]:
        available = request["AUDIO"].shape[1]
        samples = int(request["NUM_SAMPLES"][row, 0]) if "NUM_SAMPLES" in request else available
        if not 0 <= samples <= available:
            raise invalid(f"NUM_SAMPLES row {row}: expected 0 to {available} (the length of AUDIO), got {samples}")
        if not RECEPTIVE <= samples <= self._max_seconds * RATE:
            raise invalid(
                f"AUDIO row {row}: {samples / RATE:.3f} s of 16 kHz audio, expected {RECEPTIVE / RATE:g} to "
                f"{self._max_seconds:g} s"
            )
        return np.array(request["AUDIO"][row, :samples], np.float32)


def _segments(request: Tensors, row: int, seconds: float) -> list[Segment]:
    """What is to be aligned, from SEGMENTS or TEXT: exactly one of them."""
    if ("SEGMENTS" in request) == ("TEXT" in request):
        raise invalid("expected either SEGMENTS or TEXT")
    if "SEGMENTS" in request:
        return read_segments(texts(request, "SEGMENTS", row + 1)[row] or "[]", f"SEGMENTS row {row}", seconds)
    text = texts(request, "TEXT", row + 1)[row].strip()
    return [{"start": 0.0, "end": seconds, "text": text}] if text else []


def _aligned(aligner: Aligner, audio: npt.NDArray[np.float32], segment: Segment) -> Segment:
    words = words_of(segment, spaced=aligner.spaced)
    found = aligner.times(audio, segment["start"], segment["end"], [word["word"] for word in words])
    return with_times(segment, words, fill(found, segment["start"], segment["end"]))
