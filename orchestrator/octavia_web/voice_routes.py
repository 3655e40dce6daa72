"""/api/voices/…: the library by language, and previews."""

from collections import defaultdict
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import JSONResponse, Response

from orchestrator.accounts.authentication import CurrentUser
from orchestrator.capabilities import Capabilities, Voice
from orchestrator.context import Context
from orchestrator.errors import OctaviaError
from orchestrator.idempotency import idempotency_key_of
from orchestrator.octavia_web.envelope import refused, said
from orchestrator.octavia_web.languages import language as code_of
from orchestrator.octavia_web.languages import name_of
from orchestrator.rate_limits.dependencies import within
from orchestrator.voices import service
from orchestrator.voices.routes import Key, send_preview
from orchestrator.voices.samples import sample

router = APIRouter(prefix="/api/voices", include_in_schema=False)


@router.get("/all", dependencies=within("look"))
async def library(context: Context) -> JSONResponse:
    """Public: the page shows it to whoever comes."""
    by_language: dict[str, list[dict[str, Any]]] = defaultdict(list)
    voices = (await service.known(context)).voices
    for voice in voices:
        by_language[voice.language].append(_view(voice))
    return said(voices_by_language=by_language, voices=[_view(voice) for voice in voices], total=len(voices))


@router.get("/{language}", dependencies=within("look"))
async def of_language(language: str, context: Context) -> JSONResponse:
    """The voices a dub into the language can have. A language without any is refused in the words a page expects."""
    known = await service.known(context)
    try:
        code = code_of(language)
    except OctaviaError:
        code = None
    voices = _speakers(known, code) if code else []
    if not voices:
        return refused(200, f"The language '{language[:20]}' is not supported: no voice speaks it.", voices=[])
    return said(voices=[_view(voice, code) for voice in voices], language=code)


@router.post("/preview", dependencies=within("preview_voice"))
async def preview(
    request: Request,
    context: Context,
    user: CurrentUser,
    voice_id: Annotated[str, Form(max_length=100)],
    text: Annotated[str, Form(max_length=10_000)] = "",
    language: Annotated[str, Form(max_length=100)] = "",
) -> JSONResponse:
    code = code_of(language)
    name = code_of(voice_id) if voice_id == language else voice_id
    key = idempotency_key_of(request)
    found = await service.preview(context, user.id, name or voice_id, code, text.strip() or None, key)
    return said(
        preview_url=f"/api/voices/previews/{found.key}.mp3?{found.query}",
        voice_id=found.voice.name,
        credits_used=found.credits,
        credits_remaining=found.available,
    )


@router.get("/previews/{key}.mp3", dependencies=within("look"))
async def hear(key: Key, expires: int, signature: str, request: Request, context: Context) -> Response:
    """A media element fetches it without a token."""
    return await send_preview(context, request, key, expires, signature)


def _speakers(known: Capabilities, code: str) -> list[Voice]:
    """Those of the language, else the stand-in a dub would get."""
    own = [voice for voice in known.voices if voice.speaks(code)]
    stand_in = known.voice_for(code)
    return own or ([stand_in] if stand_in else [])


def _view(voice: Voice, language: str | None = None) -> dict[str, Any]:
    spoken = language or voice.language
    shown = voice.name.replace("_", " ").replace("-", " ").title()
    gender = f" ({voice.gender.title()})" if voice.gender else ""
    return {
        "id": voice.name,
        "voice_id": voice.name,
        "name": f"{shown}{gender}",
        "type": "Standard",
        "language_code": spoken,
        "language": name_of(spoken),
        "gender": voice.gender,
        "sample_text": sample(spoken),
    }
