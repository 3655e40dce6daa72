"""/v1/jobs/{job_id}/transcript and /v1/jobs/{job_id}/regenerate."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from orchestrator.accounts.authentication import CurrentUser
from orchestrator.context import Context, DbSession
from orchestrator.editing import regenerating, service, store
from orchestrator.editing.schemas import (
    EditRequest,
    EditView,
    RegenerateQuote,
    RegenerateRequest,
    RegenerateView,
    RegenerationList,
    RestoreRequest,
    RevisionList,
    RevisionView,
    TranscriptView,
)
from orchestrator.idempotency import key_header
from orchestrator.jobs.schemas import JobView
from orchestrator.problems import documented

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["editing"])

RegenerateKey = Annotated[str | None, key_header("the same key begins one regeneration, however often it is sent")]

MOST_SHOWN = 10_000


@router.get("/transcript", responses=documented(401, 404, 409, 410, 422, 503))
async def get_transcript(
    job_id: UUID,
    user: CurrentUser,
    session: DbSession,
    revision: Annotated[int | None, Query(ge=1, lt=2**31, description="The current one when left out.")] = None,
    cursor: Annotated[int, Query(ge=0, lt=2**31, description="The next_cursor of the page before.")] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST_SHOWN)] = MOST_SHOWN,
) -> TranscriptView:
    """The transcript of a completed job, with its translations; `stale` is what the files there are have otherwise."""
    job = await service.editable(session, user.id, job_id)
    return await service.view(session, job, revision, cursor, limit)


@router.post("/transcript/edits", status_code=201, responses=documented(401, 404, 409, 410, 422, 503))
async def edit_transcript(job_id: UUID, request: EditRequest, context: Context, user: CurrentUser) -> EditView:
    """Change a transcript: all operations or none, as a new revision. Costs nothing; the files stay as they are.

    409 with the current `revision` where `base_revision` is another, and while the transcript is being regenerated.
    """
    done = await service.edit(context, user.id, job_id, request.base_revision, request.operations)
    return EditView(revision=done.revision.number, created=list(done.created), notices=service.notices(done.tight))


@router.get("/transcript/revisions", responses=documented(401, 404, 409, 410, 422, 503))
async def list_revisions(job_id: UUID, user: CurrentUser, session: DbSession) -> RevisionList:
    """The revisions of a transcript; each can be read with ?revision=."""
    job = await service.editable(session, user.id, job_id)
    found = [RevisionView.model_validate(each) for each in await store.history(session, job.id)]
    first = RevisionView(number=store.FIRST, what="original", operations=0, restored=None, at=job.finished_at)
    return RevisionList(
        current_revision=found[0].number if found else store.FIRST, output_revision=job.revision, items=found or [first]
    )


@router.post("/transcript/restore", status_code=201, responses=documented(401, 404, 409, 410, 422, 503))
async def restore_revision(job_id: UUID, request: RestoreRequest, context: Context, user: CurrentUser) -> EditView:
    """Make a new revision that is as an old one was."""
    revision = await service.restore(context, user.id, job_id, request.base_revision, request.revision)
    return EditView(revision=revision.number, created=[], notices=[])


@router.post("/regenerate/quote", responses=documented(401, 404, 409, 410, 422, 503))
async def quote_regeneration(job_id: UUID, context: Context, user: CurrentUser) -> RegenerateQuote:
    """Say what regenerating the current revision would cost. Nothing is started or held."""
    return await regenerating.quoted(context, user.id, job_id)


@router.post(
    "/regenerate",
    status_code=202,
    responses={
        200: {"model": RegenerateView, "description": "Nothing had changed, or an earlier request with this key began"},
        **documented(401, 402, 404, 409, 410, 422, 503),
    },
)
async def regenerate(
    job_id: UUID,
    request: RegenerateRequest,
    response: Response,
    context: Context,
    user: CurrentUser,
    idempotency_key: RegenerateKey = None,
) -> RegenerateView:
    """Make the job's files anew from its current revision: only what was changed is translated and spoken.

    The files there are stay until the new ones take their place, all at once; where it fails or is cancelled they stay
    for good and the credits come back. 409 with the current `revision` where `base_revision` is another, and while it
    is being regenerated.
    """
    begun = await regenerating.begin(context, user.id, job_id, request.base_revision, idempotency_key)
    made = begun.regeneration
    response.status_code = 202 if begun.new else 200
    if made is not None:
        response.headers["Location"] = f"/v1/jobs/{made.id}"
    return RegenerateView(
        revision=begun.revision,
        output_revision=begun.job.revision,
        changed=made is not None,
        credits=made.credits if made else 0,
        job=JobView.model_validate(made) if made else None,
    )


@router.get("/regenerations", responses=documented(401, 404, 409, 410, 422, 503))
async def list_regenerations(job_id: UUID, user: CurrentUser, session: DbSession) -> RegenerationList:
    """The regenerations of a job and what came of them."""
    job = await service.editable(session, user.id, job_id)
    return RegenerationList(items=[JobView.model_validate(each) for each in await regenerating.listed(session, job)])
