"""Everything on one machine: database, model plane, API and worker, started together and stopped cleanly."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import psycopg
import sqlalchemy as sa
import structlog
from uuid_utils.compat import uuid7

from orchestrator import migrations
from orchestrator.accounts import local as local_user
from orchestrator.database import EmbeddedPostgres, make_engine, sessions
from orchestrator.errors import OctaviaError
from orchestrator.inference import Inference
from orchestrator.local import tools
from orchestrator.local.polar_standin import LocalPolar
from orchestrator.local.ports import free_port
from orchestrator.local.processes import EXECUTOR_ID, Child
from orchestrator.local.state import Address, owned, published, token_file, write_private
from orchestrator.settings import Settings

log = structlog.get_logger(__name__)

START_TIMEOUT_S = 600.0
"""Weights may have to be fetched and converted first."""
MODELS_STOP_S = 140.0
"""The model plane lets running requests end, which takes it up to 130 s."""

CONTROL_PLANE_SECRETS = ("PG", "AWS_", "AZURE_", "GOOGLE_")
"""What PostgreSQL's and the object stores' clients read."""

OF_BOTH_PLANES = {"OCTAVIA_BILLING", "OCTAVIA_OTLP_ENDPOINT"}
"""Settings that the model plane reads too."""

Stop = Callable[[], Awaitable[None]]


class StartError(OctaviaError):
    def __init__(self, what: str, logs: Path | None) -> None:
        where = f" Its log: {logs}" if logs else ""
        super().__init__("start_failed", f"{what}.{where}", 503)


@asynccontextmanager
async def up(
    settings: Settings,
    *,
    private: bool = False,
    polar: LocalPolar | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[Address]:
    """Run the whole system while the context lasts. A private one takes free ports, writes its logs to files, and is
    not found by others. With `polar`, API and worker sell through that stand-in; the models know nothing of it.

    Raises AlreadyUpError when another runs on the same data folder, StartError when a part does not come up,
    MissingToolsError.
    """
    environment = _ports(settings, private)
    own_models = "OCTAVIA_SERVE_GRPC_PORT" in environment
    tools.require({**tools.CONTROL_PLANE, **(tools.MODEL_PLANE if own_models else {})})
    async with AsyncExitStack() as stack:
        stack.enter_context(owned(settings))
        logs = settings.data_dir / "logs" if private else None
        if logs:
            logs.mkdir(exist_ok=True)
        api_url = f"http://{_reachable(settings.api_host)}:{environment['OCTAVIA_API_PORT']}"
        children = [_models(environment, logs)] if own_models else []
        if polar is not None:
            children.append(polar.child(api_url, logs))
            environment |= polar.environment()
        database = Database(settings)
        stack.push_async_callback(_together, database.stop, *(child.stop for child in children))
        say("database")
        for child in children:  # they take the longest to come up
            await child.start()
        url = await database.start()
        environment["OCTAVIA_DATABASE_URL"] = url
        await _local_user(settings, url)

        say("models, API and worker")
        of_api, of_worker = _metrics(settings, private)
        others = [_worker(environment | of_worker, url, logs, settings), _api(environment | of_api, logs, settings)]
        # A private system's job has ended or is given up: its models need not wait for the worker.
        early = [child.stop for child in (*children, *others)] if private else [child.stop for child in others]
        stack.push_async_callback(_together, *early)
        for child in others:
            await child.start()
        children += others
        await _until_ready(api_url, environment["OCTAVIA_MODEL_ADDRESS"], children, logs)
        keepers = [asyncio.create_task(child.keep(), name=child.name) for child in children]
        stack.callback(lambda: [keeper.cancel() for keeper in keepers])

        token = token_file(settings).read_text().strip()
        address = Address(api_url, environment["OCTAVIA_MODEL_ADDRESS"], token, url)
        if not private:
            stack.enter_context(published(settings, address))
        try:
            yield address
        finally:
            say("stopping")


async def _together(*stops: Stop) -> None:
    """Stop several parts at once; the failure of one keeps no other from stopping."""
    outcomes = await asyncio.gather(*(stop() for stop in stops), return_exceptions=True)
    for error in outcomes:
        if isinstance(error, BaseException):
            log.error("a part did not stop cleanly", error=repr(error))


class Database:
    """The settings' database, or one of our own. Stopping waits for a start that is still under way."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.database_url
        self._own = None if settings.database_url else EmbeddedPostgres(settings.data_dir / "postgres")
        self._log = settings.data_dir / "postgres" / "log"
        self._starting: asyncio.Task[str] | None = None

    async def start(self) -> str:
        """Its URL, with our tables in it. Raises StartError."""
        self._starting = asyncio.create_task(asyncio.to_thread(self._start))
        try:
            return await asyncio.shield(self._starting)
        except (sa.exc.SQLAlchemyError, psycopg.Error, subprocess.SubprocessError) as error:
            if self._own:
                raise StartError(f"PostgreSQL did not start ({type(error).__name__})", self._log) from error
            reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
            raise StartError(f"The database of OCTAVIA_DATABASE_URL cannot be used: {reason}", None) from error

    async def stop(self) -> None:
        if self._starting:
            await asyncio.wait([self._starting])
        if self._own:
            await asyncio.to_thread(self._own.stop)

    def _start(self) -> str:
        url = self._own.start() if self._own else self._url
        if url is None:
            raise RuntimeError("neither a database of our own nor one of the settings")
        migrations.upgrade(url)
        return url


