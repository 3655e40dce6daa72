"""The models as the control plane sees them: typed calls over the Open Inference Protocol (gRPC)."""

import asyncio
import json
import math
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import structlog
import tritonclient.grpc.aio as triton
from tritonclient.utils import InferenceServerException

from orchestrator.capabilities import Capabilities, read_capabilities
from orchestrator.errors import OctaviaError
from orchestrator.observability.model_calls import observed
from orchestrator.patience import (
    FAULTS_FORGIVEN,
    INTERRUPTION_S,
    INTERRUPTIONS_FORGIVEN,
    MODEL_PAUSES,
    TROUBLES,
    Trouble,
    pauses,
)
from orchestrator.time_limit import not_counted

log = structlog.get_logger(__name__)

Samples = npt.NDArray[np.float32]

SPEECH_RATE = 16_000
"""Sample rate of what vad and whisper hear."""

TRANSLATION_ROWS = 64
SPEECH_ROWS = 8
"""The largest batches of opus_mt and coqui_tts."""

CAPABILITIES_AGE_S = 60.0

CALL_TIMEOUT_S = 300.0
"""A window takes a second and a long sentence a few; beyond this the replica hangs."""

DIARIZATION_TIMEOUT_S = 3600.0
"""On one core telling speakers apart takes longer than the recording lasts."""

READY_TIMEOUT_S = 5.0

_CHANNEL = [
    ("grpc.max_send_message_length", 64 * 2**20),
    ("grpc.max_receive_message_length", 64 * 2**20),
    # gRPC's own back-off grows to two minutes: a model plane that restarts is back in ten seconds.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # A name with several addresses is several proxies: calls take turns among those that answer.
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.dns_min_time_between_resolutions_ms", 5_000),
]


class ModelPlaneUnavailableError(OctaviaError):
    """The model plane did not answer for as long as we are ready to wait."""

    def __init__(self, model: str, waited_s: float) -> None:
        super().__init__(
            "models_unavailable",
            f"The model '{model}' has not answered for {waited_s:.0f} s. Check that the model plane runs.",
            status=503,
        )


class ModelRefusedError(OctaviaError):
    """A model refused the request: a pair or voice it does not have, or input it cannot take."""

    def __init__(self, model: str, reason: str, *, is_absent: bool = False) -> None:
        """`is_absent`: there is no such model, or not what was asked of it."""
        super().__init__("model_refused", f"The model '{model}' refused the request: {reason}", status=422)
        self.is_absent = is_absent


class ModelCrashedError(OctaviaError):
    """The model ended again and again while it worked on the request, and on nothing else at that time."""

    def __init__(self, model: str, times: int) -> None:
        super().__init__(
            "model_crashed",
            f"The model '{model}' ended {times} times while it worked on a part of this file, which is given up. "
            "Another file or language may work; tell us the job's id.",
            status=422,
        )


@dataclass(frozen=True, slots=True)
class SpeechActivity:
    """Where somebody speaks. `stretches` [n, 2] in seconds; `probability` [m], one per 32 ms."""

    stretches: npt.NDArray[np.float32]
    probability: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class HeardWord:
    """A word as Whisper writes it (with its leading space), seconds from the start of the audio given."""

    text: str
    start: float
    end: float
    probability: float


@dataclass(frozen=True, slots=True)
class Heard:
    """What Whisper heard in one window. Without speech `text` is empty and there are no words."""

    text: str
    language: str
    language_probability: float
    words: tuple[HeardWord, ...]


