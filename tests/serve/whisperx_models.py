"""Small models of random weights in the very layouts WhisperX loads: what they say means nothing, all else is real."""

import json
import os
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import yaml

LETTERS = "abcdefghijklmnopqrstuvwxyz'"
DIMENSION = 16
PIPELINE = {
    "dependencies": {"pyannote.audio": "4.0.0"},
    "pipeline": {
        "name": "pyannote.audio.pipelines.SpeakerDiarization",
        "params": {
            "clustering": "VBxClustering",
            "segmentation": "$model/segmentation",
            "segmentation_step": 0.25,
            "segmentation_batch_size": 8,
            "embedding": "$model/embedding",
            "embedding_batch_size": 8,
            "embedding_exclude_overlap": True,
            "plda": "$model/plda",
        },
    },
    "params": {"clustering": {"threshold": 0.6, "Fa": 0.07, "Fb": 0.8}, "segmentation": {"min_duration_off": 0.0}},
}


def write_aligner(folder: Path, letters: str = LETTERS) -> Path:
    """A wav2vec2 CTC model of one layer with its tokenizer, as transformers saves it."""
    import torch  # noqa: PLC0415

    hub: Any = import_module("transformers")

    folder.mkdir(parents=True)
    symbols = {symbol: index for index, symbol in enumerate(["<pad>", "<s>", "</s>", "<unk>", "|", *letters])}
    vocabulary = folder / "symbols.json"
    vocabulary.write_text(json.dumps(symbols), encoding="utf-8")
    tokenizer = hub.Wav2Vec2CTCTokenizer(str(vocabulary))
    hub.Wav2Vec2Processor(feature_extractor=hub.Wav2Vec2FeatureExtractor(), tokenizer=tokenizer).save_pretrained(folder)
    vocabulary.unlink()
    torch.manual_seed(0)
    hub.Wav2Vec2ForCTC(
        hub.Wav2Vec2Config(
            vocab_size=len(symbols),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            conv_dim=(16,) * 7,
            num_conv_pos_embeddings=16,
            num_conv_pos_embedding_groups=4,
            pad_token_id=0,
        )
    ).save_pretrained(folder)
    return folder


def write_diarizer(folder: Path) -> Path:
    """A pyannote pipeline in the layout of speaker-diarization-community-1, saved by Lightning as pyannote's are."""
    os.environ["PYANNOTE_METRICS_ENABLED"] = "false"
    import torch  # noqa: PLC0415
    from pyannote.audio.core.task import Problem, Resolution, Specifications  # noqa: PLC0415
    from pyannote.audio.models.embedding import XVectorMFCC  # noqa: PLC0415
    from pyannote.audio.models.segmentation import PyanNet  # noqa: PLC0415

    torch.manual_seed(0)
    small = {"hidden_size": 8, "num_layers": 1}
    segmentation = PyanNet(sincnet={"stride": 10}, lstm=small, linear=small)
    segmentation.specifications = Specifications(
        problem=Problem.MONO_LABEL_CLASSIFICATION,
        resolution=Resolution.FRAME,
        duration=4.0,
        classes=["speaker#1", "speaker#2", "speaker#3"],
        powerset_max_classes=2,
        permutation_invariant=True,
    )
    embedding = XVectorMFCC(dimension=DIMENSION)
    embedding.specifications = Specifications(problem=Problem.REPRESENTATION, resolution=Resolution.CHUNK, duration=4.0)
    parts: dict[str, Any] = {"segmentation": segmentation, "embedding": embedding}
    for part, model in parts.items():
        model.build()
        if part == "segmentation":
            model.classifier.bias.data[1] += (
                5.0  # of silence, each speaker alone and each pair: one who speaks all the time
            )
        _save(model, folder / part / "pytorch_model.bin")
    random = np.random.default_rng(0)
    basis = np.linalg.qr(random.standard_normal((DIMENSION, DIMENSION)))[0]
    (folder / "plda").mkdir()
    zeros = np.zeros(DIMENSION)
    np.savez(folder / "plda" / "xvec_transform.npz", mean1=zeros, mean2=zeros, lda=basis)
    np.savez(folder / "plda" / "plda.npz", mu=zeros, tr=basis, psi=np.linspace(2, 0.5, DIMENSION))
    (folder / "config.yaml").write_text(yaml.safe_dump(PIPELINE), encoding="utf-8")
    return folder


def _save(model: Any, path: Path) -> None:
    from lightning.pytorch import Trainer  # noqa: PLC0415

    path.parent.mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = Trainer(
            accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False, barebones=False
        )
    trainer.strategy.connect(model)
    trainer.save_checkpoint(path, weights_only=True)
