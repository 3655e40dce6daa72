"""Following jobs: /v1/events, /v1/jobs/{id}/events and /v1/jobs/{id}/log."""

from contextlib import AbstractContextManager, ExitStack
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response

from orchestrator.accounts.authentication import BearerToken, CurrentPrincipal, CurrentUser, Principal, principal_of
from orchestrator.context import AppContext, Context, DbSession
from orchestrator.jobs import service
from orchestrator.jobs.admission import Pass
from orchestrator.jobs.events import TERMINAL
from orchestrator.jobs.following import JobReader, UserReader, events_after
from orchestrator.jobs.schemas import LogEntry, LogPage
from orchestrator.jobs.streams import EventStream
from orchestrator.problems import documented

router = APIRouter(prefix="/v1", tags=["jobs"])

LARGEST_ID = 2**63 - 1

LastEventId = Annotated[int | None, Header(ge=0, le=LARGEST_ID, description="Only events after this one.")]
LastEventIdInUrl = Annotated[
    int | None,
    Query(
        alias="last_event_id",
        ge=0,
        le=LARGEST_ID,
        description="The same for a first request whose headers cannot be set; the header, which is sent when a stream"
        " was cut, counts where it is further.",
    ),
]

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events `progress`, `warning`, `completed`, `failed`, `cancelled`, data in JSON;"
        " `expired` at the end of the token, which is the end of the stream",
    },
    **documented(401, 404, 422, 429, 503),
}


@router.get(
    "/jobs/{job_id}/events",
    status_code=200,
    response_class=EventStream,
    responses={
        204: {"description": "The job has ended and the last event was delivered already: do not reconnect"},
        **_STREAM,
    },
)
async def job_events(
    job_id: UUID,
    context: Context,
    principal: CurrentPrincipal,
    secret: BearerToken,
    last_event_id: LastEventId = None,
    in_url: LastEventIdInUrl = None,
) -> Response:
    """Everything that happened to the job at this attempt, then what happens, until it ends."""
    given = max(last_event_id or 0, in_url or 0)
    async with context.sessions() as session:
        job = await service.get(session, principal.user.id, job_id)
        after = max(given, job.last_event_before)
        is_told = given and not (await session.execute(events_after(job_id, after))).first()
    if is_told and job.status in TERMINAL:
        return Response(status_code=204)
    with ExitStack() as places:
        leave = places.enter_context(_admitted(context, principal, secret))
        reader = places.enter_context(JobReader(context.engine, context.news, job_id, after))
        return EventStream(reader, leave, context.settings.sse_heartbeat_s, places.pop_all())


@router.get("/events", status_code=200, response_class=EventStream, responses=_STREAM)
async def events(
    context: Context,
    principal: CurrentPrincipal,
    secret: BearerToken,
    last_event_id: LastEventId = None,
    in_url: LastEventIdInUrl = None,
) -> Response:
    """What happens to any of one's jobs, each event with its `job_id`; first the newest event of each open job.

    With the id of an event, what came after it instead. Events of different jobs are not in order, and after a
    reconnection a few may come a second time: `event_id` says which.
    """
    given = [each for each in (last_event_id, in_url) if each is not None]
    with ExitStack() as places:
        leave = places.enter_context(_admitted(context, principal, secret))
        position = max(given) if given else None
        reader = places.enter_context(UserReader(context.engine, context.news, principal.user.id, position))
        return EventStream(reader, leave, context.settings.sse_heartbeat_s, places.pop_all())


def _admitted(context: AppContext, principal: Principal, secret: str) -> AbstractContextManager[Pass]:
    return context.admission.admitted(
        principal.user.id, secret, principal.expires_at, lambda: principal_of(context, secret)
    )


@router.get("/jobs/{job_id}/log", responses=documented(401, 404, 422, 503))
async def job_log(
    job_id: UUID,
    user: CurrentUser,
    session: DbSession,
    cursor: Annotated[int, Query(ge=0, le=LARGEST_ID, description="The next_cursor of the page before.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 200,
) -> LogPage:
    """What the job did, step by step, in sentences."""
    await service.get(session, user.id, job_id)
    found = await service.log_of(session, job_id, cursor, limit + 1)
    items = [LogEntry.of(event) for event in found[:limit]]
    return LogPage(items=items, next_cursor=items[-1].id if len(found) > limit else None)