@dataclass(frozen=True, slots=True)
class Rating:
    """How listeners would rate speech, 1 to 5: the voice, what is behind it, both together (ITU-T P.835), and P.808."""

    signal: float
    background: float
    overall: float
    p808: float


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A translation and its log-probability per token."""

    text: str
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """A clip to speak like: mono samples [n] in [-1, 1], 1 to 60 s."""

    samples: Samples
    rate: int


@dataclass(frozen=True, slots=True)
class Utterance:
    """What is to be spoken and how; the same six always give the same samples. `speed` 1.0 is the voice's own rate.

    `like`: a clip whose voice it is spoken in.
    """

    text: str
    language: str
    voice: str
    speed: float = 1.0
    seed: int = 0
    like: Reference | None = None


@dataclass(frozen=True, slots=True)
class Speech:
    """Synthesised speech: float32 mono samples at `sample_rate` Hz."""

    samples: Samples
    sample_rate: int


class Inference:
    """A client of the model plane. One per process; a call waits through a restart of the plane."""

    def __init__(self, address: str, *, wait_s: float = 600.0) -> None:
        self._client = triton.InferenceServerClient(address, channel_args=_CHANNEL)
        self._wait_s = wait_s
        self._known: Capabilities | None = None
        self._known_at = 0.0
        self._asking = asyncio.Lock()
        self._suspects: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._client.close()

    async def is_ready(self) -> bool:
        """Whether every model answers right now."""
        try:
            return bool(await self._client.is_server_ready(client_timeout=2))
        except InferenceServerException:
            return False

    async def capabilities(self, *, wait_s: float = 0.0) -> Capabilities:
        """What the loaded weights can do, at most a minute old.

        Raises ModelPlaneUnavailableError when the plane does not answer within `wait_s`.
        """
        async with self._asking:
            if self._known is None or time.monotonic() - self._known_at > CAPABILITIES_AGE_S:
                await self._ask(min(wait_s, self._wait_s) if self._known is None else 0.0)
        if self._known is None:
            raise ModelPlaneUnavailableError("whisper", wait_s)
        return self._known

    async def _ask(self, wait_s: float) -> None:
        """Ask the models what they can do; what is known already stands while they are too busy to say."""
        names = ("whisper", "opus_mt", "coqui_tts")
        asked = [self._catalogue(name, wait_s) for name in names]
        asked += [self._catalogue_if_served(name, wait_s) for name in ("separate", "diarize")]
        try:
            self._known = read_capabilities(*await asyncio.gather(*asked))
        except ModelPlaneUnavailableError:
            if self._known is None:
                raise
        self._known_at = time.monotonic()

    async def capabilities_patiently(self) -> Capabilities:
        """As `capabilities`, waiting through a restart of the plane as the other calls do."""
        return await self.capabilities(wait_s=self._wait_s)

    async def speech_activity(self, audio: Samples) -> SpeechActivity:
        """Stretches of speech in 16 kHz mono audio [n] of at most 600 s."""
        found = await self._infer("vad", [_tensor("AUDIO", audio)], ["SPEECH", "PROBABILITY"])
        return SpeechActivity(found["SPEECH"].reshape(-1, 2), found["PROBABILITY"])

    async def transcribe(self, audio: Samples, language: str | None = None, wait_s: float | None = None) -> Heard:
        """The words in a window of 16 kHz mono audio [n] of at most 30 s; the language is detected unless given.

        `wait_s`: how long to wait where the model is away, if not as long as for others.
        """
        found = await self._infer(
            "whisper",
            [_tensor("AUDIO", audio[np.newaxis]), _texts("LANGUAGE", [[language or ""]])],
            ["TEXT", "LANGUAGE", "LANGUAGE_PROBABILITY", "SEGMENTS"],
            wait_s,
        )
        segments = json.loads(found["SEGMENTS"].item())
        return Heard(
            text=found["TEXT"].item().decode(),
            language=found["LANGUAGE"].item().decode(),
            language_probability=float(found["LANGUAGE_PROBABILITY"].item()),
            words=tuple(
                HeardWord(word["word"], word["start"], word["end"], word["probability"])
                for segment in segments
                for word in segment["words"]
            ),
        )

    async def diarize(
        self, audio: Samples, speakers: int | None = None, most: int | None = None
    ) -> list[tuple[float, float, str]]:
        """Who speaks when in 16 kHz mono audio [n] of at most 600 s: (start, end, name) in seconds, by start.

        `speakers` is how many there are, `most` how many at most, where that is known. Raises ModelRefusedError where
        no model tells speakers apart, or so little is said that it cannot tell so many.
        """
        inputs = [_tensor("AUDIO", audio)]
        counts = (("NUM_SPEAKERS", speakers), ("MAX_SPEAKERS", most))
        inputs += [_tensor(name, np.array([count], np.int32)) for name, count in counts if count is not None]
        found = await self._infer("diarize", inputs, ["TURNS", "SPEAKERS"], timeout_s=DIARIZATION_TIMEOUT_S)
        turns = zip(found["TURNS"].reshape(-1, 2), found["SPEAKERS"].ravel(), strict=True)
        return [(float(start), float(end), name.decode()) for (start, end), name in turns]

    async def translate(
        self, sentences: Sequence[str], source: str, target: str, hypotheses: int = 1
    ) -> list[list[Hypothesis]]:
        """For each sentence its best translations, best first. Raises ModelRefusedError for a pair without a model."""
        batches = [sentences[at : at + TRANSLATION_ROWS] for at in range(0, len(sentences), TRANSLATION_ROWS)]
        answers = await asyncio.gather(*(self._translate(batch, source, target, hypotheses) for batch in batches))
        return [row for answer in answers for row in answer]

    async def seconds(self, utterances: Sequence[Utterance]) -> list[float]:
        """How long each utterance will be when spoken, exactly and without speaking it."""
        batches = [utterances[at : at + SPEECH_ROWS] for at in range(0, len(utterances), SPEECH_ROWS)]
        answers = await asyncio.gather(
            *(self._infer("coqui_tts", _utterances(batch), ["SECONDS"]) for batch in batches)
        )
        return [float(row) for answer in answers for row in answer["SECONDS"].ravel()]

    async def synthesize(self, utterance: Utterance) -> Speech:
        """The utterance as sound."""
        found = await self._infer("coqui_tts", _utterances([utterance]), ["AUDIO", "NUM_SAMPLES", "SAMPLE_RATE"])
        count = int(found["NUM_SAMPLES"].item())
        return Speech(found["AUDIO"].reshape(-1)[:count], int(found["SAMPLE_RATE"].item()))

    async def separate(self, audio: Samples, rate: int) -> Samples:
        """Stereo sound [n, 2] of at most 30 s without its voices, as long. Raises ModelRefusedError where no model
        does that.
        """
        inputs = [_tensor("AUDIO", np.ascontiguousarray(audio.T)), _tensor("SAMPLE_RATE", np.array([rate], np.int32))]
        background: Samples = (await self._infer("separate", inputs, ["BACKGROUND"]))["BACKGROUND"].T
        return background

    async def speech_quality(self, audio: Samples, wait_s: float | None = None) -> Rating:
        """How listeners would rate 16 kHz mono speech [n] of at most 60 s.

        Raises ModelRefusedError, `is_absent` where no model for it is served.
        """
        names = ["SIGNAL", "BACKGROUND", "OVERALL", "P808"]
        found = await self._infer("speech_quality", [_tensor("AUDIO", audio)], names, wait_s)
        return Rating(*(float(found[name].item()) for name in names))

    async def speaker_embedding(self, audio: Samples, wait_s: float | None = None) -> Samples:
        """The voice in 16 kHz mono speech [n] of at most 60 s, as a vector [256] of length 1.

        Raises ModelRefusedError as `speech_quality`, and where nothing is heard.
        """
        found = await self._infer("speaker_embedding", [_tensor("AUDIO", audio)], ["EMBEDDING"], wait_s)
        embedding: Samples = found["EMBEDDING"].reshape(-1)
        return embedding

    async def _translate(
        self, sentences: Sequence[str], source: str, target: str, hypotheses: int
    ) -> list[list[Hypothesis]]:
        rows = len(sentences)
        count = np.full((rows, 1), hypotheses, np.int32)
        found = await self._infer(
            "opus_mt",
            [
                _texts("TEXT", [[sentence] for sentence in sentences]),
                _texts("SOURCE", [[source]] * rows),
                _texts("TARGET", [[target]] * rows),
                _tensor("NUM_HYPOTHESES", count),
            ],
            ["TRANSLATIONS", "SCORES"],
        )
        return [
            [Hypothesis(text.decode(), float(score)) for text, score in zip(*row, strict=True) if np.isfinite(score)]
            for row in zip(found["TRANSLATIONS"], found["SCORES"], strict=True)
        ]

    async def _catalogue(self, model: str, wait_s: float) -> list[dict[str, Any]]:
        answer = await self._waiting(
            model, lambda: self._client.get_model_config(model, as_json=True, client_timeout=10), wait_s
        )
        parameters = answer["config"].get("parameters", {})
        return list(json.loads(parameters.get("catalogue", {}).get("string_value", "[]")))

    async def insist_on(self, model: str, wait_s: float) -> None:
        """Raises ModelRefusedError, `is_absent`, where no such model is served. For before its input is made."""
        await self._catalogue(model, min(wait_s, self._wait_s))

    async def _catalogue_if_served(self, model: str, wait_s: float) -> list[dict[str, Any]]:
        """Nothing where the plane has no such model, or no weights for it."""
        try:
            return await self._catalogue(model, wait_s)
        except ModelRefusedError:
            return []

    async def _infer(
        self,
        model: str,
        inputs: list[Any],
        outputs: list[str],
        wait_s: float | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> dict[str, npt.NDArray[Any]]:
        requested = [triton.InferRequestedOutput(name) for name in outputs]

        async def call() -> Any:
            with observed(model) as headers:
                return await self._client.infer(
                    model, inputs, outputs=requested, client_timeout=timeout_s, headers=headers
                )

        limit_s = self._wait_s if wait_s is None else min(wait_s, self._wait_s)
        answer = await self._waiting(model, call, limit_s)
        return {name: answer.as_numpy(name) for name in outputs}

    async def _waiting(self, model: str, call: Callable[[], Awaitable[Any]], wait_s: float) -> Any:
        """The call's answer, asked for again as `patience` has it, until `wait_s` after the first failure."""
        failures = _Failures(model, wait_s)
        while True:
            try:
                async with self._turn(model, alone=failures.is_suspect):
                    return await call()
            except InferenceServerException as error:
                pause = failures.add(error, time.monotonic())
            with not_counted():
                await asyncio.sleep(pause)
                while failures.is_away and not await self._is_model_ready(model):  # noqa: ASYNC110
                    await asyncio.sleep(failures.pause_while_away(time.monotonic()))

    @asynccontextmanager
    async def _turn(self, model: str, *, alone: bool) -> AsyncIterator[None]:
        """Calls that may have ended a replica are asked one after the other, so that one does not pull others down."""
        if not alone:
            yield
            return
        with not_counted():
            await self._suspects[model].acquire()
        try:
            yield
        finally:
            self._suspects[model].release()

    async def _is_model_ready(self, model: str) -> bool:
        try:
            return bool(await self._client.is_model_ready(model, client_timeout=READY_TIMEOUT_S))
        except InferenceServerException:
            return False


