"""Runs an ensemble over the backends of its models, each row of a batch on its own.

A step starts when its inputs are there, so row 1 is being spoken while row 2 is still being heard; the models' replicas
put rows of all callers together into batches again. Tensors between the steps stay in the cluster.
"""

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from serve.errors import ModelError, internal
from serve.graph import named, needed, producers
from serve.models.base import Array, Tensors
from serve.protocol.dataplane import Backend, Ran
from serve.repository import ModelSpec
from serve.rows import merge, split
from serve.runner import rows_of

log = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Row:
    """One row on its way. `tensors` [1, ...] are the inputs, and the steps add what they produce."""

    index: int
    tensors: Tensors
    requested: frozenset[str]
    deadline: float | None


class EnsembleBackend:
    """An ensemble as the data plane sees it. `backends` holds one for each model of the repository."""

    def __init__(self, spec: ModelSpec, specs: Mapping[str, ModelSpec], backends: Mapping[str, Backend]) -> None:
        self._spec = spec
        self._specs = specs
        self._backends = backends
        self._producers = producers(spec.steps)

    async def infer(self, inputs: Mapping[str, Array], requested: set[str], deadline: float | None) -> Ran:
        """The outputs. Times are summed over the steps, of the row that took longest. When a step fails all others are
        cancelled, and the ModelError names the step.
        """
        tensors = dict(inputs) if self._spec.max_batch_size else _batched(inputs)
        rows = [_Row(i, split(tensors, [i]), frozenset(requested), deadline) for i in range(rows_of(tensors))]
        done = await together([self._through(row) for row in rows])
        outputs = merge([([row.index], dict(ran.outputs)) for row, ran in zip(rows, done, strict=True)])
        return Ran(
            outputs if self._spec.max_batch_size else _unbatched(outputs),
            max(ran.queue_s for ran in done),
            max(ran.compute_s for ran in done),
            len(rows),
        )

    async def asleep(self) -> bool:
        """Whether one of its models is asleep."""
        return any(await asyncio.gather(*(self._backends[step.model].asleep() for step in self._spec.steps)))

    async def catalogue(self) -> Sequence[Mapping[str, Any]]:
        """What the weights of each of its models can do, with the model's name; ModelError while one is starting."""
        models = list(dict.fromkeys(step.model for step in self._spec.steps))
        found = await asyncio.gather(*(self._backends[model].catalogue() for model in models))
        return [{"model": model, **entry} for model, entries in zip(models, found, strict=True) for entry in entries]

    async def _through(self, row: _Row) -> Ran:
        """One row through the steps that its requested outputs need."""
        order = needed(self._spec.steps, set(row.requested))
        wanted = row.requested | {tensor for index in order for tensor in self._spec.steps[index].inputs.values()}
        ended = {index: asyncio.Event() for index in order}
        done = await together([self._after(index, row, wanted, ended) for index in order])
        outputs = {name: row.tensors[name] for name in row.requested}
        return Ran(outputs, sum(ran.queue_s for ran in done), sum(ran.compute_s for ran in done))

    async def _after(self, index: int, row: _Row, wanted: frozenset[str], ended: Mapping[int, asyncio.Event]) -> Ran:
        """The step, once those that produce its inputs have ended."""
        step = self._spec.steps[index]
        for tensor in step.inputs.values():
            if tensor in self._producers:
                await ended[self._producers[tensor]].wait()
        ran = await self._step(index, row, {name for name, tensor in step.outputs.items() if tensor in wanted})
        row.tensors.update((step.outputs[name], array) for name, array in ran.outputs.items() if name in step.outputs)
        ended[index].set()
        return ran

    async def _step(self, index: int, row: _Row, requested: set[str]) -> Ran:
        step = self._spec.steps[index]
        inputs = {name: row.tensors[tensor] for name, tensor in step.inputs.items() if tensor in row.tensors}
        batched = self._specs[step.model].max_batch_size > 0
        where = f"in ensemble {self._spec.name}, {named(self._spec.steps, index)}, row {row.index}"
        try:
            ran = await self._backends[step.model].infer(
                inputs if batched else _unbatched(inputs), requested, row.deadline
            )
        except ModelError as error:
            raise ModelError(error.code, f"{where}: {error.message}", error.retry_after_s) from None
        except Exception:
            log.exception("%s failed", where)
            raise internal(f"{where}: failed; the server's log says why") from None
        return ran if batched else Ran(_batched(ran.outputs), ran.queue_s, ran.compute_s)


def with_ensembles(specs: Mapping[str, ModelSpec], backends: Mapping[str, Backend]) -> dict[str, Backend]:
    """The backends, and one for each ensemble of the repository, which may contain other ensembles."""
    every = dict(backends)
    every.update((name, EnsembleBackend(spec, specs, every)) for name, spec in specs.items() if spec.steps)
    return every


async def together(calls: Sequence[Coroutine[Any, Any, Result]]) -> list[Result]:
    """The results of calls run at the same time. The first that fails cancels the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]


def _batched(tensors: Mapping[str, Array]) -> Tensors:
    return {name: array[None] for name, array in tensors.items()}


def _unbatched(tensors: Mapping[str, Array]) -> Tensors:
    return {name: array[0] for name, array in tensors.items()}
