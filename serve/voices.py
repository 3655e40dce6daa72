"""Voices: importing Piper voices into Coqui, measuring any Coqui VITS voice, and keeping a list of one's own.

A voice is a folder with model.pth, config.json and voice.json (what `Voice` holds).
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from serve.calibrate import Calibration, calibrate, sentences_for
from serve.catalogue import Catalogue, CatalogueEntry, load_catalogue
from serve.weights_errors import CatalogueError, VoiceImportError
from serve.weights_record import record

Gender = Literal["female", "male", "unknown"]
VOICE = "voice.json"
IMPORTED = "imported"


@dataclass(frozen=True, slots=True)
class Voice:
    """voice.json. Speeds and durations are measured, never assumed.

    speed_curve: rising pairs (length_scale, duration relative to that of natural_length_scale).
    characters_per_second: of text, at the natural length scale.
    """

    name: str
    language: str
    gender: Gender
    sample_rate: int
    licence: str
    licence_chain: tuple[str, ...]
    paid_use: bool
    attribution: str
    characters_per_second: float
    natural_length_scale: float
    speed_curve: tuple[tuple[float, float], ...]


def read_voice(folder: Path) -> Voice:
    """The voice.json of a voice's folder; VoiceImportError when it is not one."""
    try:
        raw: dict[str, Any] = json.loads((folder / VOICE).read_text(encoding="utf-8"))
        raw["licence_chain"] = tuple(raw["licence_chain"])
        raw["speed_curve"] = tuple((float(scale), float(ratio)) for scale, ratio in raw["speed_curve"])
        return Voice(**raw)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise VoiceImportError(
            f"{folder} is not a voice: its {VOICE} cannot be read ({error}); import it again"
        ) from error


def describe_voice(
    folder: Path,
    *,
    name: str,
    language: str,
    gender: Gender,
    licence: str,
    licence_chain: Sequence[str],
    paid_use: bool = False,
    attribution: str = "",
    sentences: Sequence[str] | None = None,
) -> Voice:
    """Measures the Coqui VITS voice in folder and writes its voice.json.

    sentences: what to measure with, in the voice's language; by default ours for that language.
    """
    measured: Calibration = calibrate(folder, sentences or sentences_for(language))
    voice = Voice(
        name=name,
        language=language,
        gender=gender,
        sample_rate=measured.sample_rate,
        licence=licence,
        licence_chain=tuple(licence_chain),
        paid_use=paid_use,
        attribution=attribution,
        characters_per_second=measured.characters_per_second,
        natural_length_scale=measured.natural_length_scale,
        speed_curve=measured.speed_curve,
    )
    (folder / VOICE).write_text(json.dumps(asdict(voice), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return voice


def import_piper(
    onnx: Path,
    config_json: Path,
    dest: Path,
    *,
    name: str,
    language: str,
    gender: Gender = "unknown",
    licence: str,
    licence_chain: Sequence[str],
    paid_use: bool = False,
    attribution: str = "",
    sentences: Sequence[str] | None = None,
) -> Voice:
    """Writes the Piper voice as a Coqui VITS voice into the folder dest, measured.

    licence_chain: the voice's own data first, then what it was fine-tuned from, to the root.
    Raises VoiceImportError when the files are not a single-speaker Piper voice.
    """
    from serve.convert_piper import convert_piper  # noqa: PLC0415 - imports torch

    if not licence_chain:
        raise VoiceImportError(f"{name}: say the licence of everything the voice was trained from (licence_chain)")
    dest.mkdir(parents=True, exist_ok=True)
    convert_piper(onnx, config_json, dest)
    return describe_voice(
        dest,
        name=name,
        language=language,
        gender=gender,
        licence=licence,
        licence_chain=licence_chain,
        paid_use=paid_use,
        attribution=attribution,
        sentences=sentences,
    )


def toml_table(values: dict[str, str | bool | Sequence[str]]) -> str:
    """One [[weights]] table; a JSON string or list of strings is a TOML one too."""
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    return "[[weights]]\n" + "\n".join(lines) + "\n"


def add_voice(
    onnx: Path,
    config_json: Path | None,
    *,
    weights_dir: Path,
    catalogue: Path,
    name: str,
    licence: str,
    licence_chain: Sequence[str],
    language: str | None = None,
    gender: Gender = "unknown",
    paid_use: bool = False,
    attribution: str = "",
) -> CatalogueEntry:
    """Imports a Piper voice for this machine: weights_dir/imported/NAME and an entry in catalogue.local.toml.

    config_json defaults to ONNX.json beside the voice, language to what that file says. Nothing is left behind when
    it fails. Raises VoiceImportError, and CatalogueError when the name is taken or not a name.
    """
    from serve.convert_piper import piper_language  # noqa: PLC0415 - imports torch

    own = weights_dir / "catalogue.local.toml"
    known: Catalogue = load_catalogue(catalogue, own)
    if name in known.by_name:
        raise CatalogueError(f"there are weights named {name!r} already; choose another name")
    config = config_json or onnx.with_name(onnx.name + ".json")
    values: dict[str, str | bool | Sequence[str]] = {
        "name": name,
        "model": "coqui_tts",
        "sets": ["starter", "standard"],
        "source": f"file:{IMPORTED}/{name}",
        "languages": [language or piper_language(config)],
        "gender": gender,
        "licence": licence,
        "licence_chain": list(licence_chain),
        "paid_use": paid_use,
        "attribution": attribution,
    }
    weights_dir.mkdir(parents=True, exist_ok=True)
    draft = own.with_suffix(".toml.new")
    before = own.read_text(encoding="utf-8") if own.exists() else "# Voices imported on this machine.\n"
    draft.write_text(f"{before}\n{toml_table(values)}", encoding="utf-8")
    folder, building = weights_dir / IMPORTED / name, weights_dir / ".work" / f"import-{name}"
    shutil.rmtree(building, ignore_errors=True)
    try:
        entry = load_catalogue(catalogue, draft).get(name)
        import_piper(
            onnx,
            config,
            building,
            name=name,
            language=entry.language,
            gender=gender,
            licence=licence,
            licence_chain=licence_chain,
            paid_use=paid_use,
            attribution=attribution,
        )
        record(entry, building, {entry.sources[0]: "imported"}, {})
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        building.rename(folder)
        draft.replace(own)
    finally:
        draft.unlink(missing_ok=True)
        shutil.rmtree(building, ignore_errors=True)
    return entry
