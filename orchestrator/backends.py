"""The API's ways to the durable queue (DBOS) and to the models, opened with the application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from uuid import UUID

from orchestrator.capabilities import Capabilities
from orchestrator.connections import CANCELLING
from orchestrator.context import Backends
from orchestrator.database import make_sync_engine
from orchestrator.inference import (
    Inference,
    ModelPlaneUnavailableError,
    ModelRefusedError,
    Speech,
    Utterance,
)
from orchestrator.jobs import durable
from orchestrator.settings import Settings

ASK_TIMEOUT_S = 3.0
"""A request does not wait longer to learn what the models can do."""
SPEAK_TIMEOUT_S = 30.0
"""Nor to hear a voice say a sentence or two."""


@asynccontextmanager
async def open_backends(settings: Settings) -> AsyncIterator[Backends]:
    """A client of the queue that runs nothing itself, and a client of the model plane."""
    engine = make_sync_engine(settings.database_url, quick=True, pool=CANCELLING)
    client = durable.api_client(engine)
    async with Inference(settings.model_address) as models:

        async def cancel(job_id: UUID, attempt: int) -> None:
            await client.cancel_workflow_async(durable.job_workflow_id(job_id, attempt), cancel_children=True)

        async def capabilities() -> Capabilities | None:
            try:
                async with asyncio.timeout(ASK_TIMEOUT_S):
                    return await models.capabilities()
            except (TimeoutError, ModelPlaneUnavailableError, ModelRefusedError):  # down, or a model is not loaded yet
                return None

        async def speak(utterance: Utterance) -> Speech:
            try:
                async with asyncio.timeout(SPEAK_TIMEOUT_S):
                    return await models.synthesize(utterance)
            except TimeoutError:
                raise ModelPlaneUnavailableError("coqui_tts", SPEAK_TIMEOUT_S) from None

        try:
            yield Backends(
                enqueue=partial(durable.enqueue_job, client),
                cancel=cancel,
                capabilities=capabilities,
                speak=speak,
                enqueue_mail=partial(durable.enqueue_mail, client),
                enqueue_account_request=partial(durable.enqueue_account_request, client),
                enqueue_polar_events=durable.enqueue_polar_events,
            )
        finally:
            client.destroy()
            engine.dispose()
