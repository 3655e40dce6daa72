"""One Marian model in CTranslate2: tokenised sentences in, n-best lists out, batched by tokens."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import ctranslate2
import sentencepiece

from serve.convert_marian import LIMITS
from serve.devices import Device, device_for
from serve.errors import ModelError, internal
from serve.models.base import WeightSet
from serve.runner import out_of_memory

LENGTH_STEPS = (16, 32, 64, 128, 256, 512)
"""Sentences are batched with sentences of the same step, and the step alone bounds the output: a translation never
depends on its neighbours."""

PATIENCE = 2.0
"""At 1, CTranslate2 ends a search once as many hypotheses as beams have ended, however poor: a sentence with some words
dropped can end before the whole one and win. transformers goes on, and with 2 both find the same sentence."""

NO_WORDS = ("</s>", "<pad>", "<unk>")
WARM_UP = "Hello."


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A translation and its log-probability per token."""

    text: str
    score: float


Found = list[Hypothesis] | ModelError
"""A sentence's hypotheses, best first."""


@dataclass(frozen=True, slots=True)
class Search:
    """How models compute, from the parameters of config.pbtxt.

    threads: batches at the same time, one core each. max_batch_tokens: source tokens of a batch, padding included.
    forced_tokens: every translation has exactly so many tokens, and no guard asks for another: equal work for
    benchmarks with random weights; 0 for everything else.
    """

    device: Device = "cpu"
    compute_type: str = "int8"
    threads: int = 1
    beam_size: int = 4
    max_tokens: int = 510
    max_batch_tokens: int = 2048
    forced_tokens: int = 0

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> "Search":
        """As configured; what is left out has its default."""
        numbers = ("threads", "beam_size", "max_tokens", "max_batch_tokens", "forced_tokens")
        given = {name: int(parameters[name]) for name in numbers if name in parameters}
        device = device_for(parameters)
        compute_type = parameters.get("compute_type", "int8")
        return cls(device=device, compute_type=compute_type, **given)


class Marian:
    """sentencepiece on both sides and a CTranslate2 translator. Any number of threads may use it."""

    def __init__(self, weights: WeightSet, search: Search) -> None:
        folder = weights.folder
        self.name = weights.name
        self.search = search
        limits = json.loads((folder / LIMITS).read_text(encoding="utf-8"))
        self.max_tokens = min(search.max_tokens, int(limits["max_tokens"]))
        self._source = sentencepiece.SentencePieceProcessor(str(folder / "source.spm"))
        self._target = sentencepiece.SentencePieceProcessor(str(folder / "target.spm"))
        self._prefix = [weights.facts["target_token"]] if weights.facts.get("target_token") else []
        self._net = ctranslate2.Translator(
            str(folder),
            device=search.device,
            compute_type=search.compute_type,
            inter_threads=search.threads,
            intra_threads=1,
        )
        self.translate([self.pieces(WARM_UP)] * search.threads, 1)

    def pieces(self, text: str) -> list[str]:
        """Source tokens as Marian wants them, with the end of sentence."""
        return [*self._prefix, *self._source.encode(text, out_type=str), "</s>"]

    def translate(self, sentences: Sequence[Sequence[str]], hypotheses: int, **options: Any) -> list[Found]:
        """Translations of tokenised sentences, in order. A sentence that fails harms no other."""
        batches = batches_of([len(sentence) for sentence in sentences], self.search)
        running = [self._started([sentences[i] for i in batch], hypotheses, options) for batch in batches]
        found: dict[int, Found] = {}
        for batch, results in zip(batches, running, strict=True):
            try:
                found.update(zip(batch, [self._hypotheses(each.result()) for each in results], strict=True))
            except (RuntimeError, ValueError) as error:
                if out_of_memory(error):
                    raise
                found.update((i, self._alone(sentences[i], hypotheses, options)) for i in batch)
        return [found[i] for i in range(len(sentences))]

    def _started(self, sentences: Sequence[Sequence[str]], hypotheses: int, options: Mapping[str, Any]) -> list[Any]:
        """Futures, one a sentence. All sentences lie in one step of LENGTH_STEPS."""
        longest = max(len(sentence) for sentence in sentences)
        forced = self.search.forced_tokens
        return self._net.translate_batch(  # type: ignore[no-any-return]
            [list(sentence) for sentence in sentences],
            asynchronous=True,
            beam_size=max(self.search.beam_size, hypotheses),
            patience=PATIENCE,
            num_hypotheses=hypotheses,
            return_scores=True,
            min_decoding_length=forced or 1,
            max_decoding_length=forced or min(self.max_tokens, 2 * step_of(longest) + 16),
            max_input_length=0,
            **options,
        )

    def _alone(self, sentence: Sequence[str], hypotheses: int, options: Mapping[str, Any]) -> Found:
        try:
            return self._hypotheses(self._started([sentence], hypotheses, options)[0].result())
        except (RuntimeError, ValueError) as error:
            if out_of_memory(error):
                raise
            return internal(f"TEXT: {self.name} could not translate a sentence of {len(sentence)} tokens: {error}")

    def _hypotheses(self, result: Any) -> list[Hypothesis]:
        return [
            Hypothesis(self._join(tokens), float(score))
            for tokens, score in zip(result.hypotheses, result.scores, strict=True)
        ]

    def _join(self, tokens: Sequence[str]) -> str:
        words = [token for token in tokens if token not in NO_WORDS]
        return str(self._target.decode_pieces(words)).replace("▁", " ").strip()


def step_of(length: int) -> int:
    """The step of LENGTH_STEPS that a sentence of so many tokens belongs to."""
    return next((step for step in LENGTH_STEPS if length <= step), LENGTH_STEPS[-1])


def batches_of(lengths: Sequence[int], search: Search) -> list[list[int]]:
    """Indices of sentences in batches, the longest first: each of one step and of at most max_batch_tokens, and as
    large as leaves every thread about the same work.
    """
    total = sum(step_of(length) for length in lengths)
    limit = min(search.max_batch_tokens, -(-total // search.threads))
    batches: list[list[int]] = []
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    for step, same in groupby(order, key=lambda i: step_of(lengths[i])):
        indices = list(same)
        count = min(len(indices), -(-len(indices) * step // max(limit, step)))
        edges = [len(indices) * edge // count for edge in range(count + 1)]
        batches += [indices[start:end] for start, end in pairwise(edges)]
    return batches