class _Failures:
    """What one call to a model has met with so far, and whether it is asked again."""

    def __init__(self, model: str, wait_s: float) -> None:
        self._model = model
        self._wait_s = wait_s
        self._pauses = pauses(*MODEL_PAUSES)
        self._first_at: float | None = None
        self._faults = 0
        self._interruptions = 0
        self._interrupted_at = -math.inf
        self.is_away = False
        """Whether to wait until the model says that it is ready."""

    @property
    def is_suspect(self) -> bool:
        """Whether the call may be what ends the model. The first time it was perhaps just there when a replica died."""
        return self._interruptions > 1

    def add(self, error: InferenceServerException, now: float) -> float:
        """Take in a failure at a time; the pause before the next attempt.

        Raises ModelRefusedError, ModelCrashedError, ModelPlaneUnavailableError where there will be none.
        """
        status = str(error.status()).removeprefix("StatusCode.")
        trouble = TROUBLES.get(status, Trouble.AWAY)
        self._faults += trouble is Trouble.FAULT
        if trouble is Trouble.REFUSED or self._faults > FAULTS_FORGIVEN:
            raise ModelRefusedError(self._model, error.message(), is_absent=status == "NOT_FOUND") from error
        if trouble is Trouble.AWAY:
            self._interrupt(now, error)
        self.is_away = trouble is Trouble.AWAY
        self._first_at = self._first_at or now
        log.info("model does not answer, waiting", model=self._model, status=status)
        return self.pause_while_away(now, error)

    def pause_while_away(self, now: float, error: InferenceServerException | None = None) -> float:
        """The next pause. Raises ModelPlaneUnavailableError when it has been waited for long enough."""
        if now - (self._first_at or now) >= self._wait_s:
            raise ModelPlaneUnavailableError(self._model, self._wait_s) from error
        return next(self._pauses)

    def _interrupt(self, now: float, error: InferenceServerException) -> None:
        """The model was ready when the call began, unless it is the first: that it went may be the call's doing."""
        if now - self._interrupted_at < INTERRUPTION_S:
            return
        self._interrupted_at = now
        self._interruptions += 1
        if self._interruptions > INTERRUPTIONS_FORGIVEN:
            raise ModelCrashedError(self._model, self._interruptions) from error


