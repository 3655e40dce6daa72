"""One replica of one model: loads weights, batches across callers, notices when it is stuck. Ray runs it."""

import asyncio
from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import ray
from ray import serve

from serve.batching import Batcher, Limits, Served
from serve.catalogue import CatalogueEntry
from serve.devices import gpu_memory
from serve.errors import ModelError
from serve.logs import log_as_json, quiet_libraries
from serve.metrics import ReplicaMetrics
from serve.models import create
from serve.models.base import Answer, Laned, Multiplexed, Tensors
from serve.protocol.ports import stay_private
from serve.published import weight_set
from serve.repository import ModelSpec, stuck_s
from serve.routing import key_of
from serve.rows import merge, split
from serve.runner import rows_of, run_batch
from serve.settings import ServeSettings
from serve.weights import ensure

stay_private()  # Ray imports this module in a model's replica before it starts the replica's server


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a replica answers: outputs, or the ModelError as a value: raised, it would cross Ray as a traceback."""

    answer: Answer
    queue_s: float = 0.0
    compute_s: float = 0.0
    batch: int = 1
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Job:
    """A request in the queue. `held` keeps its weights loaded until it has been answered."""

    inputs: Tensors
    requested: set[str]
    held: object = None


def limits_of(spec: ModelSpec) -> Limits:
    """Batching as config.pbtxt has it: a model without dynamic batching takes one request at a time."""
    concurrent = int(spec.parameters.get("concurrent_batches", "1"))
    if not spec.dynamic_batching:
        return Limits(1, slots=concurrent, max_queued=spec.max_queue_size, default_wait_s=spec.queue_timeout_s)
    return Limits(
        max_size=_batch_limit(spec),
        preferred=int(spec.parameters.get("preferred_batch_tokens", spec.preferred_batch_size)) or 1,
        max_delay_s=spec.max_queue_delay_s,
        slots=concurrent,
        max_queued=spec.max_queue_size,
        default_wait_s=spec.queue_timeout_s,
    )


def _batch_limit(spec: ModelSpec) -> int:
    """In the units the model counts: tokens, or rows, of which config.pbtxt may want fewer than a request may have."""
    given = spec.parameters.get("max_batch_tokens") or spec.parameters.get("max_batch_rows")
    return int(given) if given else spec.max_batch_size


class ModelReplica:
    """Loading happens in the constructor, so a replica that is ready has its weights and has been warmed up."""

    async def __init__(  # type: ignore[misc]  # Ray Serve awaits it
        self, spec: ModelSpec, entries: Sequence[CatalogueEntry], settings: ServeSettings
    ) -> None:
        log_as_json()
        quiet_libraries()
        self._spec = spec
        self._weights = [await asyncio.to_thread(ensure, entry, settings) for entry in entries]
        self._model = create(spec.name, spec.parameters, [weight_set(each) for each in self._weights])
        await asyncio.to_thread(self._model.load)
        limits = limits_of(spec)
        self._threads = ThreadPoolExecutor(limits.slots, thread_name_prefix=spec.name)
        self._batcher: Batcher[Job, Answer] = Batcher(self._run, limits)
        self._metrics = ReplicaMetrics(spec.name)
        self._stuck_s = stuck_s(spec)
        self._splits = spec.parameters.get("batch_by_row") == "true"
        await self._open_first()

    async def _open_first(self) -> None:
        """Weights are opened through Ray's multiplexing, which tells the routers where they are."""
        if not isinstance(self._model, Multiplexed):
            return
        model, most = self._model, int(self._spec.parameters.get("multiplex_max", "16"))

        @serve.multiplexed(max_num_models_per_replica=most)  # type: ignore[untyped-decorator]
        async def opened(key: str) -> object:
            return await asyncio.to_thread(model.open, key)

        self._opened = opened
        for key in model.keys()[:most]:
            await opened(key)

    async def infer(self, inputs: Tensors, requested: set[str], deadline: float | None) -> Outcome:
        """The outputs of a request whose rows all have one key."""
        try:
            served = await self._served(inputs, requested, deadline)
        except ModelError as error:
            return Outcome(error)
        finally:
            self._metrics.waiting(self._batcher.queued)
        return Outcome(served.result, served.queue_s, served.compute_s, served.batch, served.share)

    async def _served(self, inputs: Tensors, requested: set[str], deadline: float | None) -> Served[Answer]:
        place = self._place(inputs)  # refuses what no weights can serve before any are loaded
        held = None
        if isinstance(self._model, Multiplexed):
            held = await self._opened(key_of(self._spec, inputs))
        if self._splits and rows_of(inputs) > 1:
            return await self._row_by_row(inputs, requested, deadline)
        return await self._submit(Job(inputs, requested, held), place, deadline)

    def _place(self, inputs: Tensors) -> tuple[Hashable, int]:
        """The lane a request waits in, and what it counts there. ModelError when the model cannot serve it."""
        model = self._model
        place = (model.lane(inputs), model.size(inputs)) if isinstance(model, Laned) else (None, rows_of(inputs))
        return place if self._spec.dynamic_batching else (None, 1)

    async def _submit(self, job: Job, place: tuple[Hashable, int], deadline: float | None) -> Served[Answer]:
        lane, size = place
        return await self._batcher.submit(job, lane=lane, size=size, deadline=deadline)

    async def _row_by_row(self, inputs: Tensors, requested: set[str], deadline: float | None) -> Served[Answer]:
        """Each row waits in its own lane, so a request's rows of different length don't hold each other up."""
        rows = range(rows_of(inputs))
        jobs = [Job(split(inputs, [row]), requested) for row in rows]
        served = await asyncio.gather(*(self._submit(job, self._place(job.inputs), deadline) for job in jobs))
        parts: list[tuple[Sequence[int], Tensors]] = []
        for row, each in zip(rows, served, strict=True):
            if isinstance(each.result, ModelError):
                raise each.result
            parts.append(([row], each.result))
        return Served(
            merge(parts),
            max(each.queue_s for each in served),
            max(each.compute_s for each in served),
            max(each.batch for each in served),
            sum(each.share for each in served),
        )

    async def _run(self, jobs: list[Job]) -> list[Answer]:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._compute, jobs)

    def _compute(self, jobs: Sequence[Job]) -> list[Answer]:
        inputs, requested = [job.inputs for job in jobs], [job.requested for job in jobs]
        answers = run_batch(self._spec.name, self._model, inputs, requested, on_memory=self._batcher.halve)
        self._metrics.ran(sum(map(rows_of, inputs)) if self._spec.max_batch_size else len(jobs))
        return answers

    async def catalogue(self) -> list[dict[str, Any]]:
        """What the weights of this model can do."""
        return self._model.catalogue()

    async def check_health(self) -> None:
        """Called by Ray. RuntimeError when a batch is stuck."""
        running = self._batcher.oldest_running_s()
        self._metrics.waiting(self._batcher.queued)
        self._metrics.memory()
        if gpus := [int(index) for index in ray.get_gpu_ids()]:
            self._metrics.gpus(await asyncio.to_thread(gpu_memory, gpus))
        if running > self._stuck_s:
            raise RuntimeError(
                f"{self._spec.name}: a batch has been running for {running:.0f} s; replacing the replica"
            )
