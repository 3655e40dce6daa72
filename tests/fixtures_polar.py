"""A stand-in for Polar and a client of it."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from orchestrator.billing.polar import NewCheckout, Polar
from orchestrator.settings import Settings
from tests.standins.polar import PolarStandIn

PACK = UUID("a3b1c9d0-4e5f-4a6b-9c8d-7e6f5a4b3c21")
PLAN = UUID("c5d3e1f2-6071-4c8d-9eaf-90817c6d5e43")


@pytest.fixture
async def polar_standin() -> AsyncIterator[PolarStandIn]:
    """A Polar with one pack and one monthly plan, and no webhook endpoint yet."""
    async with PolarStandIn(time_scale=0.0001) as standin:
        standin.add_product("Starter", 999, id_=str(PACK))
        standin.add_product("Plan", 1900, id_=str(PLAN), interval="month")
        standin.settle_changes_of_plan("next_period")
        yield standin


@pytest.fixture
def polar_settings(polar_standin: PolarStandIn) -> Settings:
    return Settings(
        billing=True,
        polar_url=polar_standin.url,
        polar_access_token=SecretStr(polar_standin.token),
        polar_timeout_s=20,
    )


@pytest.fixture
async def polar_client(polar_settings: Settings) -> AsyncIterator[Polar]:
    """A client that waits a hundredth of its usual pauses."""
    async with Polar.from_settings(polar_settings, pause_s=0.005, patience_s=30) as client:
        yield client


def a_checkout(
    product_id: UUID = PACK, *, email: str | None = "ada@example.com", client_ip: str | None = None
) -> NewCheckout:
    return NewCheckout(
        product_id=product_id,
        user_id=uuid4(),
        purchase_id=uuid4(),
        email=email,
        client_ip=client_ip,
        success_url="https://octavia.example/dashboard/billing?checkout={CHECKOUT_ID}",
        return_url="https://octavia.example/dashboard/billing",
    )
