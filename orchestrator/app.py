"""The REST API.  `python -m orchestrator.app`"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from functools import cache, partial
from importlib.metadata import version
from typing import Any, Literal

import sqlalchemy as sa
import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.openapi.utils import get_openapi
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel

from orchestrator import octavia_web
from orchestrator.accounts.own_routes import router as own
from orchestrator.accounts.passwords import warm_up
from orchestrator.accounts.routes import router as entering
from orchestrator.accounts.tokens import AccessTokens
from orchestrator.backends import open_backends
from orchestrator.billing import inbox
from orchestrator.billing.check import log_findings
from orchestrator.billing.polar import Polar
from orchestrator.billing.routes import router as billing
from orchestrator.billing.routes import webhooks
from orchestrator.billing.signatures import Signatures
from orchestrator.body_limit import BodyLimitMiddleware
from orchestrator.connections import HOUSE
from orchestrator.context import AppContext, Backends, Context
from orchestrator.credits.routes import router as credits
from orchestrator.cross_origin import cors
from orchestrator.database import make_engine, make_sync_engine, sessions
from orchestrator.draining import Drain, DrainingError, DrainingServer, DrainMiddleware
from orchestrator.editing.routes import router as editing
from orchestrator.glossaries.routes import router as glossary
from orchestrator.group_commit import GroupCommit
from orchestrator.jobs.admission import Admission
from orchestrator.jobs.event_routes import router as job_events
from orchestrator.jobs.events import JobNews
from orchestrator.jobs.link_routes import downloads
from orchestrator.jobs.link_routes import router as links
from orchestrator.jobs.preview_routes import router as previews
from orchestrator.jobs.routes import router as jobs
from orchestrator.jobs.waiting import WaitingLine
from orchestrator.local.processes import end_with_parent
from orchestrator.logs import configure_logging
from orchestrator.media.routes import router as media
from orchestrator.memory import share_arenas
from orchestrator.notifications.routes import router as notifications
from orchestrator.observability.house import House
from orchestrator.observability.metrics import watch_followers, watch_pool
from orchestrator.observability.requests import ObservedMiddleware, RouteMiddleware
from orchestrator.observability.telling import begin as begin_telling
from orchestrator.problems import ErrorHandlers, Problem, documented
from orchestrator.rate_limits.dependencies import limited
from orchestrator.rate_limits.service import RateLimits
from orchestrator.retention.routes import router as retention
from orchestrator.settings import Settings, get_settings
from orchestrator.settings_check import insist
from orchestrator.slow_bodies import SlowBodyMiddleware
from orchestrator.slow_headers import http_within
from orchestrator.storage import Storage
from orchestrator.uploads.middleware import TusMiddleware
from orchestrator.uploads.routes import discovery
from orchestrator.uploads.routes import router as uploads
from orchestrator.voices.routes import router as voices
from orchestrator.webhooks.routes import router as own_webhooks

PROBES_AT_ONCE = 4
STARTUP_FAILED = 3
"""Exit status where the port is taken or the lifespan fails, as uvicorn's own command has it."""

OpenBackends = Callable[[Settings], AbstractAsyncContextManager[Backends]]


class Health(BaseModel):
    status: Literal["ok"] = "ok"


def create_app(settings: Settings, backends: OpenBackends = open_backends, drain: Drain | None = None) -> FastAPI:
    """The application. `backends` opens its connections to queue and models, for as long as the application lives.

    `drain` says when the process is about to end; without one it never is.
    """
    ending = drain or Drain(settings.api_drain_s)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with backends(settings) as opened, _context(settings, opened, ending) as context:
            app.state.context = context
            yield

    app = FastAPIOffline(
        title="Octavia",
        version=version("octavia"),
        description="Dubs and subtitles videos and audio. Errors are problem documents (RFC 9457).",
        lifespan=lifespan,
        static_url="/docs/assets",
    )
    app.add_middleware(RouteMiddleware)  # innermost
    app.add_middleware(BodyLimitMiddleware)
    app.add_middleware(SlowBodyMiddleware, settings=settings)
    ErrorHandlers({octavia_web.PREFIX: octavia_web.answer_error}).install(app)
    app.add_middleware(TusMiddleware)
    app.add_middleware(CORSMiddleware, **cors(settings))  # so far out that a page can read refusals too
    app.add_middleware(ObservedMiddleware)
    app.add_middleware(DrainMiddleware, drain=ending)
    app.router.routes.extend(_routes().routes)
    _add_health(app)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


