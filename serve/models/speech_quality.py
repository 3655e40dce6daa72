"""DNSMOS: how listeners would rate speech, by two small networks that heard many ratings (ONNX, on one thread).

P.835 rates the voice, what is behind it and both together (Reddy, Gopal, Cutler: "DNSMOS P.835", ICASSP 2022); P.808
asks one question for all ("DNSMOS", ICASSP 2021). Weights, features and the curves that bring P.835's raw outputs to
the listeners' scale are those of Microsoft's package speechmos, which itself is not needed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from serve.models.base import Answer, Tensors, WeightSet, only
from serve.models.mel import decibels, mel_power
from serve.models.recording import RATE, Samples, answers

P835, P808 = "sig_bak_ovr.onnx", "model_v8.onnx"
WINDOW = round(9.01 * RATE)
"""Samples the networks hear at a time; of longer recordings one window a second is rated."""
CURVES: Mapping[str, tuple[float, float, float]] = {
    "SIGNAL": (-0.08397278, 1.22083953, 0.0052439),
    "BACKGROUND": (-0.13166888, 1.60915514, -0.39604546),
    "OVERALL": (-0.06766283, 1.11546468, 0.04602535),
}
"""Polynomials of P.835's three outputs, in their order, highest power first."""
P808_TAIL = 160
"""Samples at a window's end that P.808's network does not hear."""


class SpeechQuality:
    """Inputs and outputs as in model_repo/speech_quality/config.pbtxt. The same sound always gets the same ratings."""

    def __init__(self, parameters: Mapping[str, str], weights: Sequence[WeightSet]) -> None:
        self._weights = only(weights, "speech_quality")
        self._max_seconds = float(parameters.get("max_seconds", "60"))

    def load(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._p835, self._p808 = (
            onnxruntime.InferenceSession(str(self._weights.folder / name), options, ["CPUExecutionProvider"])
            for name in (P835, P808)
        )
        self._rated(np.zeros(WINDOW, np.float32))

    def catalogue(self) -> list[dict[str, Any]]:
        return [dict(self._weights.facts)]

    def infer(self, batch: Sequence[Tensors], requested: Sequence[set[str]]) -> list[Answer]:
        del requested
        return answers(batch, self._max_seconds, self._rated)

    def _rated(self, audio: Samples) -> Tensors:
        if len(audio) < WINDOW:
            audio = np.resize(audio, WINDOW)
        starts = range(0, len(audio) - WINDOW + 1, RATE)
        ratings = np.mean([self._of_window(audio[start : start + WINDOW]) for start in starts], axis=0)
        return {name: ratings[at : at + 1].astype(np.float32) for at, name in enumerate((*CURVES, "P808"))}

    def _of_window(self, window: Samples) -> list[float]:
        raw = self._p835.run(None, {"input_1": window[np.newaxis]})[0][0]
        rated = [float(np.polyval(curve, value)) for curve, value in zip(CURVES.values(), raw, strict=True)]
        features = _mel(window[:-P808_TAIL])[np.newaxis]
        return [*rated, float(self._p808.run(None, {"input_1": features})[0][0][0])]


def _mel(audio: Samples) -> npt.NDArray[np.float32]:
    """120 mel bands every 10 ms [frames, 120], 0 dB of the loudest at 1 and -80 dB at -1."""
    level = decibels(mel_power(audio, RATE, size=321, hop=160, bands=120))
    return (level + np.float32(40)) / np.float32(40)
