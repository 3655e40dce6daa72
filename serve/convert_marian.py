"""Opus-MT checkpoints (pytorch_model.bin or model.safetensors) to CTranslate2 int8 with their tokenizer."""

import json
import shutil
from pathlib import Path

from serve.weights_errors import ConversionError

TOKENIZER_FILES = ("source.spm", "target.spm", "vocab.json", "tokenizer_config.json")
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
LIMITS = "limits.json"
"""Beside the converted model: max_tokens, of a sentence with its end and of its translation."""


def check_layout(folder: Path, name: str, target_token: str) -> None:
    """ConversionError unless the folder has what a Helsinki-NLP repository has."""
    required = [*TOKENIZER_FILES[:3], "config.json"]
    missing = [file for file in required if not (folder / file).exists()]
    if not any((folder / file).exists() for file in WEIGHTS):
        missing.append(" or ".join(WEIGHTS))
    if missing:
        raise ConversionError(f"{name}: not an Opus-MT model: {', '.join(missing)} missing")
    try:
        vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConversionError(f"{name}: vocab.json is not JSON") from error
    if target_token and target_token not in vocabulary:
        raise ConversionError(f"{name}: the model does not know the token {target_token!r}; correct target_token")


def convert_marian(folder: Path, out: Path, *, name: str, target_token: str = "") -> None:
    """Writes model.bin, config.json, shared_vocabulary.json, limits.json and the tokenizer's files into out.

    target_token is the >>lang<< token the entry says every sentence needs; it must be in the vocabulary.
    """
    check_layout(folder, name, target_token)
    from ctranslate2.converters import TransformersConverter  # noqa: PLC0415 - imports torch and transformers

    try:
        TransformersConverter(str(folder)).convert(str(out), quantization="int8", force=True)
    except (ValueError, KeyError, RuntimeError, TypeError, AttributeError) as error:
        raise ConversionError(f"{name}: CTranslate2 could not convert it: {error}") from error
    for file in TOKENIZER_FILES:
        if (folder / file).exists():
            shutil.copyfile(folder / file, out / file)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    limits = {"max_tokens": int(config.get("max_position_embeddings", 512))}
    (out / LIMITS).write_text(json.dumps(limits), encoding="utf-8")
