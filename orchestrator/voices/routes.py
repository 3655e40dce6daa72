"""/v1/voices."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from orchestrator.accounts.authentication import CurrentUser
from orchestrator.context import AppContext, Context
from orchestrator.downloads import send
from orchestrator.idempotency import key_header
from orchestrator.languages import Language
from orchestrator.problems import documented
from orchestrator.rate_limits.dependencies import within
from orchestrator.voices import service
from orchestrator.voices.samples import sample

router = APIRouter(prefix="/v1/voices", tags=["voices"])

Key = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
IdempotencyKey = Annotated[str | None, key_header("the same key is refused for another voice or text")]


class VoiceView(BaseModel):
    """A voice that can speak a dub, and the sentence it introduces itself with."""

    name: str
    language: str
    gender: str | None
    sample_text: str


class VoiceList(BaseModel):
    items: list[VoiceView]


class PreviewRequest(BaseModel):
    """`text` is the voice's own sample when left out."""

    model_config = ConfigDict(extra="forbid")

    language: Language | None = None
    text: str | None = Field(default=None, max_length=10_000)


class PreviewView(BaseModel):
    """`url` plays without a token for an hour. `credits`: what this one cost; hearing it again costs nothing."""

    url: str
    voice: str
    language: str
    seconds: float
    credits: int
    available: int


@router.get("", responses=documented(401, 422, 429, 503), dependencies=within("default"))
async def list_voices(context: Context, user: CurrentUser, language: Language | None = None) -> VoiceList:
    """The voices there are, or those of a language."""
    voices = (await service.known(context)).voices
    return VoiceList(
        items=[
            VoiceView(name=each.name, language=each.language, gender=each.gender, sample_text=sample(each.language))
            for each in voices
            if language in (None, each.language)
        ]
    )


@router.post(
    "/{name}/preview",
    responses=documented(401, 402, 404, 409, 413, 422, 429, 503),
    dependencies=within("preview_voice"),
)
async def preview_voice(
    name: Annotated[str, Path(max_length=100)],
    request: PreviewRequest,
    context: Context,
    user: CurrentUser,
    idempotency_key: IdempotencyKey = None,
) -> PreviewView:
    """Have a voice say a text. Each voice and text is paid for once, however often one asks."""
    found = await service.preview(context, user.id, name, request.language, request.text, idempotency_key)
    return PreviewView(
        url=f"/v1/voices/previews/{found.key}.mp3?{found.query}",
        voice=found.voice.name,
        language=found.language,
        seconds=found.seconds,
        credits=found.credits,
        available=found.available,
    )


_SOUND: dict[int | str, dict[str, Any]] = {
    200: {"description": "The preview", "content": {"audio/mpeg": {}}},
    206: {"description": "A range of it"},
}


@router.get(
    "/previews/{key}.mp3",
    response_class=Response,
    responses={**_SOUND, **documented(403, 410, 416, 422, 429, 503)},
    dependencies=within("look"),
)
async def hear_preview(
    key: Key,
    expires: Annotated[int, Query(ge=0, le=2**40)],
    signature: Annotated[str, Query(max_length=100)],
    request: Request,
    context: Context,
) -> Response:
    """The sound of a preview, for whoever has its link."""
    return await send_preview(context, request, key, expires, signature)


async def send_preview(context: AppContext, request: Request, key: str, expires: int, signature: str) -> Response:
    """Raises LinkInvalidError, LinkExpiredError, LinkRevokedError."""
    kept = await service.opened(context, key, expires, signature)
    return send(
        request,
        context.storage,
        kept.storage_key,
        size=kept.size,
        sha256=kept.sha256,
        content_type="audio/mpeg",
        filename=f"{kept.voice}.mp3",
    )
