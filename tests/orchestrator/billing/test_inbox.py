"""POST /webhooks/polar: what is taken is kept once and acknowledged, all else is a 4xx of ours and leaves no trace."""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.billing.models import PolarEvent, PolarOrder
from orchestrator.credits.models import CreditEntry
from orchestrator.database import EmbeddedPostgres
from tests.fixtures_control_plane import QueueStandIn
from tests.orchestrator.billing.conftest import Books, Buy
from tests.orchestrator.billing.payloads import FIXTURES, NEW_SECRET, OLD_SECRET, OTHER_SECRET, event, order, signed

pytestmark = pytest.mark.anyio

PAID = event("order.paid", {"id": str(uuid4())})
ENDPOINT = "/webhooks/polar"


@pytest.fixture
async def polar(server: str) -> Any:
    """Polar, over a real socket and without a token."""
    async with httpx.AsyncClient(base_url=server, timeout=60) as client:
        yield client


async def test_a_delivery_is_kept_as_it_came_and_its_handling_enqueued(
    polar: httpx.AsyncClient, books: Books, queue: QueueStandIn
) -> None:
    headers = signed(PAID)
    answer = await polar.post(ENDPOINT, content=PAID, headers=headers)
    assert (answer.status_code, answer.content) == (202, b"")
    kept = await books.event(headers["webhook-id"])
    assert (kept.type, kept.body.encode(), kept.outcome) == ("order.paid", PAID, None)
    assert queue.polar_events == [headers["webhook-id"]]


@pytest.mark.parametrize("secret", [OLD_SECRET, NEW_SECRET])
async def test_both_schemes_of_keys_are_taken(polar: httpx.AsyncClient, books: Books, secret: str) -> None:
    headers = signed(PAID, secret, old=secret == OLD_SECRET)
    assert (await polar.post(ENDPOINT, content=PAID, headers=headers)).status_code == 202
    assert await books.counted(PolarEvent) == 1


async def test_a_repetition_is_acknowledged_and_changes_nothing(
    polar: httpx.AsyncClient, books: Books, queue: QueueStandIn
) -> None:
    for seconds in (0, 60, -60):
        headers = signed(PAID, webhook_id="the-same", seconds=seconds)
        assert (await polar.post(ENDPOINT, content=PAID, headers=headers)).status_code == 202
    assert await books.counted(PolarEvent) == 1
    assert queue.polar_events == ["the-same"]


async def test_of_deliveries_that_come_at_once_each_is_kept_and_the_wrong_ones_are_refused(
    polar: httpx.AsyncClient, books: Books, queue: QueueStandIn
) -> None:
    bodies = [event("order.paid", {"id": str(uuid4())}) for _ in range(60)] + [b"{}", b"[]"]
    answers = await asyncio.gather(*(polar.post(ENDPOINT, content=each, headers=signed(each)) for each in bodies))
    assert [answer.status_code for answer in answers] == [202] * 60 + [400] * 2
    async with books.make() as session:
        kept = (await session.scalars(sa.select(PolarEvent.body))).all()
    assert sorted(kept) == sorted(body.decode() for body in bodies[:60])
    assert len(queue.polar_events) == len(set(queue.polar_events)) == 60


async def test_one_that_cannot_be_enqueued_keeps_no_other_from_being_kept(
    polar: httpx.AsyncClient, books: Books, queue: QueueStandIn
) -> None:
    refused = signed(PAID)
    queue.refused = {refused["webhook-id"]}
    others = [event("order.paid", {"id": str(uuid4())}) for _ in range(20)]
    sent = [polar.post(ENDPOINT, content=body, headers=signed(body)) for body in others]
    first, *rest = await asyncio.gather(polar.post(ENDPOINT, content=PAID, headers=refused), *sent)
    assert first.status_code == 500
    assert {answer.status_code for answer in rest} == {202}
    assert await books.counted(PolarEvent) == 20
    queue.refused = set()
    assert (await polar.post(ENDPOINT, content=PAID, headers=refused)).status_code == 202
    assert queue.polar_events[-1] == refused["webhook-id"]


async def test_an_acknowledgement_comes_after_the_commit(
    polar: httpx.AsyncClient, books: Books, engine: AsyncEngine
) -> None:
    """While the commit waits, for somebody holds the table, no delivery is acknowledged."""
    bodies = [event("order.paid", {"id": str(uuid4())}) for _ in range(5)]
    async with engine.begin() as connection:
        await connection.execute(sa.text("lock table polar_event in share mode"))
        sent = [asyncio.create_task(polar.post(ENDPOINT, content=each, headers=signed(each))) for each in bodies]
        done, _ = await asyncio.wait(sent, timeout=1)
        assert not done
    assert {answer.status_code for answer in await asyncio.gather(*sent)} == {202}
    assert await books.counted(PolarEvent) == 5


