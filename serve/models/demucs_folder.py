"""A folder with a Hybrid Demucs of torchaudio: its weights as one *.pt file, and where it is not the usual one (44.1
kHz; drums, bass, other, vocals) a demucs.json with what it is built with.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

DESCRIPTION = "demucs.json"
VOCALS = "vocals"
USUAL: dict[str, Any] = {"sources": ["drums", "bass", "other", VOCALS], "nfft": 4096, "depth": 6}
USUAL_RATE = 44_100


@dataclass(frozen=True, slots=True)
class Demucs:
    """[1, 2, n] at `rate` Hz, of mean 0 and deviation 1, to [1, source, 2, n]; `vocals` says which source they are."""

    model: torch.nn.Module
    rate: int
    vocals: int


def load_demucs(folder: Path, device: str) -> Demucs:
    """The folder's model, ready to be asked. ValueError says what is wrong with it. Nothing in it is executed."""
    from torchaudio.models import HDemucs  # noqa: PLC0415 - imports much

    rate, built = _description(folder / DESCRIPTION)
    files = sorted(folder.glob("*.pt"))
    if len(files) != 1:
        raise ValueError(f"{folder}: expected one *.pt file with the weights, found {[path.name for path in files]}")
    try:
        model = HDemucs(**built)
        model.load_state_dict(torch.load(files[0], map_location="cpu", weights_only=True))
    except (TypeError, ValueError, RuntimeError, AttributeError, UnpicklingError) as error:
        raise ValueError(f"{files[0]}: not the weights of a Hybrid Demucs ({str(error)[:300]})") from error
    return Demucs(model.eval().to(device), rate, built["sources"].index(VOCALS))


def _description(path: Path) -> tuple[int, dict[str, Any]]:
    """The sample rate, and the arguments of torchaudio.models.HDemucs."""
    try:
        given = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        raise ValueError(f"{path}: not valid JSON ({error})") from error
    built = USUAL | (given if isinstance(given, dict) else {"sources": None})
    rate = built.pop("sample_rate", USUAL_RATE)
    if not isinstance(rate, int) or not isinstance(built["sources"], list) or VOCALS not in built["sources"]:
        raise ValueError(f"{path}: expected a whole sample_rate, and sources among which are {VOCALS}")
    return rate, built
