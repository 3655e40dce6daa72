"""`/` and /api/health: what this is, and whether it works."""

from importlib.metadata import version

import sqlalchemy as sa
import structlog
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from orchestrator.context import Context
from orchestrator.octavia_web.envelope import said
from orchestrator.rate_limits.dependencies import within

log = structlog.get_logger(__name__)

router = APIRouter(include_in_schema=False)

SERVICE = "Octavia Video Translator"
ENDPOINTS = {"documentation": "/docs", "api": "/v1", "web": "/api", "health": "/api/health"}

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{service}</title>
<style>body{{font:16px/1.5 system-ui;max-width:36rem;margin:4rem auto;padding:0 1rem;color:#16181d}}</style>
<h1>{service}</h1><p>Dubs and subtitles videos and audio. This is the backend, version {version}.</p>
<ul><li><a href="/docs">The API, with examples to try</a></li><li><a href="/openapi.json">Its OpenAPI document</a></li>
<li><a href="/api/health">Whether it works</a></li><li><a href="{web}">The web frontend</a></li></ul></html>"""


@router.get("/")
async def root(request: Request, context: Context) -> Response:
    """A page for people, a JSON object for programs."""
    if "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(PAGE.format(service=SERVICE, version=version("octavia"), web=context.settings.web_url))
    return said(service=SERVICE, version=version("octavia"), status="running", endpoints=ENDPOINTS)


@router.get("/api/health", dependencies=within("look"))
@router.get("/api/metrics", dependencies=within("look"))
async def health(context: Context) -> JSONResponse:
    """ "healthy" while the database answers; what the models can do stands beside it."""
    async with context.engine.connect() as connection:
        await connection.execute(sa.text("select 1"))
    known = await context.backends.capabilities()
    models = {
        "whisper": known is not None and bool(known.heard),
        "translation": known is not None and bool(known.pairs),
        "tts": known is not None and bool(known.voices),
    }
    return said(
        status="healthy",
        service=SERVICE,
        version=version("octavia"),
        models={name: "loaded" if there else "unavailable" for name, there in models.items()},
        status_indicators={"database": "up", "models": "up" if all(models.values()) else "away"},
    )