async def test_of_many_deliveries_at_once_one_is_kept(
    polar: httpx.AsyncClient, books: Books, queue: QueueStandIn
) -> None:
    headers = signed(PAID)
    answers = await asyncio.gather(*(polar.post(ENDPOINT, content=PAID, headers=headers) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {202}
    assert await books.counted(PolarEvent) == 1
    assert len(queue.polar_events) == 1


@pytest.mark.parametrize("type_", ["payment.succeeded", "product.updated", "something.new", "customer.created"])
async def test_what_says_nothing_to_us_is_kept_and_ignored(
    polar: httpx.AsyncClient, books: Books, queue: QueueStandIn, type_: str
) -> None:
    body = event(type_, {"id": str(uuid4())})
    headers = signed(body)
    assert (await polar.post(ENDPOINT, content=body, headers=headers)).status_code == 202
    kept = await books.event(headers["webhook-id"])
    assert kept.outcome == "ignored"
    assert kept.handled_at is not None
    assert (kept.body, kept.user_ids, kept.email_hashes) == ("", [], [])
    assert queue.polar_events == []


async def test_payment_succeeded_grants_nothing_even_about_a_purchase_of_ours(
    polar: httpx.AsyncClient, books: Books, buy: Buy
) -> None:
    body = event("payment.succeeded", order(await buy()))
    assert (await polar.post(ENDPOINT, content=body, headers=signed(body))).status_code == 202
    await books.work()
    assert await books.counted(CreditEntry) == 0


NUMBER = event("order.paid", {"id": 1})


def refusals() -> dict[str, tuple[bytes, dict[str, str], int]]:
    """Bodies and headers, signed now, and the status of their refusal."""
    good = signed(PAID)
    refused: dict[str, tuple[bytes, dict[str, str], int]] = {
        "no signature": (PAID, {"content-type": "application/json"}, 400),
        "no id": (PAID, {key: value for key, value in good.items() if key != "webhook-id"}, 400),
        "a wrong signature": (PAID, good | {"webhook-signature": "v1," + "A" * 43 + "="}, 403),
        "a truncated signature": (PAID, good | {"webhook-signature": good["webhook-signature"][:-7]}, 400),
        "a shortened signature": (PAID, good | {"webhook-signature": good["webhook-signature"][:-8]}, 403),
        "garbage for a signature": (PAID, good | {"webhook-signature": "garbage"}, 400),
        "a signature of too many parts": (PAID, good | {"webhook-signature": "v1,a,b"}, 400),
        "a replayed signature with a new time": (
            PAID,
            good | {"webhook-timestamp": str(int(good["webhook-timestamp"]) + 9)},
            403,
        ),
        "a replayed signature with a new id": (PAID, good | {"webhook-id": str(uuid4())}, 403),
        "a replayed signature of another body": (NUMBER, good, 403),
        "a stale signature": (PAID, signed(PAID, seconds=-301), 403),
        "a signature from the future": (PAID, signed(PAID, seconds=3600), 403),
        "a truncated body": (PAID[:-10], good, 403),
        "an empty body": (b"", good, 403),
        "a body re-encoded": (json.dumps(json.loads(PAID), separators=(",", ":")).encode(), good, 403),
        "another endpoint's secret": (PAID, signed(PAID, OTHER_SECRET), 403),
        "another endpoint's secret in the old scheme": (PAID, signed(PAID, OTHER_SECRET, old=True), 403),
        "our secret with the padding cut": (PAID, signed(PAID, NEW_SECRET.rstrip("="), old=True), 403),
        "a time that is no number": (PAID, good | {"webhook-timestamp": "nan"}, 400),
        "a body that is no text": (b"\xff\xfe", signed(b"\xff\xfe"), 400),
        "a body that is no JSON": (b"paid!", signed(b"paid!"), 400),
        "a body that is no object": (b"[1]", signed(b"[1]"), 400),
        "a body without end": (b"[" * 100_000, signed(b"[" * 100_000), 400),
        "no type": (
            b'{"timestamp": "2026-10-01T10:00:05Z", "data": {}}',
            signed(b'{"timestamp": "2026-10-01T10:00:05Z", "data": {}}'),
            400,
        ),
        "no data": (
            b'{"type": "order.paid", "timestamp": "2026-10-01T10:00:05Z"}',
            signed(b'{"type": "order.paid", "timestamp": "2026-10-01T10:00:05Z"}'),
            400,
        ),
        "no time of the event": (
            b'{"type": "order.paid", "data": {}}',
            signed(b'{"type": "order.paid", "data": {}}'),
            400,
        ),
        "too large a body": (b"x" * 2_000_000, signed(b"x" * 2_000_000), 413),
    }
    for kind, change in {
        "a type that is no name": {"type": "order.paid\u0000"},
        "a type of many words": {"type": "order paid"},
        "a time that is none in UTC": {"timestamp": "0001-01-01T00:00:00+14:00"},
        "a time beyond all times": {"timestamp": "9999-12-31T23:59:59-14:00"},
        "data that is no object": {"data": "order"},
    }.items():
        body = json.dumps(json.loads(PAID) | change).encode()
        refused[kind] = (body, signed(body), 400)
    return refused


@pytest.mark.parametrize("kind", refusals())
async def test_what_is_not_polars_is_refused_with_a_problem_and_kept_nowhere(
    polar: httpx.AsyncClient, books: Books, queue: QueueStandIn, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    body, headers, status = refusals()[kind]
    answer = await polar.post(ENDPOINT, content=body, headers=headers)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] in ("malformed_delivery", "invalid_signature", "request_entity_too_large")
    assert await books.counted(PolarEvent) == 0
    assert queue.polar_events == []
    said = capsys.readouterr().out
    assert status == 413 or "a delivery was refused" in said
    assert "whsec_" not in said + answer.text
    assert json.loads(PAID)["data"]["id"] not in said + answer.text


async def test_headers_are_names_in_any_case(polar: httpx.AsyncClient) -> None:
    headers = {name.title(): value for name, value in signed(PAID).items()}
    assert (await polar.post(ENDPOINT, content=PAID, headers=headers)).status_code == 202


async def test_a_slash_at_the_end_is_no_redirect(polar: httpx.AsyncClient) -> None:
    assert (await polar.post(f"{ENDPOINT}/", content=PAID, headers=signed(PAID))).status_code == 202


async def test_no_rate_limit_refuses_polar(app_settings: Any, polar: httpx.AsyncClient, application: FastAPI) -> None:
    application.state.context.limits._enabled = True
    for _ in range(40):
        assert (await polar.post(ENDPOINT, content=PAID, headers=signed(PAID))).status_code == 202


async def test_a_client_that_hangs_up_in_the_middle_leaves_nothing(server: str, books: Books) -> None:
    address = httpx.URL(server)
    with socket.create_connection((address.host, address.port or 80)) as connection:
        head = "".join(f"{name}: {value}\r\n" for name, value in signed(PAID).items())
        connection.sendall(f"POST {ENDPOINT} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(PAID)}\r\n{head}\r\n".encode())
        connection.sendall(PAID[:20])
    async with httpx.AsyncClient(base_url=server, timeout=60) as client:
        assert (await client.get("/healthz")).status_code == 200
    assert await books.counted(PolarEvent) == 0


async def test_while_the_queue_refuses_nothing_is_kept_and_polar_tries_again(
    polar: httpx.AsyncClient, books: Books, queue: QueueStandIn
) -> None:
    queue.refusal = sa.exc.OperationalError("select 1", {}, psycopg.OperationalError("away"))
    headers = signed(PAID)
    assert (await polar.post(ENDPOINT, content=PAID, headers=headers)).status_code == 503
    assert await books.counted(PolarEvent) == 0
    queue.refusal = None
    assert (await polar.post(ENDPOINT, content=PAID, headers=headers)).status_code == 202
    assert queue.polar_events == [headers["webhook-id"]]


async def test_while_the_database_is_away_the_answer_is_503_and_the_repetition_is_taken(
    polar: httpx.AsyncClient, books: Books, postgres: EmbeddedPostgres, engine: AsyncEngine
) -> None:
    headers = signed(PAID)
    await asyncio.to_thread(postgres.stop)
    try:
        answer = await polar.post(ENDPOINT, content=PAID, headers=headers)
    finally:
        await asyncio.to_thread(postgres.start)
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    await engine.dispose()
    for _ in range(3):  # connections of before the stop are found broken one by one
        answer = await polar.post(ENDPOINT, content=PAID, headers=headers)
        if answer.status_code == 202:
            break
    assert answer.status_code == 202
    assert await books.counted(PolarEvent) == 1


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("path", sorted(FIXTURES.glob("webhook.*.json")), ids=lambda path: path.stem)
async def test_polars_own_events_are_kept_and_grant_nothing_for_they_are_nobodys(
    client: httpx.AsyncClient, books: Books, path: Path, old: bool
) -> None:
    body = path.read_bytes()
    headers = signed(body, OLD_SECRET if old else NEW_SECRET, old=old)
    assert (await client.post(ENDPOINT, content=body, headers=headers)).status_code == 202
    await books.work()
    kept = await books.event(headers["webhook-id"])
    ignored = "payment.succeeded" in path.stem
    assert kept.outcome == ("ignored" if ignored else "parked"), kept.reason
    assert kept.body.encode() == (b"" if ignored else body)
    assert await books.counted(CreditEntry) == 0
    async with books.make() as session:
        states = set((await session.scalars(sa.select(PolarOrder.state))).all())
    assert states <= {"parked"}
