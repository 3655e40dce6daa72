"""How many deliveries of Polar's one API process takes in, and how long each waits for its acknowledgement.

Every delivery is signed, new, and of an order of its own: the API verifies it, keeps it and enqueues its handling. No
worker runs beside it.

    python -m benchmarks.webhooks [--deliveries 2000] [--at-once 1,8,32] [--rounds 1] [--json FILE]
"""

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
from uuid_utils.compat import uuid7

from benchmarks.machine import machine
from benchmarks.measurements import Measurement, add_json_option, latencies, write
from benchmarks.ready import until_ready
from orchestrator import migrations
from orchestrator.database import EmbeddedPostgres
from orchestrator.local.ports import free_port
from orchestrator.settings import Settings
from tests.fixtures_api_process import api_process
from tests.orchestrator.billing.payloads import NEW_SECRET, STARTER, event, order, purchase_of, signed

TARGET_MS = 100.0


async def deliver(client: httpx.AsyncClient, deliveries: int, at_once: int) -> tuple[float, list[float]]:
    """Deliveries a second and the seconds of each, so many under way at once; printed as well."""
    buyer, taken = uuid7(), list[float]()
    bodies = [event("order.paid", order(purchase_of(buyer, STARTER))) for _ in range(deliveries)]
    waiting = iter(bodies)

    async def sender() -> None:
        for body in waiting:
            headers = signed(body)
            began = time.perf_counter()
            answer = await client.post("/webhooks/polar", content=body, headers=headers)
            taken.append(time.perf_counter() - began)
            if answer.status_code != 202:
                raise RuntimeError(f"answered {answer.status_code}: {answer.text}")

    began = time.perf_counter()
    await asyncio.gather(*(sender() for _ in range(at_once)))
    seconds = time.perf_counter() - began
    p50, p99 = np.quantile(taken, [0.5, 0.99]) * 1e3
    print(
        f"{at_once:4} at once: {deliveries / seconds:6.0f} a second, acknowledged after p50 {p50:6.1f} ms,"
        f" p99 {p99:6.1f} ms ({p99 / TARGET_MS:.2f} of the {TARGET_MS:.0f} ms allowed)",
        flush=True,
    )
    return deliveries / seconds, taken


async def run(url: str, deliveries: int, numbers: list[int], rounds: int) -> list[Measurement]:
    """All numbers at once in turn, round by round."""
    rates: dict[int, list[float]] = {at_once: [] for at_once in numbers}
    waits: dict[int, list[float]] = {at_once: [] for at_once in numbers}
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        await deliver(client, 50, 4)
        for _ in range(rounds):
            for at_once in numbers:
                rate, taken = await deliver(client, deliveries, at_once)
                rates[at_once].append(rate)
                waits[at_once] += taken
    print(machine())
    made = []
    for at_once in numbers:
        name = f"Polar's deliveries, {at_once} at once"
        rate_of = {"name": f"{name}: taken in", "unit": "requests/s", "better": "higher", "section": "requests"}
        made.append(Measurement.model_validate({**rate_of, "values": rates[at_once]}))
        made += latencies(name, waits[at_once], "requests")
    return made


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--deliveries", type=int, default=2000)
    parser.add_argument("--at-once", default="1,8,32")
    parser.add_argument("--rounds", type=int, default=1)
    add_json_option(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="octavia-webhooks-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        database = EmbeddedPostgres(folder / "postgres")
        settings = Settings(database_url=database.start(), api_port=free_port())
        migrations.upgrade(str(settings.database_url))
        variables = {
            "OCTAVIA_API_PORT": str(settings.api_port),
            "OCTAVIA_BILLING": "true",
            "OCTAVIA_POLAR_URL": "http://127.0.0.1:1",
            "OCTAVIA_POLAR_ACCESS_TOKEN": "polar_oat_benchmark",
            "OCTAVIA_POLAR_WEBHOOK_SECRETS": json.dumps([NEW_SECRET]),
            "OCTAVIA_LOG_LEVEL": "WARNING",
        }
        try:
            with api_process(settings, folder, "api", **variables):
                numbers = [int(each) for each in options.at_once.split(",")]
                url = f"http://127.0.0.1:{settings.api_port}"
                until_ready(url)
                made = asyncio.run(run(url, options.deliveries, numbers, options.rounds))
        finally:
            database.stop()
    write(options.json, made)


if __name__ == "__main__":
    main()
