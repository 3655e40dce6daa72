"""What a profile needs on loopback: a database, an API process, people with jobs, and as wanted models and a worker.

Its settings: no rate limits (all users have one address), billing on, logs of warnings only.
"""

import asyncio
import json
import os
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from uuid_utils.compat import uuid7

from benchmarks.load.running import Account, Target
from benchmarks.ready import until_ready
from benchmarks.unworked import add_jobs
from orchestrator import migrations
from orchestrator.accounts import passwords
from orchestrator.accounts.models import User
from orchestrator.credits import ledger
from orchestrator.database import EmbeddedPostgres, make_engine, sessions
from orchestrator.jobs import progress
from orchestrator.local.ports import free_port
from orchestrator.settings import Settings
from serve.models.base import Model, WeightSet
from tests.fixtures_api_process import api_process
from tests.fixtures_model_plane import start_plane
from tests.fixtures_worker import worker_process
from tests.orchestrator.billing.payloads import NEW_SECRET
from tests.serve.fixture_models import Listed
from tests.standins.models import serving_models

PASSWORD = "norland park 1811"  # noqa: S105
JOBS_EACH = 20
CREDITS_EACH = 1_000_000
MOST_ACCOUNTS = 100
NEWS_EVERY_S = 1.0

BILLING: Mapping[str, str] = {
    "OCTAVIA_BILLING": "true",
    "OCTAVIA_POLAR_URL": "http://127.0.0.1:1",
    "OCTAVIA_POLAR_ACCESS_TOKEN": "polar_oat_benchmark",
    "OCTAVIA_POLAR_WEBHOOK_SECRETS": json.dumps([NEW_SECRET]),
}


@dataclass(frozen=True, slots=True)
class Ground:
    """A database with people in it, and the environment of processes on it."""

    settings: Settings
    folder: Path
    accounts: list[Account]
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Site:
    """A ground with an API."""

    ground: Ground
    target: Target


@contextmanager
def ground(folder: Path, users: int) -> Iterator[Ground]:
    """A database of its own in the folder, which everybody may enter, with accounts for so many users."""
    database = EmbeddedPostgres(folder / "postgres")
    secret = secrets.token_hex(32)
    settings = Settings(data_dir=folder, database_url=database.start(), jwt_secret=SecretStr(secret))
    try:
        migrations.upgrade(str(settings.database_url))
        accounts = asyncio.run(_on(settings, lambda make: populate(make, min(users, MOST_ACCOUNTS))))
        variables = {
            **BILLING,
            "OCTAVIA_JWT_SECRET": secret,
            "OCTAVIA_RATE_LIMITS_ENABLED": "false",
            "OCTAVIA_LOG_LEVEL": "WARNING",
            "OCTAVIA_PARENT_PID": str(os.getpid()),
        }
        yield Ground(settings, folder, accounts, variables)
    finally:
        database.stop()


@contextmanager
def site(folder: Path, users: int, *, with_models: bool = False, with_news: bool = False) -> Iterator[Site]:
    """A ground with an API process.

    `with_models`: the model plane with the starter weights and a worker beside it; else a list of what models can do,
    and nobody works on jobs. `with_news`: everybody's first job reports progress every second.
    """
    with ExitStack() as stack:
        there = stack.enter_context(ground(folder, users))
        models = stack.enter_context(_plane(folder) if with_models else _listed())
        port = str(free_port())
        variables = {**there.variables, "OCTAVIA_MODEL_ADDRESS": models, "OCTAVIA_API_PORT": port}
        if with_models:
            stack.enter_context(worker_process(there.settings, folder, "worker", **variables))
        stack.enter_context(api_process(there.settings, folder, "api", **variables))
        host = f"http://127.0.0.1:{port}"
        until_ready(host)
        if with_news:
            stack.enter_context(news(there))
        yield Site(there, Target(host, there.accounts, NEW_SECRET))


async def _on(settings: Settings, work: Any) -> Any:
    engine = make_engine(str(settings.database_url))
    try:
        return await work(sessions(engine))
    finally:
        await engine.dispose()


async def populate(make: async_sessionmaker[AsyncSession], users: int) -> list[Account]:
    """Active accounts with credits, each with jobs under way that nobody works on."""
    found = []
    hashed, later = await passwords.hash_password(PASSWORD), datetime.now(UTC) + timedelta(days=1)
    for number in range(users):
        async with make.begin() as session:
            user = User(id=uuid7(), email=f"{number}@example.org", name="Elinor", status="active", password_hash=hashed)
            session.add(user)
            await session.flush()
            await ledger.grant(session, user.id, CREDITS_EACH, key=f"benchmark:{number}", reference="benchmark")
            jobs = await add_jobs(session, user.id, JOBS_EACH, queued_at=later)
            found.append(Account(str(user.email), PASSWORD, [str(job) for job in jobs]))
    return found


@contextmanager
def news(there: Ground) -> Iterator[None]:
    """Everybody's first job, which watchers follow, reports progress every second while the context lasts."""
    over = threading.Event()

    async def tell(make: async_sessionmaker[AsyncSession]) -> None:
        number = round(time.time())  # goes on where an earlier call ended
        jobs = [UUID(account.jobs[0]) for account in there.accounts]
        while not over.is_set():
            number, began = number + 1, time.monotonic()
            for job in jobs:
                async with make.begin() as session:
                    await progress.record(session, job, stage="transcribing", counts={"transcribing": [number, 10**10]})
            await asyncio.sleep(max(0.0, NEWS_EVERY_S - (time.monotonic() - began)))

    thread = threading.Thread(target=lambda: asyncio.run(_on(there.settings, tell)), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=30)


@contextmanager
def _plane(folder: Path) -> Iterator[str]:
    plane = start_plane(folder / "models.log", OCTAVIA_PARENT_PID=str(os.getpid()))
    try:
        yield plane.address
    finally:
        plane.stop()


@contextmanager
def _listed() -> Iterator[str]:
    """The address of a plane on a thread of this process that says what models can do, and does nothing."""
    licence = {"licence": "CC0-1.0", "paid_use": True}
    pair = {"name": "en-es", "source": "en", "target": "es", **licence}
    voice = {
        "name": "joe",
        "language": "en",
        "gender": "male",
        "stand_in_for": ["es"],
        "characters_per_second": 15.0,
        **licence,
    }
    facts: dict[str, dict[str, Any]] = {
        "whisper": {"name": "ears", "languages": ["en", "es"]},
        "opus_mt": pair,
        "coqui_tts": voice,
    }
    models: dict[str, Model] = {
        name: Listed({}, [WeightSet(str(fact["name"]), Path(), fact)]) for name, fact in facts.items()
    }
    ready, over, address = threading.Event(), asyncio.Event(), list[str]()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with serving_models(models, {}) as there:
            address.append(there)
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    try:
        if not ready.wait(60):
            raise TimeoutError("the list of models was not served")
        yield address[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(timeout=30)
        loop.close()
