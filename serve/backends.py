"""A model reached through Ray's deployment handle, as the data plane sees it."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from ray import serve
from ray.exceptions import RayActorError, RayError, RayTaskError, TaskCancelledError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

from serve.errors import ModelError, exhausted, unavailable
from serve.models.base import Array, Tensors
from serve.protocol.dataplane import Ran
from serve.replica import Outcome
from serve.repository import ModelSpec
from serve.routing import groups
from serve.rows import merge, split

log = logging.getLogger(__name__)

APPLICATION = "octavia"


class RayBackend:
    """Calls the model's deployment: rows that need different weights go to the replicas that have them."""

    def __init__(self, spec: ModelSpec, handle: DeploymentHandle[Any]) -> None:
        self._spec = spec
        self._handle = handle

    async def infer(self, inputs: Mapping[str, Array], requested: set[str], deadline: float | None) -> Ran:
        """The outputs, rows in the order they came; ModelError when any row cannot be answered."""
        tensors = dict(inputs)
        keyed = groups(self._spec, tensors)
        if len(keyed) == 1:
            return await self._infer(next(iter(keyed)), tensors, requested, deadline)
        calls = [self._infer(key, split(tensors, rows), requested, deadline) for key, rows in keyed.items()]
        done = await asyncio.gather(*calls)
        outputs = merge([(rows, dict(ran.outputs)) for rows, ran in zip(keyed.values(), done, strict=True)])
        return Ran(
            outputs,
            max(ran.queue_s for ran in done),
            max(ran.compute_s for ran in done),
            max(ran.batch for ran in done),
            sum(ran.share for ran in done),
        )

    async def catalogue(self) -> Sequence[Mapping[str, Any]]:
        """What the model's weights can do."""
        return await self._call(self._handle.catalogue)  # type: ignore[no-any-return]

    async def asleep(self) -> bool:
        """Whether the model was scaled to no replica at all, as autoscaling with min_replicas 0 does."""
        overview = (await asyncio.to_thread(serve.status)).applications.get(APPLICATION)
        deployment = overview.deployments.get(self._spec.name) if overview else None
        return deployment is not None and deployment.status == "HEALTHY" and not deployment.replica_states

    async def _infer(self, key: str, inputs: Tensors, requested: set[str], deadline: float | None) -> Ran:
        handle = self._handle.options(multiplexed_model_id=key) if key else self._handle
        outcome: Outcome = await self._call(handle.infer, inputs, requested, deadline)
        if isinstance(outcome.answer, ModelError):
            raise outcome.answer
        return Ran(outcome.answer, outcome.queue_s, outcome.compute_s, outcome.batch, outcome.share)

    async def _call(self, method: Any, *arguments: Any) -> Any:
        """The method's result. What Ray raises because a replica died or is overloaded becomes a ModelError. Cancelling
        the call cancels it in the replica.
        """
        name = self._spec.name
        call = method.remote(*arguments)
        try:
            return await call
        except asyncio.CancelledError:
            call.cancel()
            raise
        except BackPressureError:
            raise exhausted(f"model '{name}' is overloaded; try again later") from None
        except (RayActorError, DeploymentUnavailableError) as error:
            log.warning("model %s: %s", name, type(error).__name__)
            raise unavailable(f"a replica of model '{name}' stopped; try again") from None
        except TaskCancelledError:
            raise asyncio.CancelledError from None
        except RayTaskError:
            raise
        except RayError as error:
            log.warning("model %s: %s", name, error)
            raise unavailable(f"model '{name}' cannot be reached; try again") from None
