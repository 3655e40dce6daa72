"""The Open Inference Protocol's operations, once, for every transport. Errors leave as ModelError, nothing else."""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from serve.errors import ModelError, internal, invalid, not_found
from serve.protocol.codec import Array, WireTensor, checked_output, validated
from serve.protocol.statistics import ModelStatistics, Timing
from serve.repository import VERSION, ModelSpec, TensorSpec
from serve.tracing import RequestTrace

log = logging.getLogger(__name__)

SERVER_NAME = "octavia"
SERVER_VERSION = "1"
EXTENSIONS = ("binary_tensor_data", "model_configuration", "model_repository", "statistics")
READY_TIMEOUT_S = 2.0

Written = TypeVar("Written")


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """One inference, as any transport delivers it. No `outputs` means all of them.

    `timeout_s`: the request's parameter `timeout`; what has not begun by then is not begun.
    """

    model: str
    version: str
    id: str
    inputs: Sequence[WireTensor]
    outputs: Sequence[str] = field(default_factory=tuple)
    timeout_s: float | None = None


def timeout(microseconds: Any) -> float | None:
    """Seconds of a request's parameter `timeout`; 0 is the server's own default."""
    if type(microseconds) is not int or microseconds < 0:
        raise invalid(f"parameter timeout: expected microseconds as a whole number from 0, got {microseconds!r}")
    return microseconds / 1e6 or None


@dataclass(frozen=True, slots=True)
class Ran:
    """What a backend gives back: outputs by name, seconds waited and computed, and the batch it ran in.

    `batch`: its units, rows or tokens. `share`: the request's part of it, or the sum of its parts of several batches.
    """

    outputs: Mapping[str, Array]
    queue_s: float = 0.0
    compute_s: float = 0.0
    batch: int = 1
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class InferenceResponse:
    """Outputs in the order they were asked for. `rows`: of the request's batch. `input_s`: what checking it took."""

    model: str
    id: str
    outputs: Sequence[tuple[TensorSpec, Array]]
    ran: Ran
    rows: int = 1
    input_s: float = 0.0


class Backend(Protocol):
    """What runs a model, wherever that is."""

    def infer(self, inputs: Mapping[str, Array], requested: set[str], deadline: float | None) -> Awaitable[Ran]:
        """The outputs; ModelError when it cannot. What has not begun at `deadline` (time.time()) is not begun."""

    def catalogue(self) -> Awaitable[Sequence[Mapping[str, Any]]]:
        """What the loaded weights can do; ModelError while the model is starting."""

    def asleep(self) -> Awaitable[bool]:
        """Whether nothing runs because nobody asks: the next request wakes it, and asking for readiness must not."""


class Observer(Protocol):
    """Who wants to know how requests ended."""

    def succeeded(self, model: str, request_s: float, queue_s: float, compute_s: float) -> None:
        """A request was answered."""

    def failed(self, model: str, request_id: str, error: ModelError | None) -> None:
        """A request was not: None when its caller went away."""


