"""The one place where Ray Serve wraps a model: batching across callers, threads, health, shutdown."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ray import serve
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle
from starlette.requests import Request
from starlette.responses import JSONResponse

from serve.catalogue import CatalogueEntry
from serve.errors import ModelError, unavailable
from serve.models import create
from serve.models.base import Answer, Array, Tensors
from serve.protocol.dataplane import DataPlane, Ran
from serve.protocol.grpc import GrpcService
from serve.protocol.ports import stay_private
from serve.published import weight_set
from serve.repository import ModelSpec
from serve.runner import rows_of, run_batch
from serve.weights import ensure

log = logging.getLogger(__name__)

stay_private()  # Ray imports this module in a replica before it starts the replica's server

STUCK_S = 300.0
"""A batch that takes longer is taken for stuck: the health check fails and Ray replaces the replica."""


class ModelReplica:
    """One replica of one model. Loading happens in the constructor, so a replica that is ready has its weights."""

    def __init__(self, spec: ModelSpec, entries: Sequence[CatalogueEntry], weights_dir: Path) -> None:
        quiet_libraries()
        self._name = spec.name
        weights = [weight_set(ensure(entry, weights_dir)) for entry in entries]
        self._model = create(spec.name, spec.parameters, weights)
        self._model.load()
        concurrent = int(spec.parameters.get("concurrent_batches", "1"))
        self._threads = ThreadPoolExecutor(concurrent, thread_name_prefix=spec.name)
        self._began: dict[int, float] = {}
        self._batched = self._batching(spec, concurrent) if spec.dynamic_batching else self._alone

    def _batching(self, spec: ModelSpec, concurrent: int) -> Any:
        @serve.batch(
            max_batch_size=spec.max_batch_size,
            batch_wait_timeout_s=spec.max_queue_delay_s,
            max_concurrent_batches=concurrent,
            batch_size_fn=lambda requests: sum(rows_of(inputs) for inputs, _ in requests),
        )
        async def batched(requests: list[tuple[Tensors, set[str]]]) -> list[Answer]:
            return await self._run(requests)

        return batched

    async def _alone(self, request: tuple[Tensors, set[str]]) -> Answer:
        return (await self._run([request]))[0]

    async def _run(self, requests: Sequence[tuple[Tensors, set[str]]]) -> list[Answer]:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._timed, requests)

    def _timed(self, requests: Sequence[tuple[Tensors, set[str]]]) -> list[Answer]:
        self._began[id(requests)] = time.monotonic()
        try:
            return run_batch(self._name, self._model, [r for r, _ in requests], [wanted for _, wanted in requests])
        finally:
            del self._began[id(requests)]

    async def infer(self, inputs: Tensors, requested: set[str]) -> Answer:
        """Outputs, or the ModelError as a value: an exception would cross Ray with a traceback."""
        answer: Answer = await self._batched((inputs, requested))
        return answer

    async def catalogue(self) -> list[dict[str, Any]]:
        """What the loaded weights can do."""
        return self._model.catalogue()

    async def check_health(self) -> None:
        """Called by Ray. RuntimeError when a batch is stuck."""
        oldest = min(list(self._began.values()), default=time.monotonic())
        if time.monotonic() - oldest > STUCK_S:
            raise RuntimeError(f"{self._name}: a batch has been running for more than {STUCK_S:.0f} s")


class RayBackend:
    """A model reached through Ray's deployment handle."""

    def __init__(self, name: str, handle: DeploymentHandle[Any]) -> None:
        self._name = name
        self._handle = handle

    async def infer(self, inputs: Mapping[str, Array], requested: set[str], deadline: float | None) -> Ran:
        answer = await self._call(self._handle.infer, dict(inputs), requested)
        if isinstance(answer, ModelError):
            raise answer
        return Ran(answer)

    async def catalogue(self) -> Sequence[Mapping[str, Any]]:
        return await self._call(self._handle.catalogue)  # type: ignore[no-any-return]

    async def _call(self, method: Any, *arguments: Any) -> Any:
        """The method's result. What Ray raises because a replica died or is overloaded is UNAVAILABLE."""
        try:
            return await method.remote(*arguments)
        except BackPressureError:
            raise unavailable(f"model '{self._name}' is overloaded; try again") from None
        except (RayActorError, DeploymentUnavailableError) as error:
            log.warning("model %s: %s", self._name, type(error).__name__)
            raise unavailable(f"a replica of model '{self._name}' stopped; try again") from None
        except RayTaskError:
            raise
        except RayError as error:
            log.warning("model %s: %s", self._name, error)
            raise unavailable(f"model '{self._name}' cannot be reached; try again") from None


class Protocol(GrpcService):
    """The ingress: Open Inference Protocol in front of the models' handles."""

    def __init__(self, specs: Mapping[str, ModelSpec], **handles: DeploymentHandle[Any]) -> None:
        backends = {name: RayBackend(name, handle) for name, handle in handles.items()}
        self._plane = DataPlane(specs, backends)

    async def __call__(self, request: Request) -> JSONResponse:
        """The protocol is spoken over gRPC only."""
        return JSONResponse({"error": "this server speaks the Open Inference Protocol over gRPC only"}, status_code=501)


def quiet_libraries() -> None:
    """Model libraries log each step; only what went wrong is of interest here."""
    for name in ("TTS", "faster_whisper", "trainer", "matplotlib", "numba"):
        logging.getLogger(name).setLevel(logging.ERROR)
