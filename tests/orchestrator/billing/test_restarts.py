"""Deliveries in any order and number while PostgreSQL, the API and the worker go down and come back."""

import asyncio
import random
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import sqlalchemy as sa

from orchestrator import migrations
from orchestrator.accounts import service as accounts
from orchestrator.billing.models import PolarEvent, PolarOrder, Purchase
from orchestrator.credits import ledger
from orchestrator.credits.audit import disagreements
from orchestrator.credits.models import CreditEntry
from orchestrator.database import EmbeddedPostgres, make_engine, patiently, sessions
from orchestrator.local.ports import free_port
from orchestrator.settings import Settings
from tests.fixtures_api_process import api_process
from tests.fixtures_control_plane import PASSWORD
from tests.fixtures_worker import worker_process
from tests.orchestrator.billing.conftest import environment
from tests.orchestrator.billing.payloads import STARTER, event, order, purchase_of, refunded, signed

pytestmark = pytest.mark.anyio

BUYERS = 5
PATIENCE_S = 120.0


@dataclass
class Household:
    """A database, an API and a worker as processes, each of which can be ended and started again."""

    folder: Path
    settings: Settings
    database: EmbeddedPostgres
    stack: ExitStack = field(default_factory=ExitStack)
    parts: dict[str, ExitStack] = field(default_factory=dict)
    starts: Counter[str] = field(default_factory=Counter)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.api_port}"

    def start(self, part: str) -> None:
        self.starts[part] += 1
        variables = environment(self.settings) | {
            "OCTAVIA_API_PORT": str(self.settings.api_port),
            "OCTAVIA_SMTP_PORT": "9",
            "OCTAVIA_JWT_SECRET": "s" * 40,
        }
        run = worker_process if part == "worker" else api_process
        self.parts[part] = ExitStack()
        name = f"{part}-{self.starts[part]}"
        self.parts[part].enter_context(run(self.settings, self.folder, name, **variables))

    def kill(self, part: str) -> None:
        self.parts.pop(part).close()

    async def restart(self, part: str) -> None:
        """End a part without warning, leave it down for a moment, start it again."""
        if part == "database":
            await asyncio.to_thread(self.database.stop)
            await asyncio.sleep(random.uniform(0.2, 2))
            await asyncio.to_thread(self.database.start)
        else:
            self.kill(part)
            await asyncio.sleep(random.uniform(0, 1))
            self.start(part)

    def stop(self) -> None:
        for part in list(self.parts):
            self.kill(part)
        self.database.stop()


@pytest.fixture
def household(app_settings: Settings, server_folder: Path) -> Iterator[Household]:
    folder = Path(tempfile.mkdtemp(dir=server_folder))
    database = EmbeddedPostgres(folder / "postgres")
    url = database.start()
    migrations.upgrade(url)
    own = {"database_url": url, "api_port": free_port(), "data_dir": folder}
    running = Household(folder, app_settings.model_copy(update=own), database)
    running.start("api")
    running.start("worker")
    yield running
    running.stop()


@asynccontextmanager
async def books_of(household: Household) -> AsyncIterator[Callable[[Callable[[Any], Awaitable[Any]]], Awaitable[Any]]]:
    """Asks the database of a household, however often it goes away."""
    engine = make_engine(household.settings.database_url)

    async def ask(work: Callable[[Any], Awaitable[Any]]) -> Any:
        return await patiently(engine, work)

    yield ask
    await engine.dispose()


async def deliver(client: httpx.AsyncClient, body: bytes, webhook_id: str) -> int:
    """One delivery, repeated as Polar does until it is acknowledged; how many attempts that took."""
    deadline, attempt = time.monotonic() + PATIENCE_S, 0
    while time.monotonic() < deadline:
        attempt += 1
        try:
            answer = await client.post("/webhooks/polar", content=body, headers=signed(body, webhook_id=webhook_id))
        except httpx.TransportError:
            pass
        else:
            assert answer.status_code in (202, 503), answer.text
            if answer.status_code == 202:
                return attempt
        await asyncio.sleep(random.uniform(0.05, 0.3))
    raise TimeoutError("a delivery was never acknowledged")


async def storm(household: Household, orders: int, deliveries: int, restarts: list[str]) -> None:
    """Deliver the events of so many orders, with repetitions, while the parts of the household restart.

    Afterwards each order has been granted once, and of every third, half has been taken back.
    """
    user_ids: list[UUID] = []

    async def move_in(session: Any) -> list[dict[str, Any]]:
        found = []
        for number in range(BUYERS):
            user = await accounts.create_user(session, email=f"{number}@example.org", name="E", password=PASSWORD)
            user_ids.append(user.id)
        for number in range(orders):
            purchase = purchase_of(user_ids[number % BUYERS], STARTER)
            session.add(purchase)
            found.append(order(purchase, amount=999))
        return found

    make = sessions(make_engine(household.settings.database_url))
    async with make.begin() as session:
        paid = await move_in(session)
    bodies = []
    for number, data in enumerate(paid):
        bodies += [event("order.created", data), event("order.updated", data), event("order.paid", data)]
        if number % 3 == 0:
            bodies.append(event("order.refunded", refunded(data, 500, 5), 5))
    ids = {body: str(uuid4()) for body in bodies}
    sequence = bodies + random.choices(bodies, k=max(0, deliveries - len(bodies)))
    random.shuffle(sequence)
    slots = asyncio.Semaphore(8)
    pace = 0.1 if restarts else 0.0

    async with httpx.AsyncClient(base_url=household.url, timeout=60) as client:

        async def one(body: bytes) -> int:
            async with slots:
                await asyncio.sleep(pace)
                return await deliver(client, body, ids[body])

        sending = asyncio.gather(*(one(body) for body in sequence))
        for part in restarts:
            await asyncio.sleep(random.uniform(0.5, 2))
            await household.restart(part)
        attempts = sum(await sending)
    print(f"{len(sequence)} deliveries of {orders} orders, {attempts} attempts, {len(restarts)} restarts")

    async with books_of(household) as ask:
        open_ = sa.select(sa.func.count()).select_from(PolarEvent).where(PolarEvent.outcome.is_(None))
        deadline = time.monotonic() + PATIENCE_S
        while await ask(lambda session: session.scalar(open_)):
            assert time.monotonic() < deadline, "not every event was handled"
            await asyncio.sleep(0.2)

        async def settled(session: Any) -> None:
            outcomes = Counter(await session.scalars(sa.select(PolarEvent.outcome)))
            assert outcomes == {"handled": len(bodies)}
            grants = sa.select(CreditEntry.reference).where(CreditEntry.kind == "purchase")
            assert sorted(await session.scalars(grants)) == sorted(f"order:{each['id']}" for each in paid)
            assert set(await session.scalars(sa.select(PolarOrder.state))) == {"granted"}
            assert set(await session.scalars(sa.select(Purchase.status))) <= {"paid", "partially_refunded"}
            assert [each async for each in disagreements(session)] == []
            balances = [(await ledger.balance(session, user_id)).available for user_id in user_ids]
            assert sum(balances) == orders * 100 - len(range(0, orders, 3)) * 50

        await ask(settled)


async def test_each_order_is_granted_once_while_everything_restarts(household: Household) -> None:
    await storm(household, orders=20, deliveries=100, restarts=["worker", "database", "api"])


@pytest.mark.soak
async def test_two_hundred_orders_are_granted_once_each_while_everything_restarts(household: Household) -> None:
    parts = ["worker", "database", "api", "database", "worker", "api"] * 4
    await storm(household, orders=200, deliveries=1000, restarts=parts)