def _reachable(host: str) -> str:
    """The host to call for an API that listens on `host`, as it stands in a URL."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104
    return f"[{host}]" if ":" in host else host


def _ports(settings: Settings, private: bool) -> dict[str, str]:
    """The children's addresses: those of the settings, or free ones where a private system must not collide."""
    environment = {"OCTAVIA_DATA_DIR": str(settings.data_dir), "OCTAVIA_API_HOST": settings.api_host}
    environment["OCTAVIA_API_PORT"] = str(free_port() if private else settings.api_port)
    if "model_address" in settings.model_fields_set:
        environment["OCTAVIA_MODEL_ADDRESS"] = settings.model_address
        return environment
    names = ("OCTAVIA_SERVE_GRPC_PORT", "OCTAVIA_SERVE_HTTP_PORT", "OCTAVIA_SERVE_METRICS_PORT")
    defaults = ("8101", "8100", "8102")
    for name, default in zip(names, defaults, strict=True):
        environment[name] = str(free_port()) if private else os.environ.get(name, default)
    environment["OCTAVIA_MODEL_ADDRESS"] = f"127.0.0.1:{environment['OCTAVIA_SERVE_GRPC_PORT']}"
    return environment


async def _local_user(settings: Settings, url: str) -> None:
    """The user of this machine, and a token for the command line in a file of mode 0600."""
    file = token_file(settings)
    kept = file.read_text().strip() if file.exists() else None
    engine = make_engine(url)
    try:
        async with sessions(engine).begin() as session:
            token = await local_user.access_token(session, settings, kept)
    finally:
        await engine.dispose()
    write_private(file, token + "\n")


def _child(name: str, module: str, logs: Path | None, environment: Callable[[], Mapping[str, str]]) -> Child:
    return Child(name, [sys.executable, "-m", module], environment, logs / f"{name}.log" if logs else None)


def _worker(environment: Mapping[str, str], url: str, logs: Path | None, settings: Settings) -> Child:
    name = socket.gethostname()
    child = _child(
        "worker", "orchestrator.jobs.worker", logs, lambda: {**environment, EXECUTOR_ID: f"{name}-{uuid7()}"}
    )
    child.stop_timeout_s = settings.drain_s + 15
    child.died = _say_lost(url)
    return child


def _api(environment: Mapping[str, str], logs: Path | None, settings: Settings) -> Child:
    child = _child("api", "orchestrator.app", logs, lambda: environment)
    child.stop_timeout_s = settings.api_drain_s + settings.api_finish_s + 15
    return child


def _metrics(settings: Settings, private: bool) -> tuple[dict[str, str], dict[str, str]]:
    """Where API and worker tell their metrics, if at all: the worker on the next port, in a private system on any."""
    if settings.metrics_port is None:
        return {}, {}
    api, worker = (str(free_port() if private else settings.metrics_port + more) for more in (0, 1))
    return {"OCTAVIA_METRICS_PORT": api}, {"OCTAVIA_METRICS_PORT": worker}


def _models(environment: Mapping[str, str], logs: Path | None) -> Child:
    own = {name: value for name, value in environment.items() if name.startswith("OCTAVIA_SERVE_")}
    child = _child("models", "serve", logs, lambda: own)
    child.inherited = _environment_of_models
    child.stop_timeout_s = MODELS_STOP_S
    return child


def _environment_of_models() -> dict[str, str]:
    """Ours without what is only the control plane's: its settings, and the secrets of its database and storage."""
    ours = {f"OCTAVIA_{name.upper()}" for name in Settings.model_fields} - OF_BOTH_PLANES
    return {
        name: value
        for name, value in os.environ.items()
        if name.upper() not in ours and not name.startswith(CONTROL_PLANE_SECRETS)
    }


def _say_lost(url: str) -> Callable[[Mapping[str, str]], Awaitable[None]]:
    """A worker that we saw die is lost for certain: say so for it, and the next one takes over without waiting."""

    async def say(dead: Mapping[str, str]) -> None:
        engine = make_engine(url)
        statement = sa.text("update worker set state = 'lost' where executor_id = :executor_id and state = 'up'")
        try:
            async with engine.begin() as connection:
                await connection.execute(statement, {"executor_id": dead[EXECUTOR_ID]})
        except sa.exc.SQLAlchemyError as error:
            log.warning("could not mark the dead worker, its silence will", error=type(error).__name__)
        finally:
            await engine.dispose()

    return say


async def _until_ready(api_url: str, model_address: str, children: list[Child], logs: Path | None) -> None:
    async def answers() -> bool:
        async with httpx.AsyncClient(trust_env=False) as client, Inference(model_address) as models:
            try:
                response = await client.get(f"{api_url}/readyz", timeout=2)
            except httpx.HTTPError:
                return False
            return response.is_success and await models.is_ready()

    deadline = asyncio.get_running_loop().time() + START_TIMEOUT_S
    while not await answers():
        for child in children:
            if child.process is not None and child.process.returncode is not None:
                raise StartError(f"The {child.name} process ended with code {child.process.returncode}", child.log_file)
        if asyncio.get_running_loop().time() > deadline:
            raise StartError(f"The system was not ready after {START_TIMEOUT_S:.0f} s", logs)
        await asyncio.sleep(0.2)
