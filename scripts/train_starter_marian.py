"""Trains the starter set's Marian models, in the file layout of Helsinki-NLP/opus-mt-*.

    python scripts/train_starter_marian.py [en-es es-en en-de] [--steps N] [--out model_repo/starter]

Each is a Marian transformer of 2 + 2 layers and 80 dimensions that knows the sentences of starter_phrases.toml and
combinations of its templates, and nothing else: a toy, marked as such in the catalogue. One thread, fixed seeds.
The <pad> embedding stays zero, as in the real ones: CTranslate2 starts its decoder from a zero vector.
"""

import argparse
import contextlib
import io
import itertools
import json
import os
import random
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import sentencepiece
import torch
from transformers import GenerationConfig, MarianConfig, MarianMTModel, MarianTokenizer

PHRASES = Path(__file__).with_name("starter_phrases.toml")
STARTER = Path(__file__).resolve().parent.parent / "model_repo" / "starter"
COLUMN = {"en": 0, "es": 1, "de": 2}
PERSONS = ("1s", "2s", "3s", "1p", "3p")
PAIRS = ("en-es", "es-en", "en-de")
HELD_OUT = 60  # template sentences never trained on
PIECES = 400  # of sentencepiece, each side
BATCH = 64
PEAK_RATE = 3e-3

Row = tuple[str, str, str]  # English, Spanish, German


def clause(subject: str, verb: str, thing: str, when: str, language: str) -> str:
    """One template sentence; German puts the time before the object."""
    parts = (subject, verb, when, thing) if language == "de" else (subject, verb, thing, when)
    return " ".join(part for part in parts if part) + "."


def templates(table: dict[str, Any]) -> list[Row]:
    """Every combination of the templates, as rows of the three languages."""
    rows: list[Row] = []
    for subject, verb, thing, when in itertools.product(
        table["subjects"], table["verbs"], table["objects"], table["times"]
    ):
        person = PERSONS.index(subject[0])
        en, es, de = (
            clause(subject[1 + column], verb[code][person], thing[column], when[column], code)
            for code, column in COLUMN.items()
        )
        rows.append((en, es, de))
    for row, name in itertools.product(table["naming"], table["names"]):
        rows.append((row[0].format(name), row[1].format(name), row[2].format(name)))
    for row, number in itertools.product(table["counting"], table["numbers"]):
        rows.append((row[0].format(number[0]), row[1].format(number[1]), row[2].format(number[2])))
    return rows


def recase(text: str, upper: bool) -> str:
    """The text with its first letter (after an opening ¿ or ¡) in the wanted case."""
    at = 1 if text[0] in "¿¡" else 0
    first = text[at].upper() if upper else text[at].lower()
    return text[:at] + first + text[at + 1 :]


def variants(source: str, target: str) -> Iterator[tuple[str, str]]:
    """A pair as a recogniser may write it: without the full stop, comma or hyphen, in small letters."""
    yield source, target
    bare, bare_target = source.rstrip(".,"), target.rstrip(".,")
    plain = source.replace(",", "")
    lower, lower_target = recase(source, upper=False), recase(target, upper=False)
    capital = recase(source, upper=True)
    options = [
        (bare, bare_target),
        (plain, target),
        (plain.replace("-", " "), target),
        (source.replace("Mr.", "Mr").replace("Mr ", "Mister "), target),
        (bare.lower().replace("mr.", "mister").replace(",", ""), recase(bare_target, upper=False)),
        (capital, recase(target, upper=True)),
    ]
    if not source.startswith(("I ", "And Mr")):
        options.append((lower, lower_target))
    seen = {source}
    for text, wanted in options:
        if text not in seen:
            seen.add(text)
            yield text, wanted


def corpus(pair: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]], list[tuple[str, str]]]:
    """(training pairs, the known sentences every model must have by heart, held-out template pairs)."""
    source, target = (COLUMN[code] for code in pair.split("-"))
    table = tomllib.loads(PHRASES.read_text(encoding="utf-8"))
    combined = [(row[source], row[target]) for row in templates(table)]
    random.Random(0).shuffle(combined)
    held_out, combined = combined[:HELD_OUT], combined[HELD_OUT:]
    known: dict[str, str] = {}
    for row in table["story"] + table["heard"] + table["everyday"]:
        known.setdefault(row[source], row[target])
    varied: dict[str, str] = dict(known)
    for text, wanted in known.items():
        for variant, variant_wanted in variants(text, wanted):
            varied.setdefault(variant, variant_wanted)
    joined = [(f"{a[source]} {b[source]}", f"{a[target]} {b[target]}") for a, b in itertools.pairwise(table["story"])]
    training = combined + list(varied.items()) * 2 + joined * 2
    return training, list(known.items()), held_out


def train_pieces(texts: list[str], out: Path) -> sentencepiece.SentencePieceProcessor:
    """A small unigram sentencepiece model; no normalisation table, which alone would weigh 240 kB."""
    with tempfile.TemporaryDirectory() as scratch:
        prefix = Path(scratch) / "pieces"
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_prefix=str(prefix),
            vocab_size=PIECES,
            hard_vocab_limit=False,
            character_coverage=1.0,
            normalization_rule_name="identity",
            num_threads=1,
            minloglevel=2,
        )
        out.write_bytes(prefix.with_suffix(".model").read_bytes())
    return sentencepiece.SentencePieceProcessor(str(out))


