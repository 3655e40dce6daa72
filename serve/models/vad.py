"""Silero voice activity detection (the ONNX file faster-whisper carries, so nothing is downloaded)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from faster_whisper.vad import get_vad_model

from serve.errors import invalid
from serve.models.base import Answer, Tensors, WeightSet

RATE = 16_000
FRAME = 512
"""Samples per probability: 32 ms at 16 kHz."""

HYSTERESIS = 0.15
"""Speech goes on until the probability falls this far below the threshold (silero's own rule)."""


class Vad:
    """Stretches of speech in a recording. Inputs and outputs as in model_repo/vad/config.pbtxt."""

    def __init__(self, parameters: Mapping[str, str], weights: Sequence[WeightSet] = ()) -> None:
        del weights
        self._max_seconds = float(parameters.get("max_seconds", "600"))
        self._threshold = float(parameters.get("threshold", "0.5"))
        self._min_silence_s = float(parameters.get("min_silence_ms", "200")) / 1000
        self._min_speech_s = float(parameters.get("min_speech_ms", "100")) / 1000
        self._pad_s = float(parameters.get("speech_pad_ms", "50")) / 1000

    def load(self) -> None:
        self._net = get_vad_model()
        self._net(np.zeros(FRAME, np.float32))

    def catalogue(self) -> list[dict[str, Any]]:
        return [{"name": "silero-vad-v6", "licence": "MIT", "paid_use": True, "starter": True}]

    def infer(self, batch: Sequence[Tensors], requested: Sequence[set[str]]) -> list[Answer]:
        del requested
        return [self._one(request["AUDIO"]) for request in batch]

    def speech(self, audio: npt.NDArray[np.float32]) -> list[tuple[float, float]]:
        """Start and end in seconds of each stretch of speech in 16 kHz audio [n]."""
        return self._found(audio)[1] if len(audio) else []

    def _one(self, audio: npt.NDArray[np.float32]) -> Answer:
        if len(audio) > self._max_seconds * RATE:
            return invalid(
                f"AUDIO: {len(audio) / RATE:.1f} s of 16 kHz audio, a call takes at most {self._max_seconds:.0f} s"
            )
        if len(audio) == 0:
            return {"SPEECH": np.zeros((0, 2), np.float32), "PROBABILITY": np.zeros(0, np.float32)}
        probability, stretches = self._found(audio)
        return {"SPEECH": np.array(stretches, np.float32).reshape(-1, 2), "PROBABILITY": probability}

    def _found(self, audio: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], list[tuple[float, float]]]:
        padded = np.pad(audio, (0, -len(audio) % FRAME))
        probability = np.asarray(self._net(padded), np.float32).reshape(-1)
        stretches = speech_stretches(
            probability, len(audio) / RATE, self._threshold, self._min_silence_s, self._min_speech_s, self._pad_s
        )
        return probability, stretches


def speech_stretches(
    probability: Sequence[float] | npt.NDArray[np.float32],
    seconds: float,
    threshold: float,
    min_silence_s: float,
    min_speech_s: float,
    pad_s: float,
) -> list[tuple[float, float]]:
    """Start and end in seconds of each stretch of speech, ascending and disjoint, within [0, seconds].

    A stretch begins at the first frame >= threshold and ends where the probability stays below
    threshold - HYSTERESIS for min_silence_s; shorter ones than min_speech_s are dropped, the rest padded by pad_s
    (to the middle of the gap at most).
    """
    frame_s = FRAME / RATE
    found: list[list[float]] = []
    start: float | None = None
    quiet: float | None = None
    for index, p in enumerate(probability):
        now = index * frame_s
        if p >= threshold:
            start = now if start is None else start
            quiet = None
        elif start is not None and p < threshold - HYSTERESIS:
            quiet = now if quiet is None else quiet
            if now + frame_s - quiet >= min_silence_s:
                found.append([start, quiet])
                start = quiet = None
    if start is not None:
        found.append([start, seconds if quiet is None else quiet])
    found = [stretch for stretch in found if stretch[1] - stretch[0] >= min_speech_s]
    return _padded(found, seconds, pad_s)


def _padded(stretches: list[list[float]], seconds: float, pad_s: float) -> list[tuple[float, float]]:
    padded = []
    for index, (start, end) in enumerate(stretches):
        before = start - stretches[index - 1][1] if index else 2 * start
        after = stretches[index + 1][0] - end if index + 1 < len(stretches) else 2 * (seconds - end)
        padded.append((max(0.0, start - min(pad_s, before / 2)), min(seconds, end + min(pad_s, max(0.0, after) / 2))))
    return padded
