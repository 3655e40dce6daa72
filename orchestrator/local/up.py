"""Everything on one machine: database, model plane, API and worker, started together and stopped cleanly."""

import asyncio
import json
import os
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import sqlalchemy as sa
import structlog
from filelock import FileLock, Timeout
from uuid_utils.compat import uuid7

from orchestrator import migrations
from orchestrator.accounts import service as accounts
from orchestrator.accounts.tokens import local_token
from orchestrator.database import EmbeddedPostgres, make_engine, sessions
from orchestrator.errors import OctaviaError
from orchestrator.inference import Inference
from orchestrator.local.processes import EXECUTOR_ID, Child
from orchestrator.settings import Settings

log = structlog.get_logger(__name__)

LOCAL_EMAIL = "local@localhost"
START_TIMEOUT_S = 600.0
"""Weights may have to be fetched and converted first."""


class AlreadyUpError(OctaviaError):
    def __init__(self, data_dir: Path) -> None:
        super().__init__(
            "already_up", f"Another `octavia up` runs on {data_dir}. Stop it, or set OCTAVIA_DATA_DIR.", 409
        )


class StartError(OctaviaError):
    def __init__(self, what: str, logs: Path | None) -> None:
        where = f" Its log: {logs}" if logs else ""
        super().__init__("start_failed", f"{what}.{where}", 503)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a running system answers, and the local user's token."""

    api_url: str
    token: str


def find_running(settings: Settings) -> Address | None:
    """The `up` that runs on this data folder, if one does and answers."""
    try:
        state = json.loads(_state_file(settings).read_text())
        token = token_file(settings).read_text().strip()
        httpx.get(f"{state['api_url']}/readyz", timeout=2).raise_for_status()
    except (OSError, ValueError, KeyError, httpx.HTTPError):
        return None
    return Address(state["api_url"], token)


def token_file(settings: Settings) -> Path:
    """The file with the local user's token; only the owner can read it."""
    return settings.data_dir / "token"


@asynccontextmanager
async def up(
    settings: Settings, *, private: bool = False, say: Callable[[str], None] = lambda _: None
) -> AsyncIterator[Address]:
    """Run the whole system while the context lasts. A private one takes free ports and writes its logs to files.

    Raises AlreadyUpError when another runs on the same data folder, StartError when a part does not come up.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FileLock(settings.data_dir / "up.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise AlreadyUpError(settings.data_dir) from None
    async with AsyncExitStack() as stack:
        stack.callback(lock.release)
        logs = settings.data_dir / "logs" if private else None
        if logs:
            logs.mkdir(exist_ok=True)
        environment = _ports(settings, private)
        if settings.database_url is None:
            say("database")
            postgres = EmbeddedPostgres(settings.data_dir / "postgres")
            url = await asyncio.to_thread(postgres.start)
            stack.push_async_callback(asyncio.to_thread, postgres.stop)
        else:
            url = settings.database_url
        environment["OCTAVIA_DATABASE_URL"] = url
        await asyncio.to_thread(migrations.upgrade, url)
        await _local_user(settings, url)

        say("models, API and worker")
        children = _children(environment, url, logs, settings)
        for child in children:
            await child.start()
            stack.push_async_callback(child.stop)
        api_url = f"http://{environment['OCTAVIA_API_HOST']}:{environment['OCTAVIA_API_PORT']}"
        await _until_ready(api_url, environment["OCTAVIA_MODEL_ADDRESS"], children, logs)
        keepers = [asyncio.create_task(child.keep(), name=child.name) for child in children]
        stack.callback(lambda: [keeper.cancel() for keeper in keepers])

        state = {
            "api_url": api_url,
            "model_address": environment["OCTAVIA_MODEL_ADDRESS"],
            "database_url": url,
            "pid": os.getpid(),
        }
        _state_file(settings).write_text(json.dumps(state))
        stack.callback(_state_file(settings).unlink, missing_ok=True)
        yield Address(api_url, token_file(settings).read_text().strip())
        say("stopping")


def _state_file(settings: Settings) -> Path:
    return settings.data_dir / "up.json"


def _ports(settings: Settings, private: bool) -> dict[str, str]:
    """The children's addresses: those of the settings, or free ones where a private system must not collide."""
    environment = {"OCTAVIA_DATA_DIR": str(settings.data_dir), "OCTAVIA_API_HOST": settings.api_host}
    environment["OCTAVIA_API_PORT"] = str(_free_port() if private else settings.api_port)
    if "model_address" in settings.model_fields_set:
        environment["OCTAVIA_MODEL_ADDRESS"] = settings.model_address
        return environment
    names = ("OCTAVIA_SERVE_GRPC_PORT", "OCTAVIA_SERVE_HTTP_PORT", "OCTAVIA_SERVE_METRICS_PORT")
    defaults = ("8101", "8100", "8102")
    for name, default in zip(names, defaults, strict=True):
        environment[name] = str(_free_port()) if private else os.environ.get(name, default)
    environment["OCTAVIA_MODEL_ADDRESS"] = f"127.0.0.1:{environment['OCTAVIA_SERVE_GRPC_PORT']}"
    return environment


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _local_user(settings: Settings, url: str) -> None:
    """The user of this machine, and a token for the command line in a file of mode 0600."""
    engine = make_engine(url)
    try:
        async with sessions(engine).begin() as session:
            user = await accounts.find_by_email(session, LOCAL_EMAIL)
            if user is None:
                user = await accounts.create_user(
                    session, email=LOCAL_EMAIL, name="Local user", password=secrets.token_urlsafe(24)
                )
            token = local_token(settings, user.id)
    finally:
        await engine.dispose()
    path = token_file(settings)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(token + "\n")


def _children(environment: Mapping[str, str], url: str, logs: Path | None, settings: Settings) -> list[Child]:
    def log_of(name: str) -> Path | None:
        return logs / f"{name}.log" if logs else None

    def python(module: str) -> list[str]:
        return [sys.executable, "-m", module]

    children = [
        Child(
            "worker",
            python("orchestrator.jobs.worker"),
            lambda: {**environment, EXECUTOR_ID: f"{socket.gethostname()}-{uuid7()}"},
            log_of("worker"),
            stop_timeout_s=settings.drain_s + 15,
            died=_say_goodbye(url),
        ),
        Child("api", python("orchestrator.app"), lambda: environment, log_of("api")),
    ]
    if "OCTAVIA_SERVE_GRPC_PORT" in environment:
        children.insert(0, Child("models", python("serve"), lambda: environment, log_of("models")))
    return children


def _say_goodbye(url: str) -> Callable[[Mapping[str, str]], Awaitable[None]]:
    """A worker that we saw die is gone for certain: say so for it, and the next one takes over without waiting."""

    async def say(dead: Mapping[str, str]) -> None:
        engine = make_engine(url)
        statement = sa.text("update worker set state = 'gone' where executor_id = :executor_id")
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
        async with httpx.AsyncClient() as client, Inference(model_address) as models:
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
