"""Opus-MT: Marian models converted to CTranslate2, one per language pair, batched per pair."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from threading import Lock
from typing import Any

import ctranslate2
import numpy as np
import sentencepiece

from serve.errors import ModelError, internal, invalid, not_found
from serve.models.base import Answer, Tensors, WeightSet, base_language, texts

PIVOT = "en"
MAX_HYPOTHESES = 8
LENGTH_STEPS = (16, 32, 64, 128, 256, 512)
"""Rows are batched with rows of the same step, and the step alone bounds the output: a row's translation never
depends on its neighbours."""

REPEATED = re.compile(r"(\b\w[\w' ,-]{2,60}?\b)(?:[\s,.;]+\1\b){3,}", re.IGNORECASE)
"""The same words at least four times in a row: Marian's loop."""

PATIENCE = 2.0
"""At 1, CTranslate2 ends a search once as many hypotheses as beams have ended, however poor: a sentence with some words
dropped can end before the whole one and win. transformers goes on, and with 2 both find the same sentence."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A translation and its log-probability per token."""

    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Row:
    """One sentence of one request, after validation."""

    text: str
    source: str
    target: str
    hypotheses: int


class Marian:
    """One pair: sentencepiece on both sides and a CTranslate2 translator."""

    def __init__(self, weights: WeightSet, *, compute_type: str, beam_size: int, max_tokens: int) -> None:
        folder = weights.folder
        self.name = weights.name
        self._source = sentencepiece.SentencePieceProcessor(str(folder / "source.spm"))
        self._target = sentencepiece.SentencePieceProcessor(str(folder / "target.spm"))
        self._prefix = [weights.facts["target_token"]] if weights.facts.get("target_token") else []
        self._net = ctranslate2.Translator(
            str(folder), device="cpu", compute_type=compute_type, inter_threads=1, intra_threads=1
        )
        self._beam_size = beam_size
        self.max_tokens = min(max_tokens, int(weights.facts.get("max_tokens", max_tokens)))

    def pieces(self, text: str) -> list[str]:
        """Source tokens as Marian wants them, with the end of sentence."""
        return [*self._prefix, *self._source.encode(text, out_type=str), "</s>"]

    def translate(self, sentences: Sequence[Sequence[str]], hypotheses: int, **options: Any) -> list[list[Hypothesis]]:
        """Translations of tokenised sentences, best first. All must lie in one step of LENGTH_STEPS."""
        longest = max(len(sentence) for sentence in sentences)
        results = self._net.translate_batch(
            [list(sentence) for sentence in sentences],
            beam_size=max(self._beam_size, hypotheses),
            patience=PATIENCE,
            num_hypotheses=hypotheses,
            return_scores=True,
            max_decoding_length=min(self.max_tokens, 2 * _step(longest) + 16),
            max_input_length=0,
            **options,
        )
        return [
            [Hypothesis(self._join(tokens), float(score)) for tokens, score in zip(r.hypotheses, r.scores, strict=True)]
            for r in results
        ]

    def _join(self, tokens: Sequence[str]) -> str:
        words = [token for token in tokens if token not in ("</s>", "<pad>", "<unk>")]
        return str(self._target.decode_pieces(words)).replace("▁", " ").strip()


