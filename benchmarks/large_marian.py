"""A Marian of the real Opus-MT's size with random weights: what speed is measured on where no model hub is reached."""

import json
import shutil
from pathlib import Path

import torch
from transformers import GenerationConfig, MarianConfig, MarianMTModel

SYMBOLS = 58_000
STARTER = Path(__file__).resolve().parents[1] / "model_repo" / "starter" / "opus-mt-en-es"
SENTENCEPIECE = ("source.spm", "target.spm")


def make(folder: Path, *, d_model: int = 512, ffn: int = 2048, layers: int = 6, seed: int = 0) -> Path:
    """Writes the files of a Helsinki-NLP repository unless they are there: 6 + 6 layers, d_model 512, 58,000 symbols,
    and the starter set's tokenizer, whose vocabulary is filled up. The <pad> row is zero, as in the real ones.
    """
    if (folder / "model.safetensors").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    for name in SENTENCEPIECE:
        shutil.copyfile(STARTER / name, folder / name)
    _write_vocabulary(folder)
    torch.manual_seed(seed)
    pad = SYMBOLS - 1
    config = MarianConfig(
        vocab_size=SYMBOLS,
        decoder_vocab_size=SYMBOLS,
        d_model=d_model,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_attention_heads=8,
        decoder_attention_heads=8,
        encoder_ffn_dim=ffn,
        decoder_ffn_dim=ffn,
        activation_function="swish",
        scale_embedding=True,
        max_position_embeddings=512,
        pad_token_id=pad,
        decoder_start_token_id=pad,
        eos_token_id=0,
        forced_eos_token_id=0,
    )
    model = MarianMTModel(config).eval()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        model.get_input_embeddings().weight[pad] = 0
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        pad_token_id=pad, decoder_start_token_id=pad, eos_token_id=0, bad_words_ids=[[pad]]
    )
    model.save_pretrained(folder)
    return folder


def _write_vocabulary(folder: Path) -> None:
    known = json.loads((STARTER / "vocab.json").read_text(encoding="utf-8"))
    pieces = [piece for piece in sorted(known, key=known.__getitem__) if piece != "<pad>"]
    pieces += [f"▁symbol{number}" for number in range(SYMBOLS - 1 - len(pieces))] + ["<pad>"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    config = json.loads((STARTER / "tokenizer_config.json").read_text(encoding="utf-8"))
    del config["added_tokens_decoder"]  # says where <pad> is in the small vocabulary
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
