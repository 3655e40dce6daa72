"""A folder with a pyannote pipeline that needs nothing else, like pyannote/speaker-diarization-community-1."""

from pathlib import Path
from typing import Any

import yaml

CONFIG = "config.yaml"
PIPELINE = "pyannote.audio.pipelines.SpeakerDiarization"
INSIDE = "$model/"
FILES = {  # part of the pipeline -> what pyannote loads for it from its subfolder
    "segmentation": ("pytorch_model.bin",),
    "embedding": ("pytorch_model.bin",),
    "plda": ("plda.npz", "xvec_transform.npz"),
}


def check_folder(folder: Path) -> None:
    """ValueError when the folder is not a pipeline for speaker diarization, or when it would load parts from elsewhere:
    pyannote takes a name it does not find on the disk for one on the hub.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise ValueError(f"{folder} has no {CONFIG}: it is not a pyannote pipeline")
    pipeline = _pipeline(path)
    if pipeline.get("name") != PIPELINE:
        raise ValueError(f"{path}: the pipeline is {pipeline.get('name')!r}, expected {PIPELINE}")
    for part, files in FILES.items():
        where = (pipeline.get("params") or {}).get(part)
        if not isinstance(where, str) or not where.startswith(INSIDE) or ".." in where or "@" in where:
            raise ValueError(f"{path}: {part} is {where!r}, expected a subfolder as {INSIDE}{part}")
        for name in files:
            if not (folder / where.removeprefix(INSIDE) / name).is_file():
                raise ValueError(f"{folder}: {where.removeprefix(INSIDE)}/{name} is missing")


def _pipeline(path: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not valid YAML ({error})") from error
    match config:
        case {"pipeline": dict() as pipeline}:
            return pipeline
        case _:
            raise ValueError(f"{path}: has no pipeline")