class OpusMt:
    """All pairs of the loaded weights. Inputs and outputs as in model_repo/opus_mt/config.pbtxt.

    A pair without a model of its own is translated through English. Text with fewer than two letters or digits, and
    text that is in the target language already, is passed through with score 0, whatever the pair. The n-best list of
    a pivot is that of its second leg.
    """

    def __init__(self, parameters: Mapping[str, str], weights: Sequence[WeightSet]) -> None:
        self._compute_type = parameters.get("compute_type", "int8")
        self._beam_size = int(parameters.get("beam_size", "4"))
        self._max_tokens = int(parameters.get("max_tokens", "510"))
        self._weights = list(weights)
        self._pairs: dict[tuple[str, str], Marian] = {}
        self._lock = Lock()

    def load(self) -> None:
        for weights in self._weights:
            pair = (base_language(weights.facts["source"]), base_language(weights.facts["target"]))
            model = Marian(
                weights, compute_type=self._compute_type, beam_size=self._beam_size, max_tokens=self._max_tokens
            )
            model.translate([model.pieces("Hello.")], 1)
            self._pairs[pair] = model

    def catalogue(self) -> list[dict[str, Any]]:
        return [dict(weights.facts) for weights in self._weights]

    def infer(self, batch: Sequence[Tensors], requested: Sequence[set[str]]) -> list[Answer]:
        del requested
        rows: list[list[Row] | ModelError] = [_caught(self._rows, request) for request in batch]
        flat = sorted({row for group in rows if not isinstance(group, ModelError) for row in group}, key=_order)
        done: dict[Row, list[Hypothesis] | ModelError] = {}
        with self._lock:
            for (source, target, count), same in groupby(flat, key=_order):
                members = list(same)
                done.update((row, [Hypothesis(row.text, 0.0)]) for row in members if _passes_through(row))
                members = [row for row in members if not _passes_through(row)]
                if members:
                    found = self._along(self._route(source, target), [row.text for row in members], count)
                    done.update(zip(members, found, strict=True))
        return [group if isinstance(group, ModelError) else _answer(group, done) for group in rows]

    def _rows(self, request: Tensors) -> list[Row]:
        """The request's sentences; ModelError for anything that cannot be translated."""
        count = len(request["TEXT"])
        sources = [base_language(code) for code in texts(request, "SOURCE", count)]
        targets = [base_language(code) for code in texts(request, "TARGET", count)]
        hypotheses = request["NUM_HYPOTHESES"].reshape(-1).tolist() if "NUM_HYPOTHESES" in request else [1] * count
        if len(set(hypotheses)) > 1:
            raise invalid(
                f"NUM_HYPOTHESES: rows of one call must ask for the same number, not {sorted(set(hypotheses))}"
            )
        if hypotheses and not 1 <= hypotheses[0] <= MAX_HYPOTHESES:
            raise invalid(f"NUM_HYPOTHESES: expected 1 to {MAX_HYPOTHESES}, got {hypotheses[0]}")
        rows = [Row(*row) for row in zip(texts(request, "TEXT", count), sources, targets, hypotheses, strict=True)]
        for index, row in enumerate(rows):
            self._check(index, row)
        return rows

    def _check(self, index: int, row: Row) -> None:
        if _passes_through(row):
            return
        if not row.source or not row.target:
            raise invalid(
                f"{'TARGET' if row.source else 'SOURCE'} row {index}: expected a language code, got an empty string"
            )
        first = self._route(row.source, row.target)[0]
        tokens = len(first.pieces(row.text))
        if tokens > first.max_tokens:
            raise invalid(
                f"TEXT row {index}: {tokens} tokens, {first.name} takes at most {first.max_tokens}; send sentences"
            )

    def _route(self, source: str, target: str) -> list[Marian]:
        """The models from source to target: one, or two through English. NOT_FOUND when nothing leads there."""
        direct = self._pairs.get((source, target))
        if direct:
            return [direct]
        there, onward = self._pairs.get((source, PIVOT)), self._pairs.get((PIVOT, target))
        if there and onward:
            return [there, onward]
        known = ", ".join(f"{a}→{b}" for a, b in sorted(self._pairs)) or "none"
        raise not_found(f"no translation model leads from '{source}' to '{target}'; loaded pairs: {known}")

    def _along(self, route: list[Marian], sentences: list[str], count: int) -> list[list[Hypothesis] | ModelError]:
        found: list[list[Hypothesis] | ModelError] = [[Hypothesis(text, 0.0)] for text in sentences]
        for leg, model in enumerate(route):
            wanted = count if leg == len(route) - 1 else 1
            current = [
                (i, f[0].text) for i, f in enumerate(found) if not isinstance(f, ModelError) and translatable(f[0].text)
            ]
            for (index, _), result in zip(current, _batched(model, [text for _, text in current], wanted), strict=True):
                found[index] = result
        return found


def translatable(text: str) -> bool:
    """Whether there is anything to translate: at least two letters or digits."""
    return sum(character.isalnum() for character in text) >= 2


def _passes_through(row: Row) -> bool:
    return row.source == row.target != "" or not translatable(row.text)


def _batched(model: Marian, sentences: list[str], count: int) -> list[list[Hypothesis] | ModelError]:
    """Translates in batches of one length step each, and once more alone what came out as a loop."""
    tokens = [model.pieces(sentence) for sentence in sentences]
    found: dict[int, list[Hypothesis] | ModelError] = {}
    order = sorted(range(len(tokens)), key=lambda i: len(tokens[i]))
    for _, same in groupby(order, key=lambda i: _step(len(tokens[i]))):
        indices = list(same)
        for index, result in zip(indices, _robust(model, [tokens[i] for i in indices], count), strict=True):
            found[index] = result
    for index, result in found.items():
        if not isinstance(result, ModelError) and looping(result[0].text, len(tokens[index])):
            found[index] = _robust(model, [tokens[index]], count, no_repeat_ngram_size=4, repetition_penalty=1.2)[0]
    return [found[index] for index in range(len(sentences))]


def _robust(
    model: Marian, sentences: list[list[str]], count: int, **options: Any
) -> list[list[Hypothesis] | ModelError]:
    """A batch that fails is done again row by row, so that one bad row harms no other."""
    try:
        return list(model.translate(sentences, count, **options))
    except (RuntimeError, ValueError) as error:
        if len(sentences) == 1:
            return [
                internal(f"TEXT: {model.name} could not translate a sentence of {len(sentences[0])} tokens: {error}")
            ]
        return [_robust(model, [sentence], count, **options)[0] for sentence in sentences]


def looping(text: str, source_tokens: int) -> bool:
    """Whether a translation repeats itself or is far longer than its source can explain."""
    return REPEATED.search(text) is not None or len(text.split()) > 3 * source_tokens + 20


def _step(length: int) -> int:
    return next((step for step in LENGTH_STEPS if length <= step), LENGTH_STEPS[-1])


def _order(row: Row) -> tuple[str, str, int]:
    return row.source, row.target, row.hypotheses


def _caught(function: Any, request: Tensors) -> Any:
    try:
        return function(request)
    except ModelError as error:
        return error


def _answer(rows: list[Row], done: Mapping[Row, list[Hypothesis] | ModelError]) -> Answer:
    """TRANSLATIONS and SCORES [b, n], padded with "" and -inf where fewer were found."""
    width = max((row.hypotheses for row in rows), default=1)
    translations = np.full((len(rows), width), b"", dtype=np.object_)
    scores = np.full((len(rows), width), -np.inf, np.float32)
    for index, row in enumerate(rows):
        found = done[row]
        if isinstance(found, ModelError):
            return found
        for rank, hypothesis in enumerate(found[:width]):
            translations[index, rank] = hypothesis.text.encode("utf-8")
            scores[index, rank] = hypothesis.score
    return {"TRANSLATIONS": translations, "SCORES": scores}
