"""/v1/uploads: the tus protocol 1.0, and what became of an upload."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from orchestrator.accounts.authentication import CurrentUser
from orchestrator.context import AppContext, Context, DbSession
from orchestrator.problems import documented
from orchestrator.slow_bodies import SlowBodyError
from orchestrator.uploads import rows, service, tus
from orchestrator.uploads.models import Upload
from orchestrator.uploads.schemas import UploadPage, UploadView

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])
discovery = APIRouter(prefix="/v1/uploads", tags=["uploads"])
"""Open to everybody: what the server can do."""

TusResumable = Annotated[str | None, Header(description=f"The protocol's version: {tus.VERSION}.")]
UploadOffset = Annotated[str | None, Header(description="How many bytes are there; HEAD says it.")]

_BODY: dict[str, Any] = {
    "requestBody": {"content": {tus.CONTENT_TYPE: {"schema": {"type": "string", "format": "binary"}}}}
}


def _described(*names: str) -> dict[str, Any]:
    return {"headers": {name: {"schema": {"type": "string"}} for name in (tus.RESUMABLE, *names)}}


async def _own(upload_id: UUID, user: CurrentUser, context: Context) -> UUID:
    """The upload is the user's, or there is none: said before anything else about the request."""
    async with context.sessions() as session:  # none stays open while a body comes
        return (await service.get(session, user.id, upload_id)).id


OwnUpload = Annotated[UUID, Depends(_own)]


@discovery.options(
    "",
    status_code=204,
    response_class=Response,
    responses={204: _described("Tus-Version", "Tus-Extension", "Tus-Max-Size")},
)
async def capabilities(context: Context) -> Response:
    """What of the tus protocol is spoken here, and how large a file may be."""
    headers = {
        "Tus-Version": tus.VERSION,
        "Tus-Extension": ",".join(tus.EXTENSIONS),
        "Tus-Max-Size": str(context.settings.max_upload_bytes),
    }
    return Response(status_code=204, headers=headers)


@router.post(
    "",
    status_code=201,
    response_class=Response,
    responses={
        201: _described("Location", tus.OFFSET, tus.EXPIRES, tus.MEDIA_ID),
        **documented(400, 401, 409, 410, 412, 413, 415, 422, 423, 503, 507),
    },
    openapi_extra=_BODY,
)
async def begin(
    request: Request,
    context: Context,
    user: CurrentUser,
    tus_resumable: TusResumable = None,
    upload_length: Annotated[str | None, Header(description="Bytes of the whole file.")] = None,
    upload_metadata: Annotated[str | None, Header(description="`filename` and others, as tus writes them.")] = None,
) -> Response:
    """Begin a resumable upload (tus: creation). The body may bring its first bytes (creation-with-upload)."""
    tus.check_version(tus_resumable)
    with_bytes = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    if with_bytes:
        tus.check_content_type(request.headers.get("content-type"))
    upload = await service.begin(context, user.id, tus.number(tus.LENGTH, upload_length), upload_metadata)
    headers = await _appended(request, context, user.id, upload.id, 0) if with_bytes else _headers(upload)
    return Response(status_code=201, headers={**headers, "Location": f"/v1/uploads/{upload.id}"})


@router.get("", responses=documented(401, 422, 503))
async def list_uploads(
    user: CurrentUser,
    session: DbSession,
    cursor: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> UploadPage:
    """One's resumable uploads, newest first: open ones, and for a while those that are not."""
    found = await service.page(session, user.id, cursor, limit + 1)
    items = [UploadView.model_validate(upload) for upload in found[:limit]]
    return UploadPage(items=items, next_cursor=items[-1].id if len(found) > limit else None)


@router.get("/{upload_id}", response_model=UploadView, responses=documented(401, 404, 422, 503))
async def get_upload(upload_id: UUID, user: CurrentUser, session: DbSession) -> Upload:
    """What became of an upload. Ask it when the connection broke at the end; the media has the upload's id."""
    return await service.get(session, user.id, upload_id)


@router.head("/{upload_id}", response_class=Response, include_in_schema=False)
async def offset(own: OwnUpload, user: CurrentUser, session: DbSession, tus_resumable: TusResumable = None) -> Response:
    """How many bytes are there: where to go on."""
    tus.check_version(tus_resumable)
    upload = await rows.find(session, user.id, own)
    headers = {**_headers(upload), tus.LENGTH: str(upload.length), "Cache-Control": "no-store"}
    if upload.upload_metadata:
        headers[tus.METADATA] = upload.upload_metadata
    return Response(status_code=200, headers=headers)


@router.patch(
    "/{upload_id}",
    status_code=204,
    response_class=Response,
    responses={
        204: _described(tus.OFFSET, tus.EXPIRES, tus.MEDIA_ID),
        **documented(400, 401, 404, 409, 410, 412, 413, 415, 422, 423, 503, 507),
    },
    openapi_extra=_BODY,
)
async def append(
    request: Request,
    context: Context,
    user: CurrentUser,
    own: OwnUpload,
    tus_resumable: TusResumable = None,
    upload_offset: UploadOffset = None,
) -> Response:
    """Send the bytes from an offset on. What came before a connection broke counts: HEAD says where to go on.

    A body that comes too slowly is read no further: the answer's offset says how far it got.

    The request that brings the last byte waits for the check of the content: it is answered with the media's id, or
    with the problem of a file we do not take, as POST /v1/media would be.
    """
    tus.check_version(tus_resumable)
    tus.check_content_type(request.headers.get("content-type"))
    headers = await _appended(request, context, user.id, own, tus.number(tus.OFFSET, upload_offset))
    return Response(status_code=204, headers=headers)


@router.delete(
    "/{upload_id}",
    status_code=204,
    response_class=Response,
    responses=documented(401, 404, 409, 410, 412, 422, 503),
)
async def terminate(
    context: Context, user: CurrentUser, own: OwnUpload, tus_resumable: TusResumable = None
) -> Response:
    """End an upload and delete what was sent (tus: termination)."""
    tus.check_version(tus_resumable)
    await service.terminate(context, user.id, own)
    return Response(status_code=204)


async def _appended(
    request: Request, context: AppContext, user_id: UUID, upload_id: UUID, offset: int
) -> dict[str, str]:
    try:
        return _headers(await service.append(request, context, user_id, upload_id, offset))
    except SlowBodyError:  # which ends the request, not the upload
        return {**_headers(await service.reread(context, upload_id)), "Connection": "close"}


def _headers(upload: Upload) -> dict[str, str]:
    headers = {tus.OFFSET: str(upload.received)}
    if upload.status == "receiving":
        headers[tus.EXPIRES] = tus.date(upload.expires_at)
    if upload.status == "completed":
        headers[tus.MEDIA_ID] = str(upload.id)
    return headers
