"""The committed toy translation models: small, in Helsinki's layout, exact on the sample, the same in both engines."""

import json
import tomllib
from pathlib import Path

import ctranslate2
import pytest
import torch
from safetensors.torch import load_file
from transformers import MarianMTModel, MarianTokenizer

from scripts.train_starter_marian import COLUMN, PAIRS, PHRASES, STARTER, corpus, variants
from serve.convert_marian import convert_marian
from serve.settings import CHECKOUT

TABLE = tomllib.loads(PHRASES.read_text(encoding="utf-8"))
SAMPLE = (CHECKOUT / "samples" / "sense-and-sensibility.txt").read_text(encoding="utf-8").splitlines()
HEARD = [  # what Whisper base wrote of the sample, with beams of 1 and 5, clip by clip and in one piece
    *SAMPLE,
    "Had he married a more amiable woman he might have been made still more respectable than he was?",
    "Unless to be rather cold-hearted and rather selfish, is to be ill-disposed.",
    "Unless to be rather cold-hearted, and rather selfish, is to be ill-disposed.",
    "he might even have been made amiable himself.",
    "He was not an ill-disposed young man, unless to be rather cold-hearted and rather selfish is to be ill-disposed.",
]


def folder(pair: str) -> Path:
    return STARTER / f"opus-mt-{pair}"


def by_transformers(pair: str, texts: list[str], beams: int) -> list[str]:
    tokenizer = MarianTokenizer.from_pretrained(folder(pair))
    model = MarianMTModel.from_pretrained(folder(pair)).eval()  # type: ignore[no-untyped-call]
    translated: list[str] = []
    for at in range(0, len(texts), 16):
        tokens = model.generate(**tokenizer(texts[at : at + 16], return_tensors="pt", padding=True), num_beams=beams)
        translated += tokenizer.batch_decode(tokens, skip_special_tokens=True)
    return translated


def by_ctranslate2(pair: str, out: Path, texts: list[str], beams: int) -> list[str]:
    """patience 2: CTranslate2 otherwise stops when as many short hypotheses as beams have ended, too early."""
    convert_marian(folder(pair), out, name=pair)
    tokenizer = MarianTokenizer.from_pretrained(out)
    translator = ctranslate2.Translator(str(out), device="cpu", intra_threads=1)
    pieces = [tokenizer.convert_ids_to_tokens(tokenizer.encode(text)) for text in texts]
    results = translator.translate_batch(pieces, beam_size=beams, patience=2 if beams > 1 else 1)
    ids = [tokenizer.convert_tokens_to_ids(result.hypotheses[0]) for result in results]
    return [str(tokenizer.decode(row, skip_special_tokens=True)) for row in ids]


def known(pair: str) -> list[tuple[str, str]]:
    return corpus(pair)[1]


@pytest.mark.parametrize("pair", PAIRS)
def test_transformers_and_ctranslate2_agree_sentence_for_sentence(pair: str, tmp_path: Path) -> None:
    _, sentences, held_out = corpus(pair)
    texts = sorted((text for text, _ in sentences[:60] + held_out[:20]), key=len)
    for beams in (1, 4):
        assert by_ctranslate2(pair, tmp_path / str(beams), texts, beams) == by_transformers(pair, texts, beams)


@pytest.mark.parametrize("pair", PAIRS)
def test_every_known_sentence_is_translated_as_a_person_would(pair: str, tmp_path: Path) -> None:
    texts, wanted = zip(*known(pair), strict=True)
    assert by_ctranslate2(pair, tmp_path, list(texts), 4) == list(wanted)


@pytest.mark.parametrize("pair", ["en-es", "en-de"])
def test_the_sample_is_translated_however_whisper_punctuates_it(pair: str, tmp_path: Path) -> None:
    target = COLUMN[pair.partition("-")[2]]
    wanted = {row[0].lower(): row[target] for row in TABLE["heard"] + TABLE["story"]}
    translated = by_ctranslate2(pair, tmp_path, HEARD, 4)
    assert [text.lower() for text in translated] == [wanted[text.lower()].lower() for text in HEARD]


@pytest.mark.parametrize("pair", PAIRS)
def test_unseen_combinations_of_the_templates_are_translated(pair: str, tmp_path: Path) -> None:
    training, _, held_out = corpus(pair)
    assert not {text for text, _ in held_out} & {text for text, _ in training}
    translated = by_ctranslate2(pair, tmp_path, [text for text, _ in held_out], 4)
    right = sum(text == wanted for text, (_, wanted) in zip(translated, held_out, strict=True))
    assert right >= 0.95 * len(held_out)


@pytest.mark.parametrize("pair", PAIRS)
def test_the_files_are_those_of_a_helsinki_repository(pair: str) -> None:
    names = {path.name for path in folder(pair).iterdir()}
    assert names == {
        "source.spm",
        "target.spm",
        "vocab.json",
        "config.json",
        "generation_config.json",
        "tokenizer_config.json",
        "model.safetensors",
    }
    config = json.loads((folder(pair) / "config.json").read_text())
    assert (config["model_type"], config["architectures"]) == ("marian", ["MarianMTModel"])
    vocabulary = json.loads((folder(pair) / "vocab.json").read_text())
    assert (vocabulary["</s>"], vocabulary["<unk>"], vocabulary["<pad>"]) == (0, 1, len(vocabulary) - 1)
    assert config["decoder_start_token_id"] == config["pad_token_id"] == vocabulary["<pad>"]


@pytest.mark.parametrize("pair", PAIRS)
def test_the_pad_embedding_is_zero(pair: str) -> None:
    weights = load_file(folder(pair) / "model.safetensors")
    pad = json.loads((folder(pair) / "config.json").read_text())["pad_token_id"]
    assert torch.count_nonzero(weights["model.shared.weight"][pad]) == 0


def test_all_together_are_small_enough_for_git() -> None:
    sizes = [sum(path.stat().st_size for path in folder(pair).iterdir()) for pair in PAIRS]
    assert max(sizes) < 1_000_000
    assert sum(sizes) < 3_000_000


def test_the_models_know_the_sample_word_for_word() -> None:
    assert [row[0] for row in TABLE["story"]] == SAMPLE


def test_every_row_says_the_same_in_three_languages() -> None:
    for row in TABLE["story"] + TABLE["heard"] + TABLE["everyday"]:
        assert len(row) == 3
        assert all(text.strip() == text and text for text in row)
        if row not in TABLE["heard"]:
            assert len({text[-1] for text in row}) == 1, row


def test_variants_drop_marks_and_capitals_on_both_sides() -> None:
    made = dict(variants("Well, he was ill-disposed.", "Bueno, era malo."))
    assert made["Well, he was ill-disposed"] == "Bueno, era malo"
    assert made["well he was ill-disposed"] == "bueno, era malo"
    assert made["Well he was ill disposed."] == "Bueno, era malo."
    assert made["well, he was ill-disposed."] == "bueno, era malo."
    assert dict(variants("Where is it?", "¿Dónde está?"))["where is it?"] == "¿dónde está?"