class DataPlane:
    """Serves the models of `specs` through their backends. `absent`: models of the repository that are not served, and
    why; nothing waits for them.
    """

    def __init__(
        self,
        specs: Mapping[str, ModelSpec],
        backends: Mapping[str, Backend],
        observer: Observer | None = None,
        absent: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._specs = specs
        self._backends = backends
        self._observer = observer
        self._absent = absent
        self._catalogues: dict[str, Sequence[Mapping[str, Any]]] = {}
        self._statistics = {name: ModelStatistics() for name in specs}

    async def ready(self) -> bool:
        """Whether every model is ready."""
        return all(await asyncio.gather(*(self._is_ready(name) for name in self._specs)))

    async def model_ready(self, name: str, version: str) -> bool:
        """Whether this model is ready. NOT_FOUND when there is no such model."""
        return await self._is_ready(self.spec(name, version).name)

    def spec(self, name: str, version: str = "") -> ModelSpec:
        """The model's specification; NOT_FOUND names the models there are, or why this one is not served."""
        if name in self._absent:
            raise not_found(f"model '{name}' is not served: {self._absent[name]}")
        if name not in self._specs:
            raise not_found(f"there is no model '{name}'; this server has {', '.join(self._specs)}")
        if version not in ("", VERSION):
            raise not_found(f"model '{name}' has no version '{version}', only {VERSION}")
        return self._specs[name]

    async def config(self, name: str, version: str) -> Any:
        """Triton's ModelConfig with what the loaded weights can do in parameters["catalogue"] (JSON)."""
        spec = self.spec(name, version)
        config = spec.config()
        entries = self._catalogues.get(name) or await self._catalogue(name)
        config.parameters["catalogue"].string_value = json.dumps(list(entries), ensure_ascii=False)
        return config

    async def index(self, *, only_ready: bool) -> list[tuple[str, str, str, str]]:
        """Name, version, state (READY or UNAVAILABLE) and the reason where it is not served, of each model."""
        ready = await asyncio.gather(*(self._is_ready(name) for name in self._specs))
        states = [(n, VERSION, "READY" if r else "UNAVAILABLE", "") for n, r in zip(self._specs, ready, strict=True)]
        states += [(name, VERSION, "UNAVAILABLE", reason) for name, reason in self._absent.items()]
        return [state for state in states if state[2] == "READY" or not only_ready]

    def statistics(self, name: str, version: str) -> dict[str, Any]:
        """Triton's ModelStatisticsResponse as JSON: of one model, or of all where no name is given."""
        names = [self.spec(name, version).name] if name else list(self._specs)
        return {"model_stats": [self._statistics[each].told(each, VERSION) for each in names]}

    async def answer(
        self,
        model: str,
        version: str,
        read: Callable[[], InferenceRequest],
        write: Callable[[InferenceResponse], Written],
        traceparent: str | None = None,
    ) -> Written:
        """One inference from a transport's message, as `read` reads it, to its answer, as `write` writes it, counted
        in the model's statistics, and told as spans of the caller's trace. Raises ModelError.
        """
        name, began, request_id = self.spec(model, version).name, time.monotonic(), ""
        trace = RequestTrace(traceparent)
        try:
            request = read()
            request_id, read_s = request.id, time.monotonic() - began
            response = await self.infer(request)
            run = time.monotonic()
            written = write(response)
        except ModelError as error:
            self._failed(name, began, request_id, error, trace)
            raise
        except asyncio.CancelledError:
            self._failed(name, began, request_id, None, trace)
            raise
        except Exception:
            log.exception("inference failed", extra={"model": model, "request_id": request_id})
            failed = internal("the server failed; its log says why")
            self._failed(name, began, request_id, failed, trace)
            raise failed from None
        ran, end = response.ran, time.monotonic()
        timing = Timing(ran.queue_s, read_s + response.input_s, ran.compute_s, end - run)
        self._statistics[name].succeeded(timing, end - began, response.rows, ran.batch, ran.share)
        trace.succeeded(name, ran.queue_s, ran.compute_s, ran.batch)
        if self._observer is not None:
            self._observer.succeeded(name, end - began, ran.queue_s, ran.compute_s)
        return written

    def _failed(self, model: str, began: float, request_id: str, error: ModelError | None, trace: RequestTrace) -> None:
        trace.failed(model, "cancelled" if error is None else error.code.value)
        self._statistics[model].failed(time.monotonic() - began)
        if self._observer is not None:
            self._observer.failed(model, request_id, error)

    async def infer(self, request: InferenceRequest) -> InferenceResponse:
        """Validates, runs and checks one inference."""
        began = time.monotonic()
        spec = self.spec(request.model, request.version)
        known = {tensor.name: tensor for tensor in spec.outputs}
        for name in request.outputs:
            if name not in known:
                raise invalid(f"{spec.name} has no output '{name}'; its outputs are {', '.join(known)}")
        if len(set(request.outputs)) != len(request.outputs):
            raise invalid(f"an output is asked for twice among {', '.join(request.outputs)}")
        wanted = list(request.outputs or known)
        inputs = validated(spec, request.inputs)
        input_s = time.monotonic() - began
        deadline = None if request.timeout_s is None else time.time() + request.timeout_s
        ran: Ran = await self._guarded(spec.name, self._backends[spec.name].infer(inputs, set(wanted), deadline))
        outputs = [(known[name], checked_output(spec, known[name], ran.outputs[name])) for name in wanted]
        rows = len(next(iter(inputs.values()))) if spec.max_batch_size else 1
        return InferenceResponse(spec.name, request.id, outputs, ran, rows, input_s)

    async def _is_ready(self, name: str) -> bool:
        """Whether a replica answers; one that has answered before and now does not in time is busy, not gone. A model
        that is asleep is ready.
        """
        try:
            if await self._guarded(name, self._backends[name].asleep()):
                return True
            await asyncio.wait_for(self._catalogue(name), READY_TIMEOUT_S)
        except ModelError:
            return False
        except TimeoutError:
            return name in self._catalogues
        return True

    async def _catalogue(self, name: str) -> Sequence[Mapping[str, Any]]:
        """What the model's weights can do, kept for those who ask while its replicas are busy."""
        self._catalogues[name] = await self._guarded(name, self._backends[name].catalogue())
        return self._catalogues[name]

    async def _guarded(self, name: str, call: Awaitable[Any]) -> Any:
        """The backend's answer. Whatever is not a ModelError is logged here and told as INTERNAL without details."""
        try:
            return await call
        except ModelError:
            raise
        except Exception:
            log.exception("model %s failed", name)
            raise internal(f"model '{name}' failed; the server's log says why") from None
