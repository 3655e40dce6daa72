"""What a voice's folder holds, read without loading the voice."""

import json
from pathlib import Path
from typing import Any, Literal

from TTS.config import load_config

Kind = Literal["vits", "xtts", "openvoice"]
Cloning = Literal["d_vector", "xtts", "voice_conversion"]

ENCODER_FILES = ("model_se.pth", "model_se.pth.tar")
SPEAKER_FILES = ("speakers.json", "speakers.pth")

FILES = {  # config.json names them by their path on the machine that trained; Coqui's archives hold them under these
    "d_vector_file": SPEAKER_FILES,
    "speakers_file": ("speaker_ids.json", "speaker_ids.pth", *SPEAKER_FILES),
    "language_ids_file": ("language_ids.json",),
    "speaker_encoder_model_path": ENCODER_FILES,
    "speaker_encoder_config_path": ("config_se.json",),
}


def model_folder(folder: Path) -> Path:
    """Where config.json lies: in the folder, or as its authors publish OpenVoice in its folder `converter`."""
    return folder if (folder / "config.json").exists() else folder / "converter"


def raw_config(folder: Path) -> dict[str, Any]:
    """config.json as it stands."""
    raw: dict[str, Any] = json.loads((model_folder(folder) / "config.json").read_text(encoding="utf-8"))
    return raw


def kind_of(folder: Path) -> Kind:
    """Which of our classes loads it. ValueError names what it is instead."""
    raw = raw_config(folder)
    if isinstance(raw.get("data"), dict) and "gin_channels" in raw.get("model", {}):
        return "openvoice"
    if raw.get("model") in ("vits", "xtts"):
        return "vits" if raw["model"] == "vits" else "xtts"
    raise ValueError(f"{folder}: a model of kind '{raw.get('model')}'; VITS, XTTS and OpenVoice can be loaded")


def own_cloning(folder: Path) -> Cloning | None:
    """How the model itself speaks like a clip, or None where it cannot."""
    kind = kind_of(folder)
    if kind == "vits":
        learnt = raw_config(folder).get("model_args", {}).get("use_d_vector_file")
        return "d_vector" if learnt and any((folder / name).exists() for name in ENCODER_FILES) else None
    return "xtts" if kind == "xtts" else "voice_conversion"


def sample_rate_of(folder: Path) -> int:
    """Hz of what it speaks."""
    audio = raw_config(folder)["audio"]
    return int(audio.get("output_sample_rate") or audio["sample_rate"])


def speakers_of(folder: Path) -> list[str]:
    """Names of a VITS model's own speakers where it has several and a JSON file with them; else []."""
    args = raw_config(folder).get("model_args", {})
    if not (args.get("use_d_vector_file") or args.get("use_speaker_embedding")):
        return []
    for name in FILES["speakers_file"]:
        path = folder / name
        if path.suffix == ".json" and path.exists():
            entries = json.loads(path.read_text(encoding="utf-8"))
            named = [each["name"] if isinstance(each, dict) else key for key, each in entries.items()]
            return sorted(set(named))
    return sorted(raw_config(folder).get("speakers") or [])


def vits_config(folder: Path) -> Any:
    """Coqui's VitsConfig with the paths of this folder."""
    config = load_config(str(folder / "config.json"))
    for field, names in FILES.items():
        found = next((folder / name for name in names if (folder / name).exists()), None)
        for holder in (config, config.model_args):
            if field in holder:
                several = isinstance(holder[field], list)
                holder[field] = None if found is None else [str(found)] if several else str(found)
    return config


def speeds_of(folder: Path) -> tuple[float, float] | None:
    """Slowest and fastest real speed on the voice's measured curve (voice.json); None where it was not measured."""
    path = folder / "voice.json"
    curve = json.loads(path.read_text(encoding="utf-8")).get("speed_curve") if path.exists() else None
    if not curve:
        return None
    ratios = [float(ratio) for _, ratio in curve]
    return 1 / max(ratios), 1 / min(ratios)
