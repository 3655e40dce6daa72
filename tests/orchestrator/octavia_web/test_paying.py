"""Buying as the billing page does it, at a stand-in for Polar."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import httpx
import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.billing.models import Purchase
from orchestrator.settings import Settings
from tests.orchestrator.billing.payloads import STARTER, UNCONFIGURED
from tests.orchestrator.octavia_web.conftest import mirrored, refusal
from tests.standins.polar import PolarStandIn

pytestmark = pytest.mark.anyio


@pytest.fixture
async def polar() -> AsyncIterator[PolarStandIn]:
    """A Polar that sells the starter package and tells nobody what is paid."""
    async with PolarStandIn(time_scale=0.001) as standin:
        standin.add_product(STARTER.name, STARTER.price_cents, id_=str(STARTER.product_id))
        yield standin


@pytest.fixture
def app_settings(app_settings: Settings, polar: PolarStandIn) -> Settings:
    selling = {
        "billing": True,
        "polar_url": polar.url,
        "polar_access_token": SecretStr(polar.token),
        "polar_webhook_secrets": [SecretStr(polar.secret)],
        "packages": (STARTER, UNCONFIGURED),
        "test_credits": True,
        "web_url": "http://localhost:3000",
    }
    return app_settings.model_copy(update=selling)


async def test_buying_paying_and_coming_back_before_the_webhook(
    page: httpx.AsyncClient, polar: PolarStandIn, make_session: async_sessionmaker[AsyncSession]
) -> None:
    session = mirrored(await page.post("/api/payments/create-session", json={"package_id": "starter_credits"}))
    assert session["checkout_url"].startswith(polar.url)
    assert session["session_id"] == session["transaction_id"]
    assert session["test_mode"] is False
    status = f"/api/payments/status/{session['session_id']}"
    assert mirrored(await page.get(status))["status"] == "pending"

    async with make_session.begin() as database:
        checkout = await database.scalar(
            sa.select(Purchase.checkout_id).where(Purchase.id == UUID(session["session_id"]))
        )
        await database.execute(sa.update(Purchase).values(last_checked_at=None))
    polar.pay(str(checkout))
    paid = mirrored(await page.get(status))
    assert (paid["status"], paid["credits"]) == ("completed", 100)
    assert mirrored(await page.get("/api/user/profile"))["user"]["credits"] == 100

    (listed,) = mirrored(await page.get("/api/payments/transactions"))["transactions"]
    assert (listed["id"], listed["status"], listed["credits"]) == (session["session_id"], "completed", 100)
    assert (listed["amount"], listed["description"]) == (9.99, "Starter: 100 credits")


async def test_what_is_not_sold_and_whose_it_is_not(page: httpx.AsyncClient, stranger: httpx.AsyncClient) -> None:
    refusal(await page.post("/api/payments/create-session", json={"package_id": "premium_credits"}), 409)
    refusal(await page.post("/api/payments/create-session", json={"package_id": "no_such"}), 404)
    refusal(await page.post("/api/payments/create-session", json={}), 400)
    session = mirrored(await page.post("/api/payments/create-session", json={"package_id": "starter_credits"}))
    for who, id_ in ((stranger, session["session_id"]), (page, uuid4())):
        refusal(await who.get(f"/api/payments/status/{id_}"), 404)


async def test_packages_by_id_in_cents_and_as_a_list_in_dollars(visitor: httpx.AsyncClient) -> None:
    body = (await visitor.get("/api/payments/packages")).json()
    assert body["success"] is True
    assert (body["packages"]["starter_credits"]["credits"], body["packages"]["starter_credits"]["price"]) == (100, 999)
    assert next((each["id"], each["price"]) for each in body["data"]["packages"]) == ("starter_credits", 9.99)


async def test_test_credits_where_the_settings_allow_them(page: httpx.AsyncClient) -> None:
    fields = mirrored(await page.post("/api/payments/add-test-credits", json={"credits": 10}))
    assert (fields["credits_added"], fields["credits"]) == (10, 10)
    refusal(await page.post("/api/payments/add-test-credits", json={"credits": 0}), 400)


class TestInProduction:
    @pytest.fixture
    def app_settings(self, app_settings: Settings) -> Settings:
        return app_settings.model_copy(update={"test_credits": False})

    async def test_test_credits_are_refused(self, page: httpx.AsyncClient) -> None:
        assert (
            "test credits"
            in refusal(await page.post("/api/payments/add-test-credits", json={"credits": 10}), 403).lower()
        )
