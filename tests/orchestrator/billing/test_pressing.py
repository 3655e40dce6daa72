"""Buying where the button is pressed twice, and where the API is killed in the middle of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.accounts.models import User
from orchestrator.billing import reconciliation
from orchestrator.billing.look_back import QUICK_DAYS
from orchestrator.billing.models import PolarOrder, Purchase
from orchestrator.billing.offers import Offer
from orchestrator.credits.models import CreditEntry
from orchestrator.local.ports import free_port
from orchestrator.settings import Settings
from tests.fixtures_api_process import api_process
from tests.fixtures_control_plane import Bearer
from tests.orchestrator.billing.conftest import Books, asking, bought, environment
from tests.orchestrator.billing.payloads import SMALL_PLAN, STARTER
from tests.standins.polar import Fault, PolarStandIn

pytestmark = pytest.mark.anyio

CREATE = "/v1/checkouts/"
LIMIT_S = 120.0
PRESSES = 4


@pytest.fixture
def app_settings(app_settings: Settings, polar: PolarStandIn) -> Settings:
    return asking(app_settings, polar).model_copy(update={"api_port": free_port()})


async def until(ready: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not await ready():
        if time.monotonic() > deadline:
            raise TimeoutError
        await asyncio.sleep(0.05)


async def usable(polar: PolarStandIn, url: str) -> bool:
    """Whether there is a page on which one can pay."""
    async with httpx.AsyncClient(trust_env=False, timeout=60) as browser:
        page = await browser.get(url)
    checkouts = polar.market.tables["checkouts"].values()
    return page.status_code == 200 and [each["url"] for each in checkouts if each["status"] == "open"].count(url) == 1


@pytest.mark.parametrize("offer", [STARTER, SMALL_PLAN], ids=["package", "plan"])
@pytest.mark.parametrize("late", [{"wait_s": 1}, {"hang_s": 1}], ids=["making", "answering"])
async def test_one_key_pressed_at_once_is_one_purchase_with_one_checkout(
    offer: Offer,
    late: dict[str, Any],
    client: httpx.AsyncClient,
    polar: PolarStandIn,
    books: Books,
    user: User,
    engine: AsyncEngine,
    app_settings: Settings,
) -> None:
    """Where Polar makes checkouts late, every press asks it for one; one of them is shown, and the others to nobody."""
    polar.faults.add(Fault("POST", CREATE, times=PRESSES, **late))
    answers = await asyncio.gather(*(bought(client, offer, "pressed") for _ in range(PRESSES)))
    assert len({each["id"] for each in answers}) == await books.counted(Purchase) == 1
    (url,) = {each["checkout_url"] for each in answers}
    assert await usable(polar, url)
    checkout_id = await books.checkout_of(answers[0])
    assert polar.checkout(checkout_id)["url"] == url
    polar.pay(checkout_id)
    path = f"/v1/billing/purchases/{answers[0]['id']}"
    await asyncio.gather(*(client.post(f"{path}/refresh") for _ in range(PRESSES)))
    await reconciliation.run(engine, app_settings, days=QUICK_DAYS)
    assert (await client.get(path)).json()["status"] == "paid"
    assert await books.available(user.id) == offer.credits
    assert (await bought(client, offer, "pressed"))["checkout_url"] is None, "it is paid"
    await books.agree()


@pytest.mark.parametrize("keys", [("one", "two"), (None, None)], ids=["two keys", "no keys"])
async def test_pressed_at_once_with_other_keys_or_none_each_is_a_purchase_of_its_own(
    keys: tuple[str | None, ...], client: httpx.AsyncClient, polar: PolarStandIn, books: Books, user: User
) -> None:
    polar.faults.add(Fault("POST", CREATE, hang_s=0.3, times=len(keys)))
    answers = await asyncio.gather(*(bought(client, STARTER, key) for key in keys))
    assert len({each["id"] for each in answers}) == len({each["checkout_url"] for each in answers}) == 2
    assert len(polar.market.tables["checkouts"]) == 2
    for paid, purchase in enumerate(answers, 1):
        assert await usable(polar, purchase["checkout_url"])
        polar.pay(await books.checkout_of(purchase))
        await client.post(f"/v1/billing/purchases/{purchase['id']}/refresh")
        assert await books.available(user.id) == paid * STARTER.credits
    await books.agree()


@dataclass
class Api:
    """An API process that can be killed and started again, and a buyer's client of it."""

    settings: Settings
    folder: Path
    headers: dict[str, str]
    running: ExitStack = field(default_factory=ExitStack)
    starts: int = 0

    async def start(self) -> None:
        self.starts += 1
        variables = environment(self.settings) | {
            "OCTAVIA_API_PORT": str(self.settings.api_port),
            "OCTAVIA_JWT_SECRET": "s" * 40,
            "OCTAVIA_POLAR_TIMEOUT_S": "60",
            "OCTAVIA_RATE_LIMITS_ENABLED": "false",
            "OCTAVIA_SMTP_PORT": "9",
        }
        self.running.enter_context(api_process(self.settings, self.folder, f"api-{self.starts}", **variables))

        async def is_up() -> bool:
            try:
                async with self.client() as client:
                    return (await client.get("/healthz")).status_code == 200
            except httpx.TransportError:
                return False

        await until(is_up)

    def kill(self) -> None:
        """With SIGKILL."""
        self.running.close()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        url = f"http://127.0.0.1:{self.settings.api_port}"
        async with httpx.AsyncClient(base_url=url, headers=self.headers, timeout=LIMIT_S, trust_env=False) as client:
            yield client


