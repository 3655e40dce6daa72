"""Resemblyzer's voice encoder: a voice as a vector of length 1 (generalised end-to-end loss, Wan et al., ICASSP 2018).

Only the package's weights are needed: its way to find speech in a recording would bring webrtcvad along, and callers
give speech alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from serve.errors import invalid
from serve.models.base import Answer, Tensors, WeightSet, only
from serve.models.mel import mel_power
from serve.models.recording import RATE, Samples, answers

FILE = "pretrained.pt"
BANDS = 40
SIZE = 256
LAYERS = 3
FRAME = RATE // 100
PART = 160
"""Frames of 10 ms the encoder hears at a time."""
STEP = 77
"""Frames from one part to the next: 1.3 parts a second."""
LEAST = 0.75
"""Share of the last part that must be sound."""
LEVEL_DBFS = -30.0
"""Speech is brought to this: the encoder would tell loud from quiet, and Resemblyzer itself only raises the quiet."""
SILENT_DBFS = -80.0


class Encoder(torch.nn.Module):
    """Mel spectrograms [n, 160, 40] to vectors [n, 256] of length 1. The names are those of the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(BANDS, SIZE, LAYERS, batch_first=True)
        self.linear = torch.nn.Linear(SIZE, SIZE)

    def forward(self, mels: torch.Tensor) -> torch.Tensor:
        _, (hidden, _) = self.lstm(mels)
        return torch.nn.functional.normalize(torch.relu(self.linear(hidden[-1])), dim=1)


class SpeakerEmbedding:
    """Inputs and outputs as in model_repo/speaker_embedding/config.pbtxt."""

    def __init__(self, parameters: Mapping[str, str], weights: Sequence[WeightSet]) -> None:
        self._weights = only(weights, "speaker_embedding")
        self._max_seconds = float(parameters.get("max_seconds", "60"))

    def load(self) -> None:
        torch.set_num_threads(1)
        stored = torch.load(self._weights.folder / FILE, map_location="cpu", weights_only=True)["model_state"]
        self._encoder = Encoder()
        known = set(self._encoder.state_dict())
        self._encoder.load_state_dict({name: value for name, value in stored.items() if name in known})
        self._encoder.eval()
        self._embedded(np.full(RATE, 0.1, np.float32))

    def catalogue(self) -> list[dict[str, Any]]:
        return [dict(self._weights.facts)]

    def infer(self, batch: Sequence[Tensors], requested: Sequence[set[str]]) -> list[Answer]:
        del requested
        return answers(batch, self._max_seconds, self._embedded)

    def _embedded(self, audio: Samples) -> Tensors:
        level = 20 * np.log10(max(float(np.sqrt(np.mean(np.square(audio)))), 1e-9))
        if level < SILENT_DBFS:
            raise invalid(f"AUDIO: nothing is heard ({level:.0f} dBFS), expected somebody's speech")
        audio = audio * np.float32(10 ** ((LEVEL_DBFS - level) / 20))
        starts = _starts(len(audio))
        audio = np.pad(audio, (0, max(0, (starts[-1] + PART) * FRAME - len(audio))))
        mel = mel_power(audio, RATE, size=400, hop=FRAME, bands=BANDS)
        parts = np.stack([mel[start : start + PART] for start in starts])
        with torch.inference_mode():
            mean = self._encoder(torch.from_numpy(parts)).numpy().mean(axis=0)
        return {"EMBEDDING": (mean / np.linalg.norm(mean)).astype(np.float32)}


def _starts(samples: int) -> list[int]:
    """First frames of the parts that cover so many samples: one at least, the last one mostly sound."""
    frames = -(-(samples + 1) // FRAME)
    starts = list(range(0, max(1, frames - PART + STEP + 1), STEP))
    if len(starts) > 1 and (samples / FRAME - starts[-1]) / PART < LEAST:
        starts.pop()
    return starts
