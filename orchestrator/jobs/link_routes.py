"""/v1/jobs/{job_id}/artifacts/{name}/link, and /v1/downloads, where the links lead."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from orchestrator.accounts.authentication import CurrentUser
from orchestrator.context import Context, DbSession
from orchestrator.downloads import deliver
from orchestrator.jobs import links
from orchestrator.problems import documented
from orchestrator.rate_limits.dependencies import within

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
downloads = APIRouter(prefix="/v1/downloads", tags=["downloads"], dependencies=within("download"))
"""Open to whoever has a link."""

Name = Annotated[str, Path(max_length=255, pattern=r"^[^\x00]+$")]


class LinkRequest(BaseModel):
    """`seconds`: how long the link is to be good for; as long as it can be when left out."""

    model_config = ConfigDict(extra="forbid")

    seconds: int | None = Field(default=None, ge=1)


class LinkView(BaseModel):
    """A link that downloads the file without a login until `expires_at`, as long as file and account are there."""

    url: str
    expires_at: datetime


@router.post("/{job_id}/artifacts/{name}/link", status_code=201, responses=documented(401, 404, 410, 422, 503))
async def make_link(
    job_id: UUID,
    name: Name,
    request: Request,
    context: Context,
    user: CurrentUser,
    session: DbSession,
    wish: LinkRequest | None = None,
) -> LinkView:
    """Make a link that downloads a finished file without a login. Whoever has it can use it."""
    link = await links.make(session, context.settings, user.id, job_id, name, wish.seconds if wish else None)
    base = context.settings.public_url or str(request.base_url)
    return LinkView(url=base.rstrip("/") + link.path, expires_at=link.expires_at)


_DOWNLOAD: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file", "content": {"application/octet-stream": {}}},
    206: {"description": "The part a Range header asked for", "content": {"application/octet-stream": {}}},
    304: {"description": "The file the client has (If-None-Match) is the current one"},
    307: {"description": "The file is at the object store, where the server is set so"},
    **documented(403, 404, 410, 416, 422, 429, 503),
}


@downloads.head("/{job_id}/{name}", response_class=Response, responses=_DOWNLOAD, include_in_schema=False)
@downloads.get("/{job_id}/{name}", response_class=Response, responses=_DOWNLOAD)
async def follow_link(
    job_id: UUID,
    name: Name,
    expires: Annotated[int, Query(ge=0, le=2**40, description="When the link ends, in seconds since 1970.")],
    signature: Annotated[str, Query(pattern=r"^[0-9a-f]{64}$")],
    request: Request,
    context: Context,
) -> Response:
    """The file a link leads to, or a range of it."""
    async with context.sessions() as session:
        file, filename = await links.follow(session, context.settings, job_id, name, expires, signature)
    return await deliver(request, context, file, filename)