@pytest.fixture
async def api(app_settings: Settings, tmp_path: Path, bearer: Bearer, user: User) -> AsyncIterator[Api]:
    api = Api(app_settings, tmp_path, await bearer(user))
    yield api
    api.kill()


async def nothing_made(polar: PolarStandIn, _: Books, __: AsyncEngine, kill: Callable[[], None]) -> None:
    """Polar has the request, and does nothing with it any more."""

    async def is_asked() -> bool:
        return ("POST", CREATE) in [request[:2] for request in polar.requests]

    await until(is_asked)
    kill()
    assert not polar.market.tables["checkouts"]


async def made_by_polar(polar: PolarStandIn, _: Books, __: AsyncEngine, kill: Callable[[], None]) -> None:
    """Polar has made the checkout and not answered yet."""

    async def is_made() -> bool:
        return bool(polar.market.tables["checkouts"])

    await until(is_made)
    kill()


async def heard_and_not_noted(polar: PolarStandIn, books: Books, engine: AsyncEngine, kill: Callable[[], None]) -> None:
    """Polar has answered, and the API waits for the purchase's row to note that."""
    waiting = sa.text(
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query ilike '%purchase%'"
    )

    async def is_written() -> bool:
        return await books.counted(Purchase) == 1

    async def is_waiting() -> bool:
        async with engine.connect() as connection:
            return bool(await connection.scalar(waiting))

    await until(is_written)
    async with books.make.begin() as holding:
        await holding.scalar(sa.select(Purchase.id).with_for_update())
        polar.closing.set()
        await until(is_waiting)
        kill()


Moment = Callable[[PolarStandIn, Books, AsyncEngine, Callable[[], None]], Awaitable[None]]
MOMENTS: dict[Moment, Fault] = {
    nothing_made: Fault("POST", CREATE, status=503, hang_s=LIMIT_S),
    made_by_polar: Fault("POST", CREATE, carried_out=True, hang_s=LIMIT_S),
    heard_and_not_noted: Fault("POST", CREATE, carried_out=True, hang_s=LIMIT_S),
}


def moments(*quick: Moment, soak: tuple[Moment, ...]) -> pytest.MarkDecorator:
    """The moments of a kill; the API takes seconds to start, so that most are for the soak."""
    chosen = [pytest.param(each, id=each.__name__) for each in quick]
    chosen += [pytest.param(each, id=each.__name__, marks=pytest.mark.soak) for each in soak]
    return pytest.mark.parametrize("killed", chosen, indirect=True)


@pytest.fixture
async def killed(
    request: pytest.FixtureRequest, api: Api, polar: PolarStandIn, books: Books, engine: AsyncEngine
) -> str:
    """The key of a request to buy, in the middle of which the API was killed."""
    moment: Moment = request.param
    key = str(uuid4())
    await api.start()
    polar.faults.add(Fault(**vars(MOMENTS[moment])))
    async with api.client() as client:
        press = asyncio.create_task(bought(client, STARTER, key))
        await moment(polar, books, engine, api.kill)
        with pytest.raises(httpx.TransportError):
            await press
    assert await books.counted(Purchase) == 1
    assert len(polar.market.tables["checkouts"]) == (0 if moment is nothing_made else 1)
    return key


async def settled(
    client: httpx.AsyncClient, key: str, purchase: dict[str, Any], books: Books, user: User, polar: PolarStandIn
) -> None:
    """It is paid and its credits came once, whoever asks once more."""
    for _ in range(2):
        again = await bought(client, STARTER, key)
        assert (again["id"], again["status"], again["checkout_url"]) == (purchase["id"], "paid", None)
    assert await books.counted(Purchase) == await books.counted(PolarOrder) == await books.counted(CreditEntry) == 1
    assert len(polar.market.tables["checkouts"]) == 1
    assert await books.available(user.id) == STARTER.credits
    await books.agree()


@moments(made_by_polar, soak=(nothing_made, heard_and_not_noted))
async def test_the_same_key_after_a_kill_is_the_same_purchase_with_one_checkout_that_grants_once(
    killed: str,
    api: Api,
    polar: PolarStandIn,
    books: Books,
    user: User,
    engine: AsyncEngine,
    app_settings: Settings,
) -> None:
    await api.start()
    async with api.client() as client:
        purchase = await bought(client, STARTER, killed)
        assert (await bought(client, STARTER, killed))["checkout_url"] == purchase["checkout_url"]
        assert await usable(polar, purchase["checkout_url"])
        polar.pay(await books.checkout_of(purchase))
        refreshed = await client.post(f"/v1/billing/purchases/{purchase['id']}/refresh")
        assert refreshed.json()["status"] == "paid"
        run = await reconciliation.run(engine, app_settings, days=QUICK_DAYS)
        assert (run.error, run.failed, run.repaired) == (None, 0, 0)
        await settled(client, killed, purchase, books, user, polar)


@moments(heard_and_not_noted, soak=(made_by_polar,))
async def test_what_was_paid_after_a_kill_is_repaired_by_reconciliation_alone(
    killed: str,
    client: httpx.AsyncClient,
    polar: PolarStandIn,
    books: Books,
    user: User,
    engine: AsyncEngine,
    app_settings: Settings,
) -> None:
    (checkout_id,) = polar.market.tables["checkouts"]
    polar.pay(checkout_id)
    run = await reconciliation.run(engine, app_settings, days=QUICK_DAYS)
    assert (run.error, run.failed, run.repaired) == (None, 0, 1)
    assert await books.available(user.id) == STARTER.credits
    (purchase,) = (await client.get("/v1/billing/purchases")).json()["items"]
    assert purchase["status"] == "paid"
    await settled(client, killed, purchase, books, user, polar)
