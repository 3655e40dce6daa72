"""Runs a batch of requests on a model so that what goes wrong with one stays with that one."""

import logging
from collections.abc import Callable, Sequence

from serve.errors import ModelError, exhausted, internal
from serve.models.base import Answer, Model, Tensors

log = logging.getLogger(__name__)


def run_batch(
    name: str,
    model: Model,
    batch: Sequence[Tensors],
    requested: Sequence[set[str]],
    on_memory: Callable[[], None] = lambda: None,
) -> list[Answer]:
    """One answer a request. A batch that raises is run again request by request; what still raises is logged and
    answered as INTERNAL. A batch that does not fit into memory is run in halves, and `on_memory` is told; a single
    request that does not fit is RESOURCE_EXHAUSTED.
    """
    try:
        return _answers(model, batch, requested)
    except ModelError as error:
        if len(batch) == 1:
            return [error]
    except Exception as error:
        if out_of_memory(error):
            on_memory()
            if len(batch) == 1:
                return [exhausted(f"model '{name}' has not the memory for a request of {rows_of(batch[0])} rows")]
            half = len(batch) // 2
            return [
                answer
                for part in (slice(None, half), slice(half, None))
                for answer in run_batch(name, model, batch[part], requested[part], on_memory)
            ]
        if len(batch) == 1:
            failed = internal(f"model '{name}' failed on this input; the server's log says why")
            log.exception("inference failed", extra=failure(name, failed))
            return [failed]
    return [run_batch(name, model, [one], [wanted])[0] for one, wanted in zip(batch, requested, strict=True)]


def _answers(model: Model, batch: Sequence[Tensors], requested: Sequence[set[str]]) -> list[Answer]:
    answers = model.infer(batch, requested)
    if len(answers) != len(batch):
        raise ValueError(f"the model gave {len(answers)} answers to {len(batch)} requests")
    return answers


def failure(name: str, error: ModelError) -> dict[str, str]:
    """The fields of a failure's log line."""
    return {"model": name, "code": error.code.value, "reason": error.message}


def out_of_memory(error: BaseException) -> bool:
    """Whether a library says that memory did not suffice: torch's and CTranslate2's own words, or Python's."""
    return isinstance(error, MemoryError) or "out of memory" in str(error).lower()


def rows_of(request: Tensors) -> int:
    """Rows in a request's batch dimension."""
    return len(next(iter(request.values())))
