"""A real PostgreSQL for the suite, a fresh database and API per test, and small real media of every container."""

import asyncio
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import httpx
import numpy as np
import psycopg
import pytest
import structlog
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session

from orchestrator import migrations
from orchestrator.accounts import service as accounts
from orchestrator.accounts import sessions as login_sessions
from orchestrator.accounts.audit import SYSTEM
from orchestrator.accounts.models import User
from orchestrator.accounts.sessions import Lifetimes
from orchestrator.accounts.tokens import AccessTokens
from orchestrator.app import create_app
from orchestrator.capabilities import Capabilities, Pair, Voice
from orchestrator.context import Backends
from orchestrator.database import EmbeddedPostgres, make_engine, sessions
from orchestrator.inference import Speech, Utterance
from orchestrator.settings import Settings
from orchestrator.storage import Storage

DATABASE = "octavia_test"
PASSWORD = "correct horse battery"

HANG_UP = """
select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
"""
EMPTY = """
do $$ declare tables text; begin
    select string_agg(format('%I.%I', schemaname, tablename), ', ') into tables from pg_tables
    where schemaname in ('public', 'dbos') and tablename not in ('alembic_version', 'dbos_migrations');
    execute 'set session_replication_role = replica';
    execute (select string_agg(format('delete from %s', name), '; ') from regexp_split_to_table(tables, ', ') name);
end $$
"""
"""Without triggers, so that the order of the tables does not matter."""


