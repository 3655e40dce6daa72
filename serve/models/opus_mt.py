"""Opus-MT: Marian models converted to CTranslate2, one per language pair, loaded when they are asked for."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from serve.errors import ModelError, invalid, not_found
from serve.models.base import Answer, Tensors, WeightSet, base_language, texts
from serve.models.marian import Found, Hypothesis, Marian, Search
from serve.models.translation import laid_out, translated

PIVOT = "en"
MAX_HYPOTHESES = 8
BYTES_PER_TOKEN = 4
"""About as many as a sentencepiece token of Opus-MT has, in UTF-8."""

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """One text of one request, after validation."""

    text: str
    source: str
    target: str
    hypotheses: int


@dataclass(frozen=True, slots=True)
class Route:
    """The models from one language to another: one, two through English, or none where they are the same."""

    legs: tuple[Marian, ...]


class OpusMt:
    """All pairs of the weights. Inputs and outputs as in model_repo/opus_mt/config.pbtxt.

    A pair without a model of its own is translated through English; its n-best list is that of the second leg, and its
    scores are the sums of both legs'. Lines without a word, and texts already in the target language, are passed
    through with score 0. Newlines stay.

    A route is loaded by `open` and stays loaded as long as what it returned is referenced. `infer` opens what nobody
    has opened, and keeps it for good.
    """

    def __init__(self, parameters: Mapping[str, str], weights: Sequence[WeightSet]) -> None:
        self._search = Search.of(parameters)
        self._weights = {(base_language(w.facts["source"]), base_language(w.facts["target"])): w for w in weights}
        self._loaded: WeakValueDictionary[str, Marian] = WeakValueDictionary()
        self._loading = {w.name: Lock() for w in weights}
        self._kept: set[Marian] = set()

    def load(self) -> None:
        """Nothing is common to all pairs; each is loaded and warmed up by `open`."""

    def catalogue(self) -> list[dict[str, Any]]:
        """What each pair's weights are."""
        return [dict(weights.facts) for weights in self._weights.values()]

    def keys(self) -> list[str]:
        """One "source,target" a set of weights."""
        return [",".join(pair) for pair in self._weights]

    def open(self, key: str) -> Route:
        """The models that translate "source,target", loaded: none where the source is unknown, as that of silence is,
        from which only empty text is translated. NOT_FOUND when none lead there.
        """
        source, _, target = key.partition(",")
        if not base_language(source):
            return Route(())
        return Route(tuple(self._marian(weights) for weights in self._route(*_pair(source, target))))

    def lane(self, inputs: Tensors) -> Hashable:
        """Requests of one pair and number of hypotheses share a batch."""
        row = self._rows(inputs)[0]
        return row.source, row.target, row.hypotheses

    def size(self, inputs: Tensors) -> int:
        """About how many tokens a request has."""
        return sum(len(value) // BYTES_PER_TOKEN + 2 for value in inputs["TEXT"].reshape(-1))

    def infer(self, batch: Sequence[Tensors], requested: Sequence[set[str]]) -> list[Answer]:
        """TRANSLATIONS and SCORES of each request, or why it cannot be translated."""
        del requested
        requests = [self._caught(request) for request in batch]
        rows = {row for group in requests if not isinstance(group, ModelError) for row in group}
        done: dict[Row, Found] = {}
        for (source, target, count), same in groupby(sorted(rows, key=_order), key=_order):
            members = list(same)
            done.update(zip(members, self._along((source, target), members, count), strict=True))
        return [group if isinstance(group, ModelError) else _answer(group, done) for group in requests]

    def _caught(self, request: Tensors) -> list[Row] | ModelError:
        try:
            return self._rows(request)
        except ModelError as error:
            return error

    def _rows(self, request: Tensors) -> list[Row]:
        """The request's texts; ModelError for anything that cannot be translated."""
        count = len(request["TEXT"])
        hypotheses = request["NUM_HYPOTHESES"].reshape(-1).tolist() if "NUM_HYPOTHESES" in request else [1] * count
        if len(set(hypotheses)) > 1:
            raise invalid(
                f"NUM_HYPOTHESES: rows of one call must ask for the same number, not {sorted(set(hypotheses))}"
            )
        if hypotheses and not 1 <= hypotheses[0] <= MAX_HYPOTHESES:
            raise invalid(f"NUM_HYPOTHESES: expected 1 to {MAX_HYPOTHESES}, got {hypotheses[0]}")
        said, targets = texts(request, "TEXT", count), texts(request, "TARGET", count)
        sources = [
            source if text.strip() else source or target
            for source, target, text in zip(texts(request, "SOURCE", count), targets, said, strict=True)
        ]
        pairs = [_pair(*each, row) for row, each in enumerate(zip(sources, targets, strict=True))]
        for pair in set(pairs):
            self._route(*pair)
        return [Row(text, *pair, number) for text, pair, number in zip(said, pairs, hypotheses, strict=True)]

    def _route(self, source: str, target: str) -> list[WeightSet]:
        """The weights from source to target: one set, two through English, none where they are the same language.
        NOT_FOUND when nothing leads there.
        """
        if source == target:
            return []
        direct = self._weights.get((source, target))
        if direct:
            return [direct]
        there, onward = self._weights.get((source, PIVOT)), self._weights.get((PIVOT, target))
        if there and onward:
            return [there, onward]
        known = ", ".join(f"{a}→{b}" for a, b in sorted(self._weights)) or "none"
        raise not_found(f"no translation model leads from '{source}' to '{target}'; loaded pairs: {known}")

    def _marian(self, weights: WeightSet, *, keep: bool = False) -> Marian:
        """The model of these weights. One caller loads it, the others wait for that one, and other pairs for nobody."""
        with self._loading[weights.name]:
            marian = self._loaded.get(weights.name)
            if marian is None:
                marian = self._loaded[weights.name] = Marian(weights, self._search)
                if keep:
                    self._kept.add(marian)
        return marian

    def _along(self, pair: Pair, rows: Sequence[Row], count: int) -> list[Found]:
        """Translations of rows of one pair, one leg after the other."""
        found: list[Found] = [[Hypothesis(row.text, 0.0)] for row in rows]
        route = self._route(*pair)
        for weights in route:
            wanted = count if weights is route[-1] else 1
            found = _leg(self._marian(weights, keep=True), found, wanted)
        return found


def _leg(marian: Marian, before: Sequence[Found], count: int) -> list[Found]:
    """What came out of the leg before, translated on; what failed there stays failed."""
    found = list(before)
    layouts = {}
    for index, each in enumerate(before):
        if not isinstance(each, ModelError):
            try:
                layouts[index] = laid_out(marian, each[0].text)
            except ValueError as error:
                limit = f"{marian.name} takes at most {marian.max_tokens} at once"
                found[index] = invalid(f"TEXT: {error}; {limit}: send sentences")
    for index, each in zip(layouts, translated(marian, list(layouts.values()), count), strict=True):
        source = before[index]
        found[index] = (
            each
            if isinstance(each, ModelError) or isinstance(source, ModelError)
            else [Hypothesis(hypothesis.text, hypothesis.score + source[0].score) for hypothesis in each]
        )
    return found


def _pair(source: str, target: str, row: int = 0) -> Pair:
    """Both languages without region; INVALID_ARGUMENT when one is empty."""
    for name, code in (("SOURCE", source), ("TARGET", target)):
        if not base_language(code):
            raise invalid(f"{name} row {row}: expected a language code, got an empty string")
    return base_language(source), base_language(target)


def _order(row: Row) -> tuple[str, str, int]:
    return row.source, row.target, row.hypotheses


def _answer(rows: Sequence[Row], done: Mapping[Row, Found]) -> Answer:
    """TRANSLATIONS and SCORES [b, n], padded with "" and -inf where fewer were found."""
    width = max((row.hypotheses for row in rows), default=1)
    translations = np.full((len(rows), width), b"", dtype=np.object_)
    scores = np.full((len(rows), width), -np.inf, np.float32)
    for index, row in enumerate(rows):
        found = done[row]
        if isinstance(found, ModelError):
            return ModelError(found.code, found.message.replace("TEXT", f"TEXT row {index}", 1))
        for rank, hypothesis in enumerate(found[:width]):
            translations[index, rank] = hypothesis.text.encode("utf-8")
            scores[index, rank] = hypothesis.score
    return {"TRANSLATIONS": translations, "SCORES": scores}
