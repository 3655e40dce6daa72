"""Whisper on CTranslate2, batched across callers: fixed windows, one encode and generate per bucket, guarded.

A window's result depends on its own samples alone, never on its neighbours in a batch: the encoder's window follows
from the window's own length, the prompt is its own, and the token cap of a call follows from the bucket. A window in
which voice activity detection finds nobody speaking is not heard at all.
"""

import json
import math
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import ctranslate2
import numpy as np
import numpy.typing as npt
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_suppressed_tokens, merge_punctuations

from serve.devices import device_for
from serve.errors import ModelError, invalid
from serve.models import whisper_text as rules
from serve.models.base import Answer, Tensors, WeightSet, base_language, bytes_column, texts
from serve.models.vad import Vad

TASKS = ("transcribe", "translate")
FRAMES_PER_S = 100
HOP = 160
LONGEST_S = 30
PARALLEL_ROWS = {"cpu": "1", "cuda": "8"}
"""Rows the encoder and the aligner take in one call: on a CPU more do not fit its caches, and take a third longer."""

COMPUTE_TYPES = {"cpu": "int8", "cuda": "float16"}

PREPEND, APPEND = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、"


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """One row: samples [n] at 16 kHz, language or None to detect, the task, whether its words' times are wanted, and
    the seconds of speech in it.
    """

    audio: npt.NDArray[np.float32]
    language: str | None
    task: str
    timed: bool = True
    speech_s: float = math.inf

    @property
    def seconds(self) -> float:
        return len(self.audio) / rules.RATE


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard in one window."""

    language: str
    probability: float
    decoded: rules.Decoded | None = None
    words: tuple[rules.Word, ...] = ()


class Whisper:
    """Inputs and outputs as in model_repo/whisper/config.pbtxt.

    LANGUAGE_PROBABILITY is 1 where the language was given, and 0 where less than LANGUAGE_SPEECH_S of speech made the
    language a guess.
    """

    def __init__(self, parameters: Mapping[str, str], weights: Sequence[WeightSet]) -> None:
        if len(weights) != 1:
            raise ValueError(f"whisper loads exactly one set of weights, got {[w.name for w in weights]}")
        self._weights = weights[0]
        self._max_seconds = float(parameters.get("max_seconds", "30"))
        self._beam_size = int(parameters.get("beam_size", "1"))
        self._device = device_for(parameters)
        compute_type = parameters.get("compute_type", "auto")
        self._compute_type = COMPUTE_TYPES[self._device] if compute_type == "auto" else compute_type
        self._workers = int(parameters.get("workers", "2"))
        self._rows_at_once = int(parameters.get("max_batch_rows", "8"))
        self._parallel_rows = int(parameters.get("parallel_rows", PARALLEL_ROWS[self._device]))
        self._buckets = _buckets(parameters.get("windows_s", ",".join(str(each) for each in rules.BUCKETS_S)))
        self._vad = Vad({}) if parameters.get("vad", "true") == "true" else None

    def load(self) -> None:
        self._net = WhisperModel(
            str(self._weights.folder),
            device=self._device,
            compute_type=self._compute_type,
            num_workers=self._workers,
            cpu_threads=1,
            local_files_only=True,
        )
        self._languages = frozenset(self._net.supported_languages)
        self._tokenizers = {
            (language, task): Tokenizer(self._net.hf_tokenizer, True, task=task, language=language)
            for language in self._languages
            for task in TASKS
        }
        self._suppressed = get_suppressed_tokens(next(iter(self._tokenizers.values())), [-1])
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="whisper")
        if self._vad is not None:
            self._vad.load()
        self._hear([Window(np.zeros(rules.RATE, np.float32), "en", "transcribe")], self._buckets[0])

    def catalogue(self) -> list[dict[str, Any]]:
        return [dict(self._weights.facts)]

    def lane(self, inputs: Tensors) -> Hashable:
        """The encoder's window, which a row's own length decides. Rows of one request are batched apart."""
        longest = max(samples for _, _, samples in self._options(inputs))
        return rules.bucket_s(longest / rules.RATE, self._buckets)

    def size(self, inputs: Tensors) -> int:
        return len(inputs["AUDIO"])

    def infer(self, batch: Sequence[Tensors], requested: Sequence[set[str]]) -> list[Answer]:
        requests = [self._windows(*each) for each in zip(batch, requested, strict=True)]
        windows = [window for request in requests if not isinstance(request, ModelError) for window in request]
        heard = iter(self._hear_all(windows))
        return [r if isinstance(r, ModelError) else _answer([(w, next(heard)) for w in r]) for r in requests]

    def _windows(self, request: Tensors, requested: set[str]) -> list[Window] | ModelError:
        timed = not requested or "SEGMENTS" in requested
        try:
            options = self._options(request)
        except ModelError as error:
            return error
        rows = zip(request["AUDIO"], options, strict=True)
        return [self._window(audio[:samples], language, task, timed) for audio, (language, task, samples) in rows]

    def _options(self, request: Tensors) -> list[tuple[str | None, str, int]]:
        """Language, task and valid samples of each row. INVALID_ARGUMENT names the row."""
        rows = len(request["AUDIO"])
        languages = [self._language(code, row) for row, code in enumerate(texts(request, "LANGUAGE", rows))]
        tasks = [_task(name, row) for row, name in enumerate(texts(request, "TASK", rows))]
        return list(zip(languages, tasks, (self._length(request, row) for row in range(rows)), strict=True))

    def _window(self, audio: npt.NDArray[np.float32], language: str | None, task: str, timed: bool) -> Window:
        if self._vad is None:
            return Window(audio, language, task, timed)
        return Window(audio, language, task, timed, sum(end - start for start, end in self._vad.speech(audio)))

    def _language(self, code: str, row: int) -> str | None:
        if not code:
            return None
        language = base_language(code)
        if language not in self._languages:
            known = ", ".join(sorted(self._languages))
            raise invalid(f"LANGUAGE row {row}: Whisper does not know {code!r}; it knows {known}")
        return language

    def _length(self, request: Tensors, row: int) -> int:
        available = request["AUDIO"].shape[1]
        samples = int(request["NUM_SAMPLES"][row, 0]) if "NUM_SAMPLES" in request else available
        if not 0 <= samples <= available:
            raise invalid(f"NUM_SAMPLES row {row}: expected 0 to {available} (the length of AUDIO), got {samples}")
        if samples > self._max_seconds * rules.RATE:
            raise invalid(
                f"AUDIO row {row}: {samples / rules.RATE:.2f} s of 16 kHz audio, at most {self._max_seconds:.0f} s"
            )
        return samples

    def _hear_all(self, windows: Sequence[Window]) -> list[Heard]:
        """Hears windows in groups of one bucket, as many groups at a time as there are workers."""
        buckets: dict[int, list[int]] = {}
        for index, window in enumerate(windows):
            if window.speech_s:
                buckets.setdefault(rules.bucket_s(window.seconds, self._buckets), []).append(index)
        groups = [
            (bucket, indices[at : at + self._rows_at_once])
            for bucket, indices in sorted(buckets.items(), reverse=True)
            for at in range(0, len(indices), self._rows_at_once)
        ]
        jobs = [(ix, self._pool.submit(self._hear_guarded, [windows[i] for i in ix], bucket)) for bucket, ix in groups]
        heard = {index: result for indices, job in jobs for index, result in zip(indices, job.result(), strict=True)}
        return [heard.get(index) or _nothing(window) for index, window in enumerate(windows)]

    def _hear_guarded(self, windows: Sequence[Window], bucket: int) -> list[Heard]:
        """Hears one bucket; what came out as a loop is heard again alone in the longest window."""
        heard = self._hear(windows, bucket)
        for index, (window, first) in enumerate(zip(windows, heard, strict=True)):
            if first.decoded is not None and rules.is_loop(first.decoded) and rules.is_speech(first.decoded):
                forced = Window(window.audio, first.language, window.task, window.timed)
                again = self._hear([forced], self._buckets[-1])[0]
                heard[index] = Heard(first.language, first.probability, again.decoded, again.words)
        return heard

    def _hear(self, windows: Sequence[Window], bucket: int) -> list[Heard]:
        frames = bucket * FRAMES_PER_S
        features = np.stack([self._features(window.audio, frames) for window in windows])
        net = self._net.model
        to_cpu = self._device == "cuda" and not all(window.language for window in windows)
        encoded = self._encode(features, to_cpu)
        languages = self._detect(windows, encoded)
        tokenizers = [self._tokenizers[name, window.task] for (name, _), window in zip(languages, windows, strict=True)]
        prompts = [[*tokenizer.sot_sequence, tokenizer.no_timestamps] for tokenizer in tokenizers]
        results = net.generate(
            encoded,
            prompts,
            beam_size=self._beam_size,
            max_length=2 * rules.token_cap(bucket),  # CTranslate2 stops at half of it
            sampling_temperature=0,
            return_scores=True,
            return_no_speech_prob=True,
            suppress_blank=True,
            suppress_tokens=self._suppressed,
        )
        decoded = [_decode(*each) for each in zip(tokenizers, results, windows, strict=True)]
        words = self._align(windows, tokenizers, decoded, encoded, frames)
        return [Heard(*language, d, w) for language, d, w in zip(languages, decoded, words, strict=True)]

    def _encode(self, features: npt.NDArray[np.float32], to_cpu: bool) -> Any:
        """The encoder's states [rows, states, d]."""
        parts = [
            self._net.model.encode(_view(features[at : at + self._parallel_rows]), to_cpu)
            for at in range(0, len(features), self._parallel_rows)
        ]
        return parts[0] if len(parts) == 1 else _view(np.concatenate([np.array(part) for part in parts]))

    def _features(self, audio: npt.NDArray[np.float32], frames: int) -> npt.NDArray[np.float32]:
        """Log-mel features [80, frames]. The audio, not the features, is padded with zeros, as OpenAI trained it."""
        padded = np.zeros(frames * HOP, np.float32)
        padded[: min(len(audio), len(padded))] = audio[: len(padded)]
        features: npt.NDArray[np.float32] = self._net.feature_extractor(padded, padding=0)[:, :frames]
        return features

    def _detect(self, windows: Sequence[Window], encoded: Any) -> list[tuple[str, float]]:
        if all(window.language for window in windows):
            return [(window.language or "", 1.0) for window in windows]
        found = self._net.model.detect_language(encoded)
        return [
            (window.language, 1.0) if window.language else _believed(window, ranking[0][0][2:-2], float(ranking[0][1]))
            for window, ranking in zip(windows, found, strict=True)
        ]

    def _align(
        self,
        windows: Sequence[Window],
        tokenizers: Sequence[Any],
        decoded: Sequence[rules.Decoded],
        encoded: Any,
        frames: int,
    ) -> list[tuple[rules.Word, ...]]:
        """Word times of each window. CTranslate2 aligns one language and task a call."""
        words: list[tuple[rules.Word, ...]] = [()] * len(windows)
        keys = [(tokenizer.language, tokenizer.task) for tokenizer in tokenizers]
        for key in sorted(set(keys)):
            chosen = [i for i, k in enumerate(keys) if k == key and _needs_words(windows[i], decoded[i])]
            for at in range(0, len(chosen), self._parallel_rows):
                rows = chosen[at : at + self._parallel_rows]
                part = encoded if len(rows) == len(windows) else _view(np.array(encoded)[rows])
                lengths = [min(frames, -(-len(windows[i].audio) // HOP)) for i in rows]
                tokens = [list(decoded[i].tokens) for i in rows]
                found = self._net.find_alignment(tokenizers[rows[0]], tokens, part, lengths)
                for i, alignment in zip(rows, found, strict=True):
                    words[i] = _words(alignment, windows[i].seconds)
        return words


def _buckets(text: str) -> tuple[int, ...]:
    """Rising whole seconds up to 30, Whisper's own window. ValueError when they are not."""
    buckets = tuple(int(each) for each in text.split(","))
    if list(buckets) != sorted({*buckets}) or buckets[0] <= rules.MARGIN_S or buckets[-1] != LONGEST_S:
        raise ValueError(f"windows_s is '{text}': expected rising whole seconds that end with {LONGEST_S}")
    return buckets


def _view(values: npt.NDArray[np.float32]) -> Any:
    return ctranslate2.StorageView.from_array(np.ascontiguousarray(values))


def _needs_words(window: Window, decoded: rules.Decoded) -> bool:
    """Where times are wanted; and where the decoder ran away, whose text is cut by its words."""
    return bool(decoded.tokens) and rules.is_speech(decoded) and (window.timed or rules.runs_away(decoded))


def _nothing(window: Window) -> Heard:
    """Of a window in which nobody speaks."""
    return Heard(window.language or "", 1.0 if window.language else 0.0)


def _believed(window: Window, language: str, probability: float) -> tuple[str, float]:
    return language, probability if window.speech_s >= rules.LANGUAGE_SPEECH_S else 0.0


def _task(name: str, row: int) -> str:
    if name not in ("", *TASKS):
        raise invalid(f"TASK row {row}: expected transcribe or translate, got {name!r}")
    return name or TASKS[0]


def _decode(tokenizer: Any, result: Any, window: Window) -> rules.Decoded:
    tokens = tuple(token for token in result.sequences_ids[0] if token < tokenizer.eot)
    text = tokenizer.decode(list(tokens)).strip()
    length = len(result.sequences_ids[0])
    return rules.Decoded(
        tokens=tokens,
        text=text,
        avg_logprob=result.scores[0] * length / (length + 1),
        no_speech_prob=result.no_speech_prob,
        compression_ratio=rules.compression_ratio(text),
        capped=length >= rules.token_cap(window.seconds),
    )


def _words(alignment: list[dict[str, Any]], seconds: float) -> tuple[rules.Word, ...]:
    timed = [rules.Word(w["word"], float(w["start"]), float(w["end"]), float(w["probability"])) for w in alignment]
    rules.shorten_stretched(timed)
    for raw, word in zip(alignment, timed, strict=True):
        raw["start"], raw["end"] = word.start, word.end
    merge_punctuations(alignment, PREPEND, APPEND)
    merged = [rules.Word(w["word"], w["start"], w["end"], float(w["probability"])) for w in alignment if w["word"]]
    return tuple(rules.tidy(merged, seconds))


def _segment(decoded: rules.Decoded, words: Sequence[rules.Word]) -> dict[str, Any]:
    return {
        "start": words[0].start,
        "end": words[-1].end,
        "text": decoded.text,
        "avg_logprob": round(decoded.avg_logprob, 4),
        "no_speech_prob": round(decoded.no_speech_prob, 4),
        "compression_ratio": round(decoded.compression_ratio, 3),
        "words": [asdict(word) for word in words],
    }


def _kept(heard: Heard) -> tuple[str, list[dict[str, Any]]]:
    """Text, and segments where times were wanted; empty unless it is speech. What ran away twice is cut where it begins
    to repeat itself.
    """
    decoded, words = heard.decoded, list(heard.words)
    if decoded is None or not rules.is_speech(decoded):
        return "", []
    text = decoded.text
    if rules.runs_away(decoded):
        at = rules.first_repetition(decoded.text)
        words = words[: at if at else 0]
        text = "".join(word.word for word in words).strip()
    if not text or not words:
        return text, []
    segment = _segment(decoded, words)
    return text, [segment | {"text": text}]


def _answer(rows: Sequence[tuple[Window, Heard]]) -> Tensors:
    kept = [_kept(heard) for _, heard in rows]
    return {
        "TEXT": bytes_column([text for text, _ in kept]),
        "LANGUAGE": bytes_column([heard.language for _, heard in rows]),
        "LANGUAGE_PROBABILITY": np.array([[heard.probability] for _, heard in rows], np.float32),
        "SEGMENTS": bytes_column([json.dumps(segments, ensure_ascii=False) for _, segments in kept]),
    }
