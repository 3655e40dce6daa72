"""Events through the durable queue and real workers: handled once, whatever dies on the way."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.accounts.models import User
from orchestrator.billing import inbox, wire, workflows
from orchestrator.billing.look_back import LONG_DAYS, QUICK_DAYS
from orchestrator.billing.models import PolarEvent, PolarOrder, Purchase
from orchestrator.credits.models import CreditEntry
from orchestrator.jobs import durable
from orchestrator.settings import Settings
from tests.fixtures_worker import worker_process
from tests.orchestrator.billing.conftest import Books, Buy, environment
from tests.orchestrator.billing.payloads import event, order

pytestmark = pytest.mark.anyio
LIMIT_S = 60.0


Deliver = Callable[[str, dict[str, Any]], Awaitable[str]]


@pytest.fixture
def deliver(books: Books) -> Deliver:
    """Keeps an event as the API does; its id."""

    async def deliver(type_: str, data: dict[str, Any]) -> str:
        webhook_id, body = str(uuid4()), event(type_, data)
        async with books.make.begin() as session:
            event_ = wire.Event.model_validate_json(body)
            await inbox.keep(session, durable.enqueue_polar_events, [wire.Delivery(webhook_id, event_, body.decode())])
        return webhook_id

    return deliver


async def until(ready: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not await ready():
        if time.monotonic() > deadline:
            raise TimeoutError
        await asyncio.sleep(0.1)


async def ended(books: Books, webhook_id: str) -> PolarEvent:
    """The event once something has become of it."""

    async def has_ended() -> bool:
        return (await books.event(webhook_id)).outcome is not None

    await until(has_ended)
    return await books.event(webhook_id)


def worker(settings: Settings, folder: Path, name: str) -> Any:
    return worker_process(settings, folder, name, **environment(settings), OCTAVIA_SMTP_PORT="9")


async def test_a_worker_handles_what_was_kept_and_notes_what_it_cannot(
    books: Books, buy: Buy, user: User, deliver: Deliver, app_settings: Settings, tmp_path: Path
) -> None:
    good = await deliver("order.paid", order(await buy()))
    bad = await deliver("order.paid", {"id": "1"})
    with worker(app_settings, tmp_path, "only"):
        assert (await ended(books, good)).outcome == "handled"
        failed = await ended(books, bad)
    assert failed.outcome == "failed"
    assert "created_at" in (failed.reason or "")
    assert await books.available(user.id) == 100


async def test_what_fails_for_a_while_is_tried_again(
    books: Books, buy: Buy, user: User, deliver: Deliver, app_settings: Settings, engine: AsyncEngine, tmp_path: Path
) -> None:
    async with engine.begin() as connection:
        await connection.execute(sa.text("alter table credit_entry rename to elsewhere"))
    webhook_id = await deliver("order.paid", order(await buy()))
    try:
        with worker(app_settings, tmp_path, "only"):
            log = tmp_path / "only.log"

            async def has_failed() -> bool:
                return "was not handled" in log.read_text()

            await until(has_failed)
            assert (await books.event(webhook_id)).outcome is None
            async with engine.begin() as connection:
                await connection.execute(sa.text("alter table elsewhere rename to credit_entry"))
            assert (await ended(books, webhook_id)).outcome == "handled"
    finally:
        async with engine.begin() as connection:
            await connection.execute(sa.text("alter table if exists elsewhere rename to credit_entry"))
    assert await books.available(user.id) == 100


async def test_a_worker_killed_between_inbox_and_grant_loses_and_doubles_nothing(
    books: Books, buy: Buy, user: User, deliver: Deliver, app_settings: Settings, engine: AsyncEngine, tmp_path: Path
) -> None:
    purchase = await buy()
    webhook_id = await deliver("order.paid", order(purchase))
    waiting = sa.text(
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query ilike '%purchase%'"
    )
    async with books.make.begin() as holding:
        await holding.get_one(Purchase, purchase.id, with_for_update=True)

        async def is_in_the_middle() -> bool:
            async with engine.connect() as connection:
                return bool(await connection.scalar(waiting))

        with worker(app_settings, tmp_path, "killed") as process:
            await until(is_in_the_middle)
            process.kill()
            process.wait()
    assert await books.counted(PolarOrder) == await books.counted(CreditEntry) == 0
    async with engine.begin() as connection:
        await connection.execute(sa.text("update worker set state = 'gone'"))
    with worker(app_settings, tmp_path, "second"):
        assert (await ended(books, webhook_id)).outcome == "handled"
    assert await books.counted(CreditEntry) == 1
    assert await books.available(user.id) == 100


async def test_workers_killed_among_many_events_grant_each_order_once(
    books: Books, buy: Buy, user: User, deliver: Deliver, app_settings: Settings, engine: AsyncEngine, tmp_path: Path
) -> None:
    orders = [order(await buy()) for _ in range(12)]
    events = [await deliver(type_, each) for each in orders for type_ in ("order.updated", "order.paid")]
    for number in range(2):
        handled = sa.text("select count(*) from polar_event where outcome is not null")

        async def some(number: int = number, handled: sa.TextClause = handled) -> bool:
            async with engine.connect() as connection:
                return int(await connection.scalar(handled) or 0) > 5 * number + 1

        with worker(app_settings, tmp_path, f"killed-{number}"):
            await until(some)
        async with engine.begin() as connection:
            await connection.execute(sa.text("update worker set state = 'gone'"))
    with worker(app_settings, tmp_path, "last"):
        assert {(await ended(books, each)).outcome for each in events} == {"handled"}
    assert await books.counted(CreditEntry) == 12
    assert await books.available(user.id) == 1200


def test_the_workflows_are_registered_under_the_names_they_are_enqueued_with() -> None:
    assert workflows.handle_event.dbos_function_name == durable.POLAR_EVENT_WORKFLOW  # type: ignore[attr-defined]
    assert workflows.reconcile.dbos_function_name == durable.RECONCILE_WORKFLOW  # type: ignore[attr-defined]


def test_the_quick_look_comes_as_often_as_is_set_and_the_long_one_daily(app_settings: Settings) -> None:
    often = app_settings.model_copy(update={"reconcile_minutes": 7})
    quick, long = workflows.schedules(often)
    assert (quick["schedule"], quick["context"]) == ("*/7 * * * *", QUICK_DAYS)
    assert (long["schedule"].split()[2:], long["context"]) == (["*", "*", "*"], LONG_DAYS)