def _tensor(name: str, values: npt.NDArray[Any]) -> Any:
    datatype = {np.dtype(np.float32): "FP32", np.dtype(np.int32): "INT32", np.dtype(np.int64): "INT64"}[values.dtype]
    return _input(name, values, datatype)


def _texts(name: str, rows: list[list[str]]) -> Any:
    return _input(name, np.array([[text.encode() for text in row] for row in rows], dtype=np.object_), "BYTES")


def _input(name: str, values: npt.NDArray[Any], datatype: str) -> Any:
    tensor = triton.InferInput(name, list(values.shape), datatype)
    tensor.set_data_from_numpy(values)
    return tensor


def _utterances(rows: Sequence[Utterance]) -> list[Any]:
    return [
        _texts("TEXT", [[row.text] for row in rows]),
        _texts("LANGUAGE", [[row.language] for row in rows]),
        _texts("VOICE", [[row.voice] for row in rows]),
        _tensor("SPEED", np.array([[row.speed] for row in rows], np.float32)),
        _tensor("SEED", np.array([[row.seed] for row in rows], np.int64)),
        *_references([row.like for row in rows]),
    ]


def _references(clips: Sequence[Reference | None]) -> list[Any]:
    """Clips of different lengths, padded to the longest; nothing where there is none."""
    longest = max((len(clip.samples) for clip in clips if clip), default=0)
    if not longest:
        return []
    padded = np.zeros((len(clips), longest), np.float32)
    for row, clip in enumerate(clips):
        if clip:
            padded[row, : len(clip.samples)] = clip.samples
    rates = np.array([[clip.rate if clip else 0] for clip in clips], np.int32)
    counts = np.array([[len(clip.samples) if clip else 0] for clip in clips], np.int32)
    return [_tensor("REFERENCE", padded), _tensor("REFERENCE_RATE", rates), _tensor("NUM_REFERENCE", counts)]
