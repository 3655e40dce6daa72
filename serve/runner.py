"""Runs a batch of requests on a model so that what goes wrong with one stays with that one."""

import logging
from collections.abc import Sequence

from serve.errors import ModelError, internal
from serve.models.base import Answer, Model, Tensors

log = logging.getLogger(__name__)


def run_batch(name: str, model: Model, batch: Sequence[Tensors], requested: Sequence[set[str]]) -> list[Answer]:
    """One answer a request. A batch that raises is run again request by request; what still raises is logged and
    answered as INTERNAL.
    """
    try:
        answers = model.infer(batch, requested)
        if len(answers) == len(batch):
            return answers
        log.error("model %s gave %d answers to %d requests", name, len(answers), len(batch))
    except ModelError as error:
        if len(batch) == 1:
            return [error]
    except Exception:
        log.exception("model %s failed on a batch of %d", name, len(batch))
    if len(batch) == 1:
        return [internal(f"model '{name}' failed on this input; the server's log says why")]
    return [run_batch(name, model, [one], [wanted])[0] for one, wanted in zip(batch, requested, strict=True)]


def rows_of(request: Tensors) -> int:
    """Rows in a request's batch dimension."""
    return len(next(iter(request.values())))
