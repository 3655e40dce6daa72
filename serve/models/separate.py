"""Source separation: the voices of a recording, and everything else. Hybrid Demucs, as torchaudio has it."""

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr
import torch

from serve.devices import device_for
from serve.errors import ModelError, invalid
from serve.models.base import Answer, Tensors, WeightSet, only
from serve.models.demucs_folder import Demucs, load_demucs

USUAL_RATE = 44_100
RATES = (8_000, 192_000)
SHORTEST_S = 0.1
SILENT = 1e-5
"""A standard deviation below which there is nothing to take apart."""

FAINTEST_MIDDLE = 0.1
"""Sound is scaled by the deviation of its middle, as Demucs was trained; without a middle by so much of its own."""

Samples = npt.NDArray[np.float32]


class Separate:
    """Inputs and outputs as in model_repo/separate/config.pbtxt. One window at a time."""

    def __init__(self, parameters: Mapping[str, str], weights: Sequence[WeightSet]) -> None:
        self._weights = only(weights, "separate")
        self._max_seconds = float(parameters.get("max_seconds", "30"))
        self._device = device_for(parameters)
        self._lock = Lock()

    def load(self) -> None:
        torch.set_num_threads(1)
        self._demucs: Demucs = load_demucs(self._weights.folder, self._device)
        self._apart(np.random.default_rng(0).normal(0, 0.1, (2, self._demucs.rate)).astype(np.float32))

    def catalogue(self) -> list[dict[str, Any]]:
        return [dict(self._weights.facts)]

    def infer(self, batch: Sequence[Tensors], requested: Sequence[set[str]]) -> list[Answer]:
        del requested
        return [self._answer(request) for request in batch]

    def _answer(self, request: Tensors) -> Answer:
        audio = request["AUDIO"]
        rate = int(request["SAMPLE_RATE"][0]) if "SAMPLE_RATE" in request else USUAL_RATE
        try:
            if not RATES[0] <= rate <= RATES[1]:
                raise invalid(f"SAMPLE_RATE: expected {RATES[0]} to {RATES[1]} Hz, got {rate}")
            seconds = audio.shape[1] / rate
            if not SHORTEST_S <= seconds <= self._max_seconds:
                raise invalid(
                    f"AUDIO: {seconds:.2f} s of sound at {rate} Hz, expected {SHORTEST_S:g} to {self._max_seconds:g} s"
                )
        except ModelError as error:
            return error
        if audio.std() < SILENT:
            return {"VOCALS": np.zeros_like(audio), "BACKGROUND": np.array(audio)}
        vocals, background = self._apart(resampled(audio, rate, self._demucs.rate))
        samples = audio.shape[1]
        return {
            "VOCALS": fitted(resampled(vocals, self._demucs.rate, rate), samples),
            "BACKGROUND": fitted(resampled(background, self._demucs.rate, rate), samples),
        }

    def _apart(self, audio: Samples) -> tuple[Samples, Samples]:
        """Vocals and the sum of the other sources, of sound [2, n] at the model's rate."""
        mono = audio.mean(axis=0)
        mean, spread = float(mono.mean()), max(float(mono.std()), FAINTEST_MIDDLE * float(audio.std()))
        mixture = torch.from_numpy((audio - mean) / spread)[None].to(self._device)
        with self._lock, torch.inference_mode():
            sources = self._demucs.model(mixture)[0].float().cpu().numpy() * spread
        at = self._demucs.vocals
        others = np.delete(sources, at, axis=0).sum(axis=0)
        return sources[at].astype(np.float32), (others + mean).astype(np.float32)


def resampled(audio: npt.NDArray[Any], rate: int, wanted: int) -> Samples:
    """Sound [2, n] at another rate; whole windows, so that nothing is delayed."""
    if rate == wanted:
        return np.ascontiguousarray(audio, np.float32)
    return np.ascontiguousarray(soxr.resample(audio.T, rate, wanted).T, np.float32)


def fitted(audio: Samples, samples: int) -> Samples:
    """Exactly so many samples: there and back a resampler gives or takes one."""
    return np.pad(audio[:, :samples], ((0, 0), (0, max(0, samples - audio.shape[1]))))
