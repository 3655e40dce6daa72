"""How long the queue remembers: what is deleted of it at night, and what stays."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from dbos import DBOS
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from uuid_utils.compat import uuid7

from orchestrator.accounts.models import AccountRequest, User
from orchestrator.billing.models import PolarEvent
from orchestrator.database import make_sync_engine
from orchestrator.jobs import durable, forgetting
from orchestrator.notifications.models import Mail
from orchestrator.settings import Settings
from orchestrator.storage import Storage
from orchestrator.webhooks.models import WebhookDelivery, WebhookEndpoint
from tests.orchestrator.jobs.conftest import MakeJob

pytestmark = pytest.mark.anyio
Sessions = async_sessionmaker[AsyncSession]
Keep = Callable[..., Awaitable[str]]

NOW = datetime.now(UTC)
OLD, YOUNG = NOW - timedelta(days=31), NOW - timedelta(days=29)
TABLES = {
    "workflow_status": "workflow_uuid",
    "workflow_input": "workflow_uuid",
    "workflow_output": "workflow_uuid",
    "operation_outputs": "workflow_uuid",
    "datasource_outputs": "workflow_id",
}


@pytest.fixture
async def worker(storage_of_steps: Storage, app_settings: Settings) -> AsyncIterator[None]:
    """A worker's workflows in this process."""
    system_engine = make_sync_engine(app_settings.database_url)
    instance = DBOS(config=durable.worker_config(system_engine, "me"))
    DBOS.launch()
    yield
    await asyncio.to_thread(DBOS.destroy)
    instance._launched = False  # DBOS forgets to, and would refuse later tests their datasources
    system_engine.dispose()


@pytest.fixture
def keep(engine: AsyncEngine) -> Keep:
    """Keep a workflow with a step, an input, an output and a transaction's note; its id."""

    async def keep(
        id_: str, ended: datetime | None = OLD, *, parent: str | None = None, status: str = "SUCCESS"
    ) -> str:
        at = None if ended is None else int(ended.timestamp() * 1000)
        workflow = (
            "insert into dbos.workflow_status"
            " (workflow_uuid, status, name, parent_workflow_id, completed_at, created_at)"
            " values (:id, :status, 'any', :parent, :at, 0)"
        )
        rest = (
            "insert into dbos.workflow_input (workflow_uuid, inputs) values (:id, '[]')",
            "insert into dbos.workflow_output (workflow_uuid, output) values (:id, '1')",
            "insert into dbos.operation_outputs (workflow_uuid, function_id, function_name) values (:id, 1, 'step')",
            "insert into dbos.datasource_outputs (workflow_id, step_id) values (:id, 1)",
        )
        async with engine.begin() as connection:
            await connection.execute(sa.text(workflow), {"id": id_, "status": status, "parent": parent, "at": at})
            for each in rest:
                await connection.execute(sa.text(each), {"id": id_})
        return id_

    return keep


async def kept(engine: AsyncEngine) -> set[str]:
    """The ids of all workflows of which anything is left, all of which is."""
    found = []
    async with engine.connect() as connection:
        for table, column in TABLES.items():
            rows = await connection.scalars(sa.text(f"select distinct {column} from dbos.{table}"))  # noqa: S608
            found.append(set(rows.all()))
    assert all(each == found[0] for each in found)
    return found[0]


async def forget(engine: AsyncEngine) -> int:
    return await forgetting.forget_ended(engine, NOW - timedelta(days=30))


async def test_what_ended_long_ago_goes_with_all_it_began(worker: None, engine: AsyncEngine, keep: Keep) -> None:
    for kind in ("mail-x", "webhook-x-1-1", "polar-x", "account-x", "tell-1", "sched-reconcile-2026", str(uuid7())):
        root = await keep(kind)
        child = await keep(f"{kind}-1", parent=root)
        await keep(f"{kind}-1-1", parent=child, status="CANCELLED")
    young = await keep("young", YOUNG)
    assert await forget(engine) == 21
    assert await kept(engine) == {young}


@pytest.mark.parametrize("status", ["ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"])
async def test_however_it_ended(worker: None, engine: AsyncEngine, keep: Keep, status: str) -> None:
    await keep("ended", status=status)
    assert await forget(engine) == 1


@pytest.mark.parametrize(
    ("status", "ended"), [("PENDING", None), ("ENQUEUED", None), ("DELAYED", None), ("SUCCESS", YOUNG)]
)
async def test_a_workflow_stays_while_anything_it_began_goes_on_or_ended_of_late(
    worker: None, engine: AsyncEngine, keep: Keep, status: str, ended: datetime | None
) -> None:
    mine = {root := await keep("root"), child := await keep("child", parent=root)}
    mine.add(await keep("grandchild", ended, parent=child, status=status))
    assert await forget(engine) == 0
    assert await kept(engine) == mine


async def test_the_children_of_what_is_gone_go_too(worker: None, engine: AsyncEngine, keep: Keep) -> None:
    await keep("child", parent="gone")
    assert await forget(engine) == 1