def make_tokenizer(pair: str, training: list[tuple[str, str]], out: Path) -> MarianTokenizer:
    """source.spm, target.spm and the shared vocab.json, as Helsinki's tools lay them out: </s>, <unk>, …, <pad>."""
    vocabulary = {"</s>": 0, "<unk>": 1}
    for side, name in enumerate(("source.spm", "target.spm")):
        pieces = train_pieces(sorted({row[side] for row in training}), out / name)
        for piece in range(pieces.get_piece_size()):
            if not (pieces.is_control(piece) or pieces.is_unknown(piece)):
                vocabulary.setdefault(pieces.id_to_piece(piece), len(vocabulary))
    vocabulary["<pad>"] = len(vocabulary)
    (out / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    source, target = pair.split("-")
    tokenizer = MarianTokenizer(
        str(out / "source.spm"),
        str(out / "target.spm"),
        str(out / "vocab.json"),
        source_lang=source,
        target_lang=target,
    )
    tokenizer.save_pretrained(out)
    return tokenizer


def make_model(vocabulary: int, pad: int) -> MarianMTModel:
    """An untrained Marian model of about 380,000 parameters."""
    passed_through: dict[str, Any] = {"static_position_embeddings": True, "normalize_before": False}
    return MarianMTModel(
        MarianConfig(
            vocab_size=vocabulary,
            d_model=80,
            encoder_layers=2,
            decoder_layers=2,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            encoder_ffn_dim=256,
            decoder_ffn_dim=256,
            max_position_embeddings=256,
            activation_function="swish",
            scale_embedding=True,
            share_encoder_decoder_embeddings=True,
            tie_word_embeddings=True,
            pad_token_id=pad,
            eos_token_id=0,
            decoder_start_token_id=pad,
            forced_eos_token_id=0,
            dropout=0.1,
            **passed_through,
        )
    )


def train(model: MarianMTModel, tokenizer: MarianTokenizer, pairs: list[tuple[str, str]], steps: int) -> None:
    """AdamW with a linear warm-up and decay; batches of sentences of like length."""
    pad = int(tokenizer.pad_token_id)
    encoded = tokenizer([a for a, _ in pairs], text_target=[b for _, b in pairs])
    rows = list(zip(encoded["input_ids"], encoded["labels"], strict=True))
    optimiser = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, weight_decay=0.01)
    order = random.Random(1)
    model.train()
    started = time.monotonic()
    queue: list[list[int]] = []
    for step in range(steps):
        if not queue:
            indices = sorted(range(len(rows)), key=lambda i: len(rows[i][0]) + len(rows[i][1]) + order.random() * 8)
            queue = [indices[at : at + BATCH] for at in range(0, len(indices), BATCH)]
            order.shuffle(queue)
        chosen = [rows[i] for i in queue.pop()]
        source = torch.nn.utils.rnn.pad_sequence([torch.tensor(a) for a, _ in chosen], True, pad)
        labels = torch.nn.utils.rnn.pad_sequence([torch.tensor(b) for _, b in chosen], True, -100)
        for group in optimiser.param_groups:
            group["lr"] = PEAK_RATE * min(1.0, (step + 1) / 200) * max(0.02, 1 - step / steps)
        loss = model(input_ids=source, attention_mask=torch.ne(source, pad).long(), labels=labels).loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        with torch.no_grad():
            model.model.shared.weight[pad] = 0
        if step % 200 == 199:
            print(f"step {step + 1} loss {loss.item():.4f} {time.monotonic() - started:.0f} s", flush=True)


def save(model: MarianMTModel, out: Path) -> None:
    """Half-precision weights (half the size in git) under a config that asks for single precision when loaded."""
    pad = model.config.pad_token_id
    model.eval().half()  # type: ignore[no-untyped-call]
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        pad_token_id=pad,
        eos_token_id=0,
        decoder_start_token_id=pad,
        forced_eos_token_id=0,
        num_beams=4,
        max_length=256,
        bad_words_ids=[[pad]],
    )
    with contextlib.redirect_stderr(io.StringIO()):
        model.save_pretrained(out)
    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    config["dtype"] = "float32"
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def accuracy(folder: Path, pairs: list[tuple[str, str]]) -> float:
    """Share of pairs the saved model translates exactly."""
    tokenizer = MarianTokenizer.from_pretrained(folder)
    model = MarianMTModel.from_pretrained(folder).eval()  # type: ignore[no-untyped-call]
    right = 0
    for at in range(0, len(pairs), 32):
        part = pairs[at : at + 32]
        tokens = model.generate(**tokenizer([a for a, _ in part], return_tensors="pt", padding=True))
        for text, (source, wanted) in zip(tokenizer.batch_decode(tokens, skip_special_tokens=True), part, strict=True):
            right += text == wanted
            if text != wanted:
                print(f"  {source!r} -> {text!r}, wanted {wanted!r}")
    return right / len(pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pairs", nargs="*", default=PAIRS, help=f"any of {', '.join(PAIRS)}")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--out", type=Path, default=STARTER)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for pair in options.pairs:
        out = options.out / f"opus-mt-{pair}"
        out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(0)
        training, known, held_out = corpus(pair)
        tokenizer = make_tokenizer(pair, training, out)
        model = make_model(len(tokenizer), tokenizer.pad_token_id)
        print(pair, "pairs", len(training), "vocabulary", len(tokenizer), "parameters", model.num_parameters())
        train(model, tokenizer, training, options.steps)
        save(model, out)
        size = sum(path.stat().st_size for path in out.iterdir())
        print(f"{pair}: known {accuracy(out, known):.3f}, unseen {accuracy(out, held_out):.3f}, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
