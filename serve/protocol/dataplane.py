"""The Open Inference Protocol's operations, once, for every transport. Errors leave as ModelError, nothing else."""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from serve.errors import ModelError, internal, invalid, not_found
from serve.protocol.codec import Array, WireTensor, checked_output, validated
from serve.repository import VERSION, ModelSpec, TensorSpec

log = logging.getLogger(__name__)

SERVER_NAME = "octavia"
SERVER_VERSION = "1"
EXTENSIONS = ("model_configuration", "model_repository")
READY_TIMEOUT_S = 2.0


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


@dataclass(frozen=True, slots=True)
class Ran:
    """What a backend gives back: outputs by name, seconds waited and computed, rows of the batch it ran in."""

    outputs: Mapping[str, Array]
    queue_s: float = 0.0
    compute_s: float = 0.0
    batch: int = 1


@dataclass(frozen=True, slots=True)
class InferenceResponse:
    """Outputs in the order they were asked for."""

    model: str
    id: str
    outputs: Sequence[tuple[TensorSpec, Array]]


class Backend(Protocol):
    """What runs a model, wherever that is."""

    def infer(self, inputs: Mapping[str, Array], requested: set[str], deadline: float | None) -> Awaitable[Ran]:
        """The outputs; ModelError when it cannot. What has not begun at `deadline` (time.time()) is not begun."""

    def catalogue(self) -> Awaitable[Sequence[Mapping[str, Any]]]:
        """What the loaded weights can do; ModelError while the model is starting."""


class DataPlane:
    """Serves the models of `specs` through their backends."""

    def __init__(self, specs: Mapping[str, ModelSpec], backends: Mapping[str, Backend]) -> None:
        self._specs = specs
        self._backends = backends
        self._catalogues: dict[str, Sequence[Mapping[str, Any]]] = {}

    async def ready(self) -> bool:
        """Whether every model is ready."""
        return all(await asyncio.gather(*(self._is_ready(name) for name in self._specs)))

    async def model_ready(self, name: str, version: str) -> bool:
        """Whether this model is ready. NOT_FOUND when there is no such model."""
        return await self._is_ready(self.spec(name, version).name)

    def spec(self, name: str, version: str = "") -> ModelSpec:
        """The model's specification; NOT_FOUND names the models there are."""
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

    async def index(self, *, only_ready: bool) -> list[tuple[str, str, str]]:
        """Name, version and state (READY or UNAVAILABLE) of each model."""
        ready = await asyncio.gather(*(self._is_ready(name) for name in self._specs))
        states = [(n, VERSION, "READY" if r else "UNAVAILABLE") for n, r in zip(self._specs, ready, strict=True)]
        return [state for state in states if state[2] == "READY" or not only_ready]

    async def infer(self, request: InferenceRequest) -> InferenceResponse:
        """Validates, runs and checks one inference."""
        spec = self.spec(request.model, request.version)
        known = {tensor.name: tensor for tensor in spec.outputs}
        for name in request.outputs:
            if name not in known:
                raise invalid(f"{spec.name} has no output '{name}'; its outputs are {', '.join(known)}")
        if len(set(request.outputs)) != len(request.outputs):
            raise invalid(f"an output is asked for twice among {', '.join(request.outputs)}")
        wanted = list(request.outputs or known)
        inputs = validated(spec, request.inputs)
        deadline = None if request.timeout_s is None else time.time() + request.timeout_s
        ran: Ran = await self._guarded(spec.name, self._backends[spec.name].infer(inputs, set(wanted), deadline))
        outputs = [(known[name], checked_output(spec, known[name], ran.outputs[name])) for name in wanted]
        return InferenceResponse(spec.name, request.id, outputs)

    async def _is_ready(self, name: str) -> bool:
        """Whether a replica answers; one that has answered before and now does not in time is busy, not gone."""
        try:
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
