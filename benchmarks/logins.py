"""Accounts under load: does time tell whether an address is known, and do logins leave the API to others?

1. Requests for a known and for an unknown address, in turn: medians of each, and their ratio.
2. A hundred logins at once while somebody else asks for their account: that request's times, and the API's memory.

    python -m benchmarks.logins [--times 200] [--logins 100]
"""

import argparse
import asyncio
import os
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import numpy as np
import psutil

from benchmarks.machine import machine
from benchmarks.ready import until_ready
from orchestrator import migrations
from orchestrator.accounts import commands
from orchestrator.database import EmbeddedPostgres
from orchestrator.local.ports import free_port
from orchestrator.settings import Settings

KNOWN, PASSWORD = "elinor@example.org", "norland park 1811"

Ask = Callable[[httpx.AsyncClient, str], Awaitable[httpx.Response]]


def log_in(client: httpx.AsyncClient, email: str) -> Awaitable[httpx.Response]:
    return client.post("/v1/auth/login", json={"email": email, "password": "a wrong password"})


def sign_up(client: httpx.AsyncClient, email: str) -> Awaitable[httpx.Response]:
    return client.post("/v1/auth/sign-up", json={"email": email, "password": PASSWORD, "name": "Elinor"})


def forgot(client: httpx.AsyncClient, email: str) -> Awaitable[httpx.Response]:
    return client.post("/v1/auth/forgot-password", json={"email": email})


ASKED: dict[str, Ask] = {"log in": log_in, "sign up": sign_up, "forgot password": forgot}


@asynccontextmanager
async def api(folder: Path) -> AsyncIterator[tuple[httpx.AsyncClient, psutil.Process]]:
    """An API process with a database of its own and one account, without rate limits."""
    database = EmbeddedPostgres(folder / "postgres")
    url = database.start()
    port = free_port()
    variables = {
        "OCTAVIA_DATA_DIR": str(folder),
        "OCTAVIA_DATABASE_URL": url,
        "OCTAVIA_API_PORT": str(port),
        "OCTAVIA_MODEL_ADDRESS": "127.0.0.1:1",
        "OCTAVIA_RATE_LIMITS_ENABLED": "false",
        "OCTAVIA_LOG_LEVEL": "WARNING",
    }
    migrations.upgrade(url)
    await commands.create(Settings(database_url=url), email=KNOWN, name="Elinor", password=PASSWORD)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "orchestrator.app", env={**os.environ, **variables}
    )
    try:
        await asyncio.to_thread(until_ready, f"http://127.0.0.1:{port}")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
            yield client, psutil.Process(process.pid)
    finally:
        process.terminate()
        await process.wait()
        database.stop()


async def medians(client: httpx.AsyncClient, ask: Ask, times: int) -> tuple[float, float]:
    """Median seconds for the known address and for unknown ones, asked in turn."""
    taken: dict[bool, list[float]] = {True: [], False: []}
    for number in range(times):
        for known in (True, False) if number % 2 else (False, True):
            email = KNOWN if known else f"{secrets.token_hex(4)}@example.org"
            began = time.perf_counter()
            await ask(client, email)
            taken[known].append(time.perf_counter() - began)
    return statistics.median(taken[True]), statistics.median(taken[False])


async def crowd(client: httpx.AsyncClient, process: psutil.Process, logins: int) -> None:
    """Prints what a request of somebody else takes while many log in at once."""
    form = {"email": KNOWN, "password": PASSWORD}
    token = (await client.post("/v1/auth/login", json=form)).json()["access_token"]
    mine = {"Authorization": f"Bearer {token}"}
    before, most = process.memory_info().rss, 0
    crowd = asyncio.gather(*(client.post("/v1/auth/login", json=form) for _ in range(logins)))
    began, taken = time.perf_counter(), list[float]()
    while not crowd.done():
        asked = time.perf_counter()
        await client.get("/v1/me", headers=mine)
        taken.append(time.perf_counter() - asked)
        most = max(most, process.memory_info().rss)
        await asyncio.sleep(0.01)
    statuses = {answer.status_code for answer in await crowd}
    p50, p95 = np.quantile(taken, [0.5, 0.95])
    print(
        f"{logins} logins at once in {time.perf_counter() - began:.1f} s, answered {statuses}; meanwhile GET /v1/me:"
        f" {len(taken)} requests, p50 {p50 * 1e3:.0f} ms, p95 {p95 * 1e3:.0f} ms;"
        f" memory {before / 2**20:.0f} -> at most {most / 2**20:.0f} MiB"
    )


async def run(times: int, logins: int) -> None:
    with tempfile.TemporaryDirectory(prefix="octavia-logins-") as folder:
        Path(folder).chmod(0o755)
        async with api(Path(folder)) as (client, process):
            for name, ask in ASKED.items():
                await medians(client, ask, 5)
                known, unknown = await medians(client, ask, times)
                print(
                    f"{name:16} known {known * 1e3:6.2f} ms, unknown {unknown * 1e3:6.2f} ms:"
                    f" {known / unknown - 1:+.1%} ({times} each, in turn)"
                )
            await crowd(client, process, logins)
    print(machine())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--logins", type=int, default=100)
    options = parser.parse_args()
    asyncio.run(run(options.times, options.logins))


if __name__ == "__main__":
    main()
