"""What a request's handlers reach for: made once per application, handed out as dependencies."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol
from uuid import UUID

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session

from orchestrator.accounts.tokens import AccessTokens
from orchestrator.billing.polar import Polar
from orchestrator.billing.signatures import Signatures
from orchestrator.billing.wire import Delivery
from orchestrator.capabilities import Capabilities
from orchestrator.draining import Drain
from orchestrator.group_commit import GroupCommit
from orchestrator.inference import Speech, Utterance
from orchestrator.jobs.admission import Admission
from orchestrator.jobs.events import JobNews
from orchestrator.jobs.waiting import WaitingLine
from orchestrator.rate_limits.service import RateLimits
from orchestrator.settings import Settings
from orchestrator.storage import Storage


class Enqueue(Protocol):
    """Enqueues an attempt at a job in the caller's transaction, so that row and workflow exist together or not at all.

    `paid`: it costs credits.
    """

    def __call__(self, session: Session, job_id: UUID, user_id: UUID, /, *, attempt: int = 1, paid: bool) -> None: ...


class EnqueueMail(Protocol):
    """Enqueues a mail's workflow in the caller's transaction, so that row and workflow exist together or not at all."""

    def __call__(self, session: Session, mail_id: UUID, /) -> None: ...


class EnqueueAccountRequest(Protocol):
    """Enqueues the workflow that answers an account request in the caller's transaction."""

    def __call__(self, session: Session, request_id: UUID, /) -> None: ...


class EnqueuePolarEvents(Protocol):
    """Enqueues the workflows that handle these events of Polar's in the caller's transaction."""

    def __call__(self, session: Session, webhook_ids: Sequence[str], /) -> None: ...


@dataclass(frozen=True, slots=True)
class Backends:
    """What the API needs of the durable queue and of the model plane."""

    enqueue: Enqueue
    cancel: Callable[[UUID, int], Awaitable[None]]
    """Stops the workflow of a job's attempt, which is already decided. May fail: the sweeper repeats it."""
    capabilities: Callable[[], Awaitable[Capabilities | None]]
    """What the models can do; None while the model plane cannot be asked."""
    speak: Callable[[Utterance], Awaitable[Speech]]
    """Has a voice say something short. Raises ModelPlaneUnavailableError, ModelRefusedError."""
    enqueue_mail: EnqueueMail
    enqueue_account_request: EnqueueAccountRequest
    enqueue_polar_events: EnqueuePolarEvents


@dataclass(frozen=True, slots=True)
class AppContext:
    """Everything an application's handlers share."""

    settings: Settings
    engine: AsyncEngine
    sessions: async_sessionmaker[AsyncSession]
    storage: Storage
    tokens: AccessTokens
    limits: RateLimits
    news: JobNews
    admission: Admission
    line: WaitingLine
    backends: Backends
    polar: Polar | None
    """None where billing is off."""
    signatures: Signatures
    deliveries: GroupCommit[Delivery, bool]
    """Keeps what Polar delivers; False: it had been kept before."""
    probes: asyncio.Semaphore
    drain: Drain


def context_of(request: Request) -> AppContext:
    context: AppContext = request.app.state.context
    return context


async def _context(request: Request) -> AppContext:  # asynchronous, or every request would visit a thread for it
    return context_of(request)


Context = Annotated[AppContext, Depends(_context)]


async def _session(context: Context) -> AsyncIterator[AsyncSession]:
    async with context.sessions.begin() as session:
        yield session


DbSession = Annotated[AsyncSession, Depends(_session, scope="function")]
"""A transaction around the handler, committed before the answer is sent."""
