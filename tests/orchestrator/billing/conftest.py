"""An application that sells, purchases that wait for their payment, and the worker's part of events done at once."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.accounts.models import User
from orchestrator.billing import events
from orchestrator.billing.models import PolarEvent, PolarOrder, Purchase
from orchestrator.billing.offers import Offer, Package, Plan
from orchestrator.credits import ledger
from orchestrator.credits.audit import disagreements
from orchestrator.settings import Settings
from tests.fixtures_control_plane import MakeClient, QueueStandIn
from tests.orchestrator.billing import payloads
from tests.standins.polar import PolarStandIn

Sessions = async_sessionmaker[AsyncSession]
Buy = Callable[..., Awaitable[Purchase]]


@pytest.fixture
def app_settings(app_settings: Settings) -> Settings:
    """Billing is on. The address of Polar is nobody's: what asks it brings a stand-in."""
    selling = {
        "billing": True,
        "polar_url": "http://127.0.0.1:1",
        "polar_access_token": SecretStr("polar_oat_test"),
        "polar_webhook_secrets": [SecretStr(payloads.NEW_SECRET), SecretStr(payloads.OLD_SECRET)],
        "packages": (payloads.STARTER, payloads.PASSING, payloads.UNCONFIGURED),
        "plans": (payloads.SMALL_PLAN, payloads.LARGE_PLAN),
        "web_url": "https://octavia.example",
    }
    return app_settings.model_copy(update=selling)


@pytest.fixture
async def anonymous(make_client: MakeClient) -> httpx.AsyncClient:
    return await make_client(None)


@dataclass
class Books:
    """Deliveries handled as a worker does, and what our books say afterwards."""

    make: Sessions
    settings: Settings
    queue: QueueStandIn

    async def hear(
        self, type_: str, data: dict[str, Any], minutes: float = 0, webhook_id: str | None = None
    ) -> PolarEvent:
        """An event that was kept, and is handled."""
        webhook_id = webhook_id or str(uuid4())
        async with self.make.begin() as session:
            body = payloads.event(type_, data, minutes).decode()
            session.add(PolarEvent(webhook_id=webhook_id, type=type_, timestamp=payloads.at(minutes), body=body))
        return await self.handle(webhook_id)

    async def handle(self, webhook_id: str) -> PolarEvent:
        async with self.make.begin() as session:
            await events.handle(session, self.settings, webhook_id)
        return await self.event(webhook_id)

    async def work(self) -> None:
        """Handle every event the API enqueued."""
        while self.queue.polar_events:
            await self.handle(self.queue.polar_events.pop(0))

    async def event(self, webhook_id: str) -> PolarEvent:
        async with self.make() as session:
            return await session.get_one(PolarEvent, webhook_id)

    async def order(self, data: dict[str, Any]) -> PolarOrder:
        async with self.make() as session:
            return await session.get_one(PolarOrder, UUID(data["id"]))

    async def purchase(self, purchase: Purchase) -> Purchase:
        async with self.make() as session:
            return await session.get_one(Purchase, purchase.id)

    async def available(self, user_id: UUID) -> int:
        """What a user can spend; less than nothing where they owe."""
        async with self.make() as session:
            return (await ledger.balance(session, user_id)).available

    async def checkout_of(self, purchase: dict[str, Any]) -> str:
        """The checkout in which a purchase, as the API shows it, is paid."""
        async with self.make() as session:
            return str((await session.get_one(Purchase, UUID(purchase["id"]))).checkout_id)

    async def agree(self) -> None:
        """The ledger adds up."""
        async with self.make() as session:
            assert [found async for found in disagreements(session)] == []

    async def counted(self, table: type[Any]) -> int:
        async with self.make() as session:
            return int(await session.scalar(sa.select(sa.func.count()).select_from(table)) or 0)


@pytest.fixture
def books(make_session: Sessions, app_settings: Settings, queue: QueueStandIn) -> Books:
    return Books(make_session, app_settings, queue)


@pytest.fixture
def buy(make_session: Sessions, user: User) -> Buy:
    """A purchase of `user`, or of another one, that waits for its payment."""

    async def buy(offer: Package | Plan = payloads.STARTER, user_id: UUID = user.id, **changes: Any) -> Purchase:
        purchase = payloads.purchase_of(user_id, offer, **changes)
        async with make_session.begin() as session:
            session.add(purchase)
        return purchase

    return buy


@pytest.fixture
async def polar() -> AsyncIterator[PolarStandIn]:
    """A Polar that sells our offers and tells nobody."""
    async with PolarStandIn(time_scale=0.001, token="polar_oat_test") as standin:
        for offer in (payloads.STARTER, payloads.PASSING, payloads.SMALL_PLAN, payloads.LARGE_PLAN):
            interval = "month" if isinstance(offer, Plan) else None
            standin.add_product(offer.name, offer.price_cents, id_=str(offer.product_id), interval=interval)
        yield standin


def asking(settings: Settings, polar: PolarStandIn) -> Settings:
    """The settings of who asks this Polar and believes its deliveries."""
    own = {"polar_url": polar.url, "polar_access_token": SecretStr(polar.token), "polar_timeout_s": 5}
    return settings.model_copy(update={**own, "polar_webhook_secrets": [SecretStr(polar.secret)]})


async def bought(client: httpx.AsyncClient, offer: Offer = payloads.STARTER, key: str | None = None) -> dict[str, Any]:
    """A purchase by the API, as it answers."""
    headers = {"Idempotency-Key": key} if key else {}
    answer = await client.post("/v1/billing/purchases", json={"offer": offer.id}, headers=headers)
    assert answer.status_code in (200, 201), answer.text
    return dict(answer.json())


def environment(settings: Settings) -> dict[str, str]:
    """The settings of billing, as a process of its own reads them."""
    offers = {name: json.dumps([each.model_dump(mode="json") for each in getattr(settings, name)]) for name in OFFERS}
    return {
        "OCTAVIA_BILLING": "true",
        "OCTAVIA_POLAR_URL": str(settings.polar_url),
        "OCTAVIA_POLAR_ACCESS_TOKEN": "polar_oat_test",
        "OCTAVIA_POLAR_WEBHOOK_SECRETS": json.dumps(
            [each.get_secret_value() for each in settings.polar_webhook_secrets]
        ),
        "OCTAVIA_PACKAGES": offers["packages"],
        "OCTAVIA_PLANS": offers["plans"],
    }


OFFERS = ("packages", "plans")