@cache
def _routes() -> APIRouter:
    """Every route but those of the process's health.

    They know no settings, so that all applications of a process share them: to work out what each of them depends on
    takes FastAPI a tenth of a second.
    """
    routes = APIRouter()
    routes.include_router(webhooks)  # first, for routes are tried in turn and these are in a hurry
    for router in (entering, own, billing, voices, own_webhooks):
        routes.include_router(router, dependencies=[Depends(not_stored)])
    routes.include_router(
        credits, dependencies=[Depends(not_stored), Depends(limited("default"))], responses=documented(429)
    )
    routes.include_router(discovery)
    routes.include_router(downloads)
    for router in (media, uploads, jobs, editing, glossary, job_events, links, previews, notifications, retention):
        routes.include_router(router, dependencies=[Depends(limited("default"))], responses=documented(429))
    octavia_web.install(routes)
    return routes


def not_stored(response: Response) -> None:
    """Answers with tokens or personal data are kept by no cache (RFC 6749, section 5.1)."""
    response.headers["Cache-Control"] = "no-store"


@asynccontextmanager
async def _context(settings: Settings, backends: Backends, drain: Drain) -> AsyncIterator[AppContext]:
    engine = make_engine(settings.database_url, quick=True, pool=settings.database_pool)
    watch_pool(engine)
    await asyncio.to_thread(warm_up)
    news = JobNews(engine)
    drain.at_end(news.close)
    listening = asyncio.create_task(news.run(), name="job news")
    try:
        async with AsyncExitStack() as stack:
            polar = await stack.enter_async_context(Polar.from_settings(settings)) if settings.billing else None
            if polar is not None:
                checking = asyncio.create_task(log_findings(settings, polar), name="set-up of Polar")
                stack.callback(checking.cancel)
            admission = Admission(settings.streams_per_user)
            watch_followers(lambda: admission.streams)
            yield AppContext(
                settings=settings,
                engine=engine,
                sessions=sessions(engine),
                storage=Storage.from_settings(settings),
                tokens=AccessTokens.from_settings(settings),
                limits=RateLimits(engine, settings),
                news=news,
                admission=admission,
                line=WaitingLine(engine),
                backends=backends,
                polar=polar,
                signatures=Signatures(settings.polar_webhook_secrets),
                deliveries=GroupCommit(partial(inbox.keep_group, sessions(engine), backends.enqueue_polar_events)),
                probes=asyncio.Semaphore(PROBES_AT_ONCE),
                drain=drain,
            )
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
        await engine.dispose()


def _add_health(app: FastAPI) -> None:
    @app.get("/healthz", tags=["health"])
    async def alive() -> Health:
        """The process answers."""
        return Health()

    @app.get("/readyz", tags=["health"], responses=documented(503))
    async def ready(context: Context) -> Health:
        """The process answers, reaches its database, and is not about to end."""
        if context.drain.is_begun:
            raise DrainingError
        async with context.engine.connect() as connection:
            await connection.execute(sa.text("select 1"))
        return Health()


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schema["components"]["schemas"]["Problem"] = Problem.model_json_schema()
        app.openapi_schema = schema
    return app.openapi_schema


def main() -> None:
    end_with_parent()
    share_arenas()
    settings = get_settings()
    configure_logging(settings)
    insist(settings)
    asking = make_sync_engine(settings.database_url, quick=True, pool=HOUSE)
    begin_telling(settings, "api", House(asking, settings.stale_after_s))
    drain = Drain(settings.api_drain_s)
    config = uvicorn.Config(
        create_app(settings, drain=drain),
        host=settings.api_host,
        port=settings.api_port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # orchestrator.client_address reads them, and from trusted proxies only
        timeout_keep_alive=settings.api_keep_alive_s,
        timeout_graceful_shutdown=settings.api_finish_s,
        http=http_within(settings.header_timeout_s),
    )
    server = DrainingServer(config, drain)
    server.run()
    if not server.started:
        sys.exit(STARTUP_FAILED)


if __name__ == "__main__":
    main()