@pytest.mark.parametrize(
    ("job", "stays"),
    [
        ({"status": "completed", "swept_at": OLD, "finished_at": OLD}, False),
        ({"status": "completed", "swept_at": None, "finished_at": OLD}, True),
        ({"status": "failed", "swept_at": None, "finished_at": OLD}, True),
        ({"status": "processing", "swept_at": None}, True),
        ({"status": "pending", "swept_at": None}, True),
    ],
)
async def test_a_jobs_workflows_stay_until_it_has_ended_and_was_swept(
    worker: None, engine: AsyncEngine, keep: Keep, make_job: MakeJob, job: dict[str, Any], stays: bool
) -> None:
    made = await make_job(started=False, attempt=2, **job)
    mine = {await keep(str(made.id)), root := await keep(durable.job_workflow_id(made.id, 2))}
    mine.add(await keep(f"{root}-1", parent=root))
    await forget(engine)
    assert await kept(engine) == (mine if stays else set())


async def test_a_workflow_stays_while_a_row_waits_for_it(
    worker: None, engine: AsyncEngine, keep: Keep, make_session: Sessions, user: User
) -> None:
    texts = {"kind": "verify_address", "recipient": user.email, "subject": "", "text": "", "html": ""}
    open_mail, sent_mail = Mail(id=uuid7(), **texts), Mail(id=uuid7(), sent_at=NOW, **texts)
    endpoint = WebhookEndpoint(id=uuid7(), user_id=user.id, url="https://example.org", events=[], secret="s" * 32)
    values: dict[str, Any] = {"endpoint_id": endpoint.id, "event": "ping", "body": "{}"}
    pending = WebhookDelivery(id=uuid7(), **values)
    delivered = WebhookDelivery(id=uuid7(), status="delivered", ended_at=NOW, **values)
    event: dict[str, Any] = {"type": "order.paid", "timestamp": NOW, "body": ""}
    unread = PolarEvent(webhook_id="unread", **event)
    read = PolarEvent(webhook_id="read", outcome="handled", handled_at=NOW, **event)
    asked = AccountRequest(id=uuid7(), kind="reset", email=user.email)
    async with make_session.begin() as session:
        session.add_all([open_mail, sent_mail, endpoint, unread, read, asked])
        await session.flush()
        session.add_all([pending, delivered])
    mine = {
        await keep(durable.mail_workflow_id(open_mail.id, 2)),
        await keep(durable.webhook_workflow_id(pending.id, 1, 3)),
        await keep("polar-unread"),
        await keep(f"account-{asked.id}"),
    }
    for ended in (
        durable.mail_workflow_id(sent_mail.id, 2),
        durable.webhook_workflow_id(delivered.id, 1, 3),
        "polar-read",
        f"account-{uuid7()}",
    ):
        await keep(ended)
    assert await forget(engine) == 4
    assert await kept(engine) == mine


async def test_many_are_deleted_a_page_at_a_time(
    worker: None, engine: AsyncEngine, keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "AT_ONCE", 2)
    deleted: list[list[str]] = []
    delete = DBOS.delete_workflows_async

    async def note(ids: list[str]) -> None:
        deleted.append(ids)
        await delete(ids)

    monkeypatch.setattr(DBOS, "delete_workflows_async", note)
    mine = {await keep(f"active-{number}", status="PENDING") for number in range(3)}
    for number in range(3):
        root = await keep(f"root-{number}")
        for child in range(2):
            await keep(f"{root}-{child}", OLD - timedelta(seconds=number), parent=root)
    assert await forget(engine) == 9
    assert await kept(engine) == mine
    assert max(len(page) for page in deleted) == 2
    order = [id_ for page in deleted for id_ in page]
    assert all(order.index(id_[:6]) > order.index(id_) for id_ in order if len(id_) > 6), "children go first"


async def test_the_nightly_workflow_forgets_even_its_earlier_self(
    worker: None, engine: AsyncEngine, app_settings: Settings
) -> None:
    first = await DBOS.start_workflow_async(forgetting.forget, NOW, None)
    await first.get_result(polling_interval_sec=0.1)
    async with engine.begin() as connection:
        at = {"at": int(OLD.timestamp() * 1000)}
        await connection.execute(sa.text("update dbos.workflow_status set completed_at = :at"), at)
    second = await DBOS.start_workflow_async(forgetting.forget, NOW, None)
    await second.get_result(polling_interval_sec=0.1)
    async with engine.connect() as connection:
        for table, column in TABLES.items():
            rows = await connection.scalars(sa.text(f"select {column} from dbos.{table}"))  # noqa: S608
            assert set(rows.all()) <= {second.workflow_id}, table


def test_it_comes_once_a_night_under_the_name_it_is_registered_with() -> None:
    (nightly,) = forgetting.schedules()
    assert nightly["schedule"].split()[2:] == ["*", "*", "*"]
    assert nightly["workflow_fn"].dbos_function_name == durable.FORGET_WORKFLOW  # type: ignore[union-attr]
