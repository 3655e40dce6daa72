"""Mails through the durable queue to a real SMTP server: none lost, none sent twice, whatever fails on the way."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa
from dbos import DBOS, AsyncSQLAlchemyDatasource, DBOSClient
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from orchestrator.accounts.models import User
from orchestrator.database import make_sync_engine
from orchestrator.inference import Inference
from orchestrator.jobs import context, durable, heartbeat
from orchestrator.notifications import messages, sending, workflows
from orchestrator.notifications.mailer import mailer_from
from orchestrator.notifications.models import Mail
from orchestrator.notifications.service import post
from orchestrator.settings import Settings
from orchestrator.storage import Storage
from tests.fixtures_control_plane import QueueStandIn
from tests.fixtures_worker import worker_process
from tests.standins.smtp import SmtpServer

pytestmark = pytest.mark.anyio
Sessions = async_sessionmaker[AsyncSession]

LINK = "https://octavia.example/verify-email?token=secret"
LIMIT_S = 60.0


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with SmtpServer() as running:
        yield running


@pytest.fixture
def settings(app_settings: Settings, server: SmtpServer) -> Settings:
    smtp = {"smtp_host": "127.0.0.1", "smtp_port": server.port, "smtp_tls": "none", "smtp_timeout_s": 5.0}
    return app_settings.model_copy(update=smtp)


@pytest.fixture
async def steps(settings: Settings, engine: AsyncEngine, storage: Storage) -> AsyncIterator[None]:
    """A worker's context, as the steps see it."""
    assert settings.database_url
    datasource = await AsyncSQLAlchemyDatasource.create(settings.database_url, engine=engine)
    async with Inference("127.0.0.1:1") as models:
        context.use(
            context.WorkerContext(
                settings,
                engine,
                storage,
                models,
                datasource,
                mailer_from(settings),
                durable.api_client(engine.sync_engine),
            )
        )
        yield


@pytest.fixture
async def worker(steps: None, settings: Settings) -> AsyncIterator[None]:
    """A worker's queues and workflows in this process."""
    system_engine = make_sync_engine(settings.database_url)
    instance = DBOS(config=durable.worker_config(system_engine, "me"))
    DBOS.launch()
    await durable.register_queues(jobs_per_worker=1, chunks_per_worker=1)
    yield
    await asyncio.to_thread(DBOS.destroy)
    instance._launched = False  # DBOS forgets to, and would refuse later tests their datasources
    system_engine.dispose()


@pytest.fixture
def client(database_url: str) -> Iterator[DBOSClient]:
    engine = make_sync_engine(database_url)
    client = durable.api_client(engine)
    yield client
    client.destroy()
    engine.dispose()


async def ask(make_session: Sessions, client: DBOSClient, recipient: str = "elinor@example.org") -> UUID:
    """Post a mail as the API does; its id."""
    message = messages.verify_address(recipient, "Elinor", LINK, 24)
    async with make_session.begin() as session:
        return (await post(session, partial(durable.enqueue_mail, client), message)).id


async def keep(make_session: Sessions, recipient: str = "elinor@example.org") -> UUID:
    """A mail that no workflow looks after; its id."""
    message = messages.verify_address(recipient, "Elinor", LINK, 24)
    async with make_session.begin() as session:
        return (await post(session, lambda *_: None, message)).id


async def look(make_session: Sessions, mail_id: UUID) -> Mail:
    async with make_session() as session:
        return await session.get_one(Mail, mail_id)


async def ended(make_session: Sessions, mail_id: UUID) -> Mail:
    """The mail once it is sent or has failed."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        mail = await look(make_session, mail_id)
        if mail.sent_at or mail.failed_at:
            return mail
        await asyncio.sleep(0.1)
    raise AssertionError(f"the mail has not ended: {mail.attempts} attempts, {mail.last_error}")


async def workflows_of(engine: AsyncEngine) -> dict[str, str]:
    """Every workflow's state."""
    async with engine.connect() as connection:
        rows = await connection.execute(sa.text("select workflow_uuid, status from dbos.workflow_status"))
        return {row.workflow_uuid: row.status for row in rows}