def _execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A folder for servers that run as another user: each start of pytest shuts the others' tmp_path against those."""
    folder = Path(tempfile.mkdtemp(prefix="octavia-pg-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres(server_folder: Path) -> Iterator[EmbeddedPostgres]:
    """One server for the whole run, with one migrated database."""
    server = EmbeddedPostgres(server_folder / "shared")
    admin = server.start()
    _execute(admin, "alter system set fsync = off", "select pg_reload_conf()", f"create database {DATABASE}")
    migrations.upgrade(server.url(DATABASE))
    yield server
    server.stop()


@pytest.fixture
def database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A migrated database without a row, for one test after the other: emptying it is quicker than making another."""
    url = postgres.url(DATABASE)
    yield url
    _execute(url, HANG_UP, EMPTY)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = make_engine(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
def make_session(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    return sessions(engine)


@pytest.fixture
def app_settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path / "data",
        database_url=database_url,
        jwt_secret=SecretStr("s" * 40),
        rate_limits_enabled=False,  # tests ask for a lot at once
    )


@pytest.fixture
def storage(app_settings: Settings) -> Storage:
    """The storage the API of this test uses."""
    return Storage.from_settings(app_settings)


KNOWN = Capabilities(
    heard=frozenset({"en", "es", "de", "ja"}),
    pairs=(
        Pair("en", "es", "CC-BY-4.0", True, True),
        Pair("es", "en", "CC-BY-4.0", True, True),
        Pair("en", "de", "CC-BY-4.0", True, False),
        Pair("en", "pt-BR", "CC-BY-4.0", True, False),
    ),
    voices=(
        Voice("joe", "en", "male", "research", False, frozenset({"es", "de"}), 15.0),
        Voice("lola", "es", "female", "CC0", True, frozenset(), 15.0),
    ),
)


@dataclass
class QueueStandIn:
    """Takes the place of the durable queue and the model plane behind the API."""

    enqueued: list[tuple[UUID, UUID]] = field(default_factory=list)
    orders: list[tuple[int, bool]] = field(default_factory=list)
    """The attempt of each, and whether it is paid."""
    cancelled: list[UUID] = field(default_factory=list)
    mails: list[UUID] = field(default_factory=list)
    account_requests: list[UUID] = field(default_factory=list)
    polar_events: list[str] = field(default_factory=list)
    spoken: list[Utterance] = field(default_factory=list)
    known: Capabilities | None = KNOWN
    refusal: Exception | None = None
    refused: set[str] = field(default_factory=set)
    """Events of Polar's that cannot be enqueued."""

    @asynccontextmanager
    async def open(self, _: Settings) -> AsyncIterator[Backends]:
        yield Backends(
            self._enqueue,
            self._cancel,
            self._capabilities,
            self._speak,
            self.enqueue_mail,
            self._enqueue_account_request,
            self.enqueue_polar_events,
        )

    def _enqueue(self, session: Session, job_id: UUID, user_id: UUID, /, *, attempt: int = 1, paid: bool) -> None:
        if self.refusal:
            raise self.refusal
        self.enqueued.append((job_id, user_id))
        self.orders.append((attempt, paid))

    def enqueue_mail(self, session: Session, mail_id: UUID, /) -> None:
        if self.refusal:
            raise self.refusal
        self.mails.append(mail_id)

    def _enqueue_account_request(self, session: Session, request_id: UUID, /) -> None:
        if self.refusal:
            raise self.refusal
        self.account_requests.append(request_id)

    def enqueue_polar_events(self, session: Session, webhook_ids: Sequence[str], /) -> None:
        if self.refusal:
            raise self.refusal
        if self.refused & set(webhook_ids):
            raise ValueError(webhook_ids)
        self.polar_events += webhook_ids

    async def _cancel(self, job_id: UUID, attempt: int) -> None:
        if self.refusal:
            raise self.refusal
        self.cancelled.append(job_id)

    async def _speak(self, utterance: Utterance) -> Speech:
        if self.refusal:
            raise self.refusal
        self.spoken.append(utterance)
        return Speech(np.sin(np.arange(22_050) / 10).astype(np.float32), 22_050)

    async def _capabilities(self) -> Capabilities | None:
        return self.known


@pytest.fixture
def queue() -> QueueStandIn:
    return QueueStandIn()


@pytest.fixture
async def application(app_settings: Settings, queue: QueueStandIn) -> AsyncIterator[FastAPI]:
    """The API with its lifespan running."""
    app = create_app(app_settings, queue.open)
    async with app.router.lifespan_context(app):
        yield app


MakeUser = Callable[[str], Awaitable[User]]


@pytest.fixture
def make_user(make_session: async_sessionmaker[AsyncSession]) -> MakeUser:
    async def make(email: str) -> User:
        async with make_session.begin() as session:
            return await accounts.create_user(session, email=email, name="Elinor", password=PASSWORD)

    return make


@pytest.fixture
async def user(make_user: MakeUser) -> User:
    return await make_user("elinor@example.org")


Bearer = Callable[[User | None], Awaitable[dict[str, str]]]


@pytest.fixture
def bearer(app_settings: Settings, make_session: async_sessionmaker[AsyncSession]) -> Bearer:
    """The header with an access token of a new login of the user; none without one."""

    async def header(user: User | None) -> dict[str, str]:
        if user is None:
            return {}
        async with make_session.begin() as session:
            entry = await login_sessions.start(session, user, SYSTEM, Lifetimes.from_settings(app_settings))
        return {"Authorization": f"Bearer {AccessTokens.from_settings(app_settings).issue(user.id, entry.session_id)}"}

    return header


MakeClient = Callable[[User | None], Awaitable[httpx.AsyncClient]]


@pytest.fixture
async def make_client(application: FastAPI, bearer: Bearer) -> AsyncIterator[MakeClient]:
    """Clients of the application in this process, each with a user's token or without one."""
    async with AsyncExitStack() as stack:

        async def make(user: User | None) -> httpx.AsyncClient:
            transport = httpx.ASGITransport(application)
            headers = await bearer(user)
            return await stack.enter_async_context(
                httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers)
            )

        yield make


@pytest.fixture
async def client(make_client: MakeClient, user: User) -> httpx.AsyncClient:
    """A client with the token of `user`."""
    return await make_client(user)


@pytest.fixture
async def stranger(make_client: MakeClient, make_user: MakeUser) -> httpx.AsyncClient:
    """A client with another user's token."""
    return await make_client(await make_user("willoughby@example.org"))


@pytest.fixture
async def server(application: FastAPI) -> AsyncIterator[str]:
    """The application behind a real socket, for what only shows there; its URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        config = uvicorn.Config(
            application, lifespan="off", log_config=None, proxy_headers=False, timeout_graceful_shutdown=1
        )
        running = uvicorn.Server(config)
        async with _serving(running, listener):
            yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def _serving(server: uvicorn.Server, listener: socket.socket) -> AsyncIterator[None]:
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:  # noqa: ASYNC110  (uvicorn has no event for it)
        await asyncio.sleep(0.01)
    yield
    server.should_exit = True
    await task


@pytest.fixture
async def live(server: str, bearer: Bearer, user: User) -> AsyncIterator[httpx.AsyncClient]:
    """As `client`, over a real connection: for streams and broken uploads."""
    async with httpx.AsyncClient(base_url=server, headers=await bearer(user), timeout=60) as client:
        yield client


PICTURE = ("-f", "lavfi", "-i", "testsrc=size=64x48:rate=10:duration=6")
SOUND = ("-f", "lavfi", "-i", "sine=440:duration=6:sample_rate=16000")
CLIPS: dict[str, tuple[str, ...]] = {
    "v.mp4": (*PICTURE, *SOUND, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", "-movflags", "+faststart"),
    "tail.mp4": (*PICTURE, *SOUND, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac"),
    "v.mov": (*PICTURE, *SOUND, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac"),
    "v.mkv": (*PICTURE, *SOUND, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac"),
    "v.webm": (*PICTURE, *SOUND, "-c:v", "libvpx", "-c:a", "libopus"),
    "v.avi": (*PICTURE, *SOUND, "-c:v", "mpeg4", "-c:a", "mp3"),
    "v.wmv": (*PICTURE, *SOUND, "-c:v", "wmv2", "-c:a", "wmav2"),
    "v.flv": (*PICTURE, *SOUND, "-c:v", "flv", "-c:a", "mp3", "-ar", "44100"),
    "silent.mp4": (*PICTURE, "-c:v", "libx264", "-pix_fmt", "yuv420p"),
    "a.mp3": SOUND,
    "a.wav": SOUND,
    "a.flac": SOUND,
    "a.ogg": SOUND,
    "a.m4a": SOUND,
    "a.aac": SOUND,
    "cover.mp3": (
        *(*SOUND, "-f", "lavfi", "-i", "color=red:size=64x64:duration=1", "-map", "0", "-map", "1"),
        *("-frames:v", "1", "-disposition:v", "attached_pic", "-id3v2_version", "3"),
    ),
}


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds of a test picture and a tone, in every container we take."""
    folder = tmp_path_factory.mktemp("clips")
    for name, arguments in CLIPS.items():
        command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *arguments, str(folder / name)]
        subprocess.run(command, check=True)
    return folder