async def change(engine: AsyncEngine, statement: str, **values: object) -> None:
    async with engine.begin() as connection:
        await connection.execute(sa.text(statement), values)


@pytest.mark.usefixtures("worker")
async def test_a_mail_is_sent_once_and_its_content_forgotten(
    make_session: Sessions, client: DBOSClient, server: SmtpServer
) -> None:
    mail = await ended(make_session, await ask(make_session, client))
    assert mail.sent_at is not None
    assert (mail.attempts, mail.last_error, mail.text, mail.html) == (1, None, "", "")
    [received] = server.received
    assert received.message["Message-ID"] == f"<{mail.id}@localhost>"
    assert received.message["Date"].datetime == mail.created_at.replace(microsecond=0)
    body = received.message.get_body(("plain",))
    assert body
    assert LINK in body.get_content()


@pytest.mark.usefixtures("worker")
async def test_a_mail_of_a_transaction_that_was_rolled_back_is_never_sent(
    make_session: Sessions, client: DBOSClient, server: SmtpServer
) -> None:
    async def fail() -> None:
        async with make_session.begin() as session:
            message = messages.verify_address("nobody@example.org", "Elinor", LINK, 24)
            await post(session, partial(durable.enqueue_mail, client), message)
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    await ended(make_session, await ask(make_session, client))
    assert [each.recipients for each in server.received] == [["elinor@example.org"]]


@pytest.mark.usefixtures("worker")
async def test_while_the_server_is_away_a_mail_waits_and_is_then_sent_once(
    make_session: Sessions, client: DBOSClient, server: SmtpServer, engine: AsyncEngine
) -> None:
    server.stop()
    mail_id = await ask(make_session, client)
    waiting = durable.mail_workflow_id(mail_id, 2)
    while (await workflows_of(engine)).get(waiting) != "DELAYED" or heartbeat._running:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    assert (await look(make_session, mail_id)).last_error
    await asyncio.to_thread(server.start)
    mail = await ended(make_session, mail_id)
    assert mail.attempts >= 2
    assert mail.last_error is None
    assert server.message_ids == [f"<{mail_id}@localhost>"]


@pytest.mark.usefixtures("worker")
async def test_a_mail_that_is_refused_for_now_holds_up_no_other(
    make_session: Sessions, client: DBOSClient, server: SmtpServer
) -> None:
    server.answer("451 Greylisted", times=durable.MAILS_PER_WORKER, stage="RCPT")
    refused = [await ask(make_session, client, f"{i}@grey.example") for i in range(durable.MAILS_PER_WORKER)]
    while not all([(await look(make_session, each)).last_error for each in refused]):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    other = await ask(make_session, client)
    for each in [other, *refused]:
        assert (await ended(make_session, each)).sent_at
    assert Counter(server.message_ids) == Counter(f"<{each}@localhost>" for each in [other, *refused])


@pytest.mark.usefixtures("worker")
async def test_what_the_server_refuses_for_good_fails_at_once_and_says_why(
    make_session: Sessions, client: DBOSClient, server: SmtpServer
) -> None:
    server.answer("550 5.1.1 No such user", stage="RCPT")
    mail = await ended(make_session, await ask(make_session, client))
    assert (mail.sent_at, mail.attempts, mail.text, mail.html) == (None, 1, "", "")
    assert "550 5.1.1 No such user" in (mail.last_error or "")
    impossible = await ended(make_session, await ask(make_session, client, "a@b@c\r\n"))
    assert "cannot be written to" in (impossible.last_error or "")
    assert server.received == []


@pytest.mark.usefixtures("worker")
async def test_after_a_lost_answer_the_repeat_is_recognisable_as_the_same_mail(
    make_session: Sessions, client: DBOSClient, server: SmtpServer
) -> None:
    server.hang_ups = 1
    mail = await ended(make_session, await ask(make_session, client))
    assert mail.attempts == 2
    assert server.message_ids == [f"<{mail.id}@localhost>"] * 2
    assert len({each.message.as_bytes().split(b"\r\n\r\n")[0].split(b"boundary")[0] for each in server.received}) == 1


@pytest.mark.usefixtures("worker")
async def test_a_look_that_breaks_unexpectedly_is_followed_by_another(
    make_session: Sessions, client: DBOSClient, server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, calls = sending._send, 0

    async def broken(mail: Mail) -> float | None:
        nonlocal calls
        calls += 1
        if calls == 1:
            await change(context.current().engine, "update mail set claimed_until = now()")
            raise KeyError("a bug")
        return await send(mail)

    monkeypatch.setattr(sending, "_send", broken)
    mail = await ended(make_session, await ask(make_session, client))
    assert mail.sent_at
    assert len(server.received) == 1


@pytest.mark.usefixtures("steps")
async def test_of_attempts_at_the_same_time_one_sends(make_session: Sessions, server: SmtpServer) -> None:
    server.seconds = 0.5
    mail_id = await keep(make_session)
    pauses = await asyncio.gather(*(sending.attempt(str(mail_id)) for _ in range(5)))
    assert len(server.received) == 1
    assert sum(each is None for each in pauses) == 1
    assert all(each > 1 for each in pauses if each is not None), "the others look again when the claim has run out"
    assert await sending.attempt(str(mail_id)) is None
    assert len(server.received) == 1


@pytest.mark.usefixtures("steps")
async def test_a_mail_that_is_gone_with_its_user_ends_its_workflow(make_session: Sessions, engine: AsyncEngine) -> None:
    mail_id = await keep(make_session)
    await change(engine, "delete from mail")
    assert await sending.attempt(str(mail_id)) is None


@pytest.mark.usefixtures("steps")
async def test_a_late_attempt_does_not_undo_what_a_newer_one_noted(make_session: Sessions, engine: AsyncEngine) -> None:
    mail_id = await keep(make_session)
    older = (await sending._claim(mail_id)).mail
    await change(engine, "update mail set claimed_until = now()")
    newer = (await sending._claim(mail_id)).mail
    assert older
    assert newer
    await sending._note_failure(older, "too late")
    assert not (await look(make_session, mail_id)).failed_at
    await sending._note_failure(newer, "refused")
    await sending._note_failure(older, "too late")
    assert (await look(make_session, mail_id)).last_error == "refused"


@pytest.mark.usefixtures("steps")
async def test_after_a_day_of_attempts_a_mail_has_failed(
    make_session: Sessions, engine: AsyncEngine, server: SmtpServer
) -> None:
    server.answer("451 Not now")
    mail_id = await keep(make_session)
    await change(engine, "update mail set created_at = now() - interval '25 hours'")
    pause = await sending.attempt(str(mail_id))
    assert pause is not None, "even a mail that nobody could send for a day is tried once"
    assert await sending.attempt(str(mail_id)) is None
    mail = await look(make_session, mail_id)
    assert mail.failed_at
    assert "given up after 1 attempts" in (mail.last_error or "")
    assert "451 Not now" in (mail.last_error or "")
    assert (mail.text, mail.html) == ("", "")


def test_pauses_grow_to_hours_and_differ() -> None:
    pauses = [sending.pause_s(attempt) for attempt in range(1, 40)]
    assert pauses[0] < 3
    assert sum(pauses[:8]) < 15 * 60
    assert max(pauses) <= 1.25 * sending.LONGEST_PAUSE_S
    assert len(set(pauses[20:])) > 1
    attempts = next(n for n in range(1, 40) if sum(pauses[:n]) > sending.GIVE_UP_AFTER_S)
    assert 15 < attempts < 35


async def test_a_mail_whose_workflow_is_gone_is_noted_as_failed_and_no_other(
    make_session: Sessions, engine: AsyncEngine
) -> None:
    names = ("lost", "crashed", "waiting", "running", "young", "sent")
    mails = {name: await keep(make_session) for name in names}
    await change(
        engine,
        "update mail set created_at = now() - interval '1 hour', sent_at = case when id = :sent then now() end"
        " where id <> :young",
        young=mails["young"],
        sent=mails["sent"],
    )
    rows = [
        (durable.mail_workflow_id(mails["crashed"]), "MAX_RECOVERY_ATTEMPTS_EXCEEDED"),
        (durable.mail_workflow_id(mails["waiting"]), "SUCCESS"),
        (durable.mail_workflow_id(mails["waiting"], 12), "DELAYED"),
        (durable.mail_workflow_id(mails["running"]), "PENDING"),
    ]
    for workflow_id, status in rows:
        insert = (
            "insert into dbos.workflow_status (workflow_uuid, status, name, created_at) values (:id, :s, 'mail', 0)"
        )
        await change(engine, insert, id=workflow_id, s=status)
    await sending.give_up_lost(engine)
    failed = {name for name, mail_id in mails.items() if (await look(make_session, mail_id)).failed_at}
    assert failed == {"lost", "crashed"}
    assert (await look(make_session, mails["lost"])).text == ""
    assert (await look(make_session, mails["waiting"])).text != ""


async def test_a_posted_mail_is_enqueued_with_its_row_and_outlives_its_user(
    make_session: Sessions, engine: AsyncEngine, queue: QueueStandIn, user: User
) -> None:
    async with make_session.begin() as session:
        message = messages.address_known(user.email, user.name, "https://octavia.example")
        mail = await post(session, queue.enqueue_mail, message, user.id)
    assert queue.mails == [mail.id]
    assert ((await look(make_session, mail.id)).user_id, mail.kind) == (user.id, "address_known")
    await change(engine, "delete from user_account")
    assert (await look(make_session, mail.id)).user_id is None


def test_the_workflow_is_registered_under_the_name_it_is_enqueued_with() -> None:
    assert workflows.send_mail.dbos_function_name == durable.MAIL_WORKFLOW  # type: ignore[attr-defined]


@asynccontextmanager
async def bury(engine: AsyncEngine) -> AsyncIterator[None]:
    """After the body: every worker is known to be gone, and the claims of the dead have run out."""
    yield
    await change(engine, "update worker set state = 'gone'")
    await change(engine, "update mail set claimed_until = now()")


async def test_a_worker_killed_while_mails_wait_loses_none(
    make_session: Sessions,
    client: DBOSClient,
    server: SmtpServer,
    settings: Settings,
    engine: AsyncEngine,
    tmp_path: Path,
) -> None:
    server.seconds = 0.4
    mails = [await ask(make_session, client, f"{i}@example.org") for i in range(12)]
    with worker_process(settings, tmp_path, "first"):
        await asyncio.to_thread(server.wait_for_a_mail)
    async with bury(engine):
        unsent = [each for each in mails if not (await look(make_session, each)).sent_at]
        assert unsent, "the worker was killed too late for this test"
    server.seconds = 0
    with worker_process(settings, tmp_path, "second"):
        assert all([(await ended(make_session, each)).sent_at for each in mails])
    times = Counter(server.message_ids)
    assert set(times) == {f"<{each}@localhost>" for each in mails}
    assert sum(times.values()) <= len(mails) + durable.MAILS_PER_WORKER, "only what was in the worker's hands repeats"
    assert max(times.values()) <= 2


@pytest.mark.soak
async def test_mails_survive_kills_by_the_dozen_and_a_server_that_comes_and_goes(
    make_session: Sessions,
    client: DBOSClient,
    server: SmtpServer,
    settings: Settings,
    engine: AsyncEngine,
    tmp_path: Path,
) -> None:
    kills = 12
    server.seconds = 0.3
    mails = [await ask(make_session, client, f"{i}@example.org") for i in range(300)]
    for kill in range(kills):
        server.answer("451 Not now", times=5)
        async with bury(engine):
            with worker_process(settings, tmp_path, f"worker-{kill}"):
                await asyncio.to_thread(server.wait_for_a_mail)
                await asyncio.sleep(random.uniform(0, 2))
                server.stop()
                await asyncio.sleep(random.uniform(0, 1))
                await asyncio.to_thread(server.start)
                await asyncio.sleep(random.uniform(0, 1))
    server.seconds = 0
    with worker_process(settings, tmp_path, "last"):
        assert all([(await ended(make_session, each)).sent_at for each in mails])
    times = Counter(server.message_ids)
    print(f"{len(mails)} mails, {kills} kills, {sum(times.values()) - len(mails)} repeats")
    assert set(times) == {f"<{each}@localhost>" for each in mails}
    assert sum(times.values()) <= len(mails) + 2 * kills * durable.MAILS_PER_WORKER
