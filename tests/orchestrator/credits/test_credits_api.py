"""/v1/credits: what one has, how it came to be, and test credits."""

import csv
import io
from datetime import UTC, datetime

import httpx
import pytest

from orchestrator.credits import service
from orchestrator.settings import Settings
from tests.orchestrator.credits.conftest import DAY, NOW, Book

pytestmark = pytest.mark.anyio

EMPTY = {"available": 0, "held": 0, "debt": 0, "expiring": [], "holds": []}


async def test_who_never_had_credits_has_none(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/credits")
    assert (answer.status_code, answer.json()) == (200, EMPTY)
    assert answer.headers["Cache-Control"] == "no-store"
    assert (await client.get("/v1/credits/history")).json() == {"items": [], "next_cursor": None}


async def test_one_sees_what_one_has_what_expires_and_what_is_held_for_what(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, book: Book
) -> None:
    await book.grant(20, expires_at=NOW + DAY)
    await book.grant(10)
    await book.capture(await book.hold(2, reference="job:1"))
    first, second = await book.hold(5, reference="job:2"), await book.hold(1, reference="job:3")
    found = (await client.get("/v1/credits")).json()
    assert (found["available"], found["held"], found["debt"]) == (22, 6, 0)
    assert found["expiring"] == [{"at": "2030-01-02T00:00:00Z", "credits": 12}]
    assert [(hold["id"], hold["credits"], hold["reference"]) for hold in found["holds"]] == [
        (str(second.id), 1, "job:3"),
        (str(first.id), 5, "job:2"),
    ]
    assert (await stranger.get("/v1/credits")).json() == EMPTY


async def test_a_debt_is_shown_as_such(client: httpx.AsyncClient, book: Book) -> None:
    granted = await book.grant(10)
    await book.spend(10)
    await book.take_back(granted, 10)
    found = (await client.get("/v1/credits")).json()
    assert (found["available"], found["debt"]) == (-10, 10)


async def test_the_history_goes_back_page_by_page(client: httpx.AsyncClient, book: Book) -> None:
    await book.grant(20, note="welcome")
    for _ in range(2):
        await book.spend(3)
    first = (await client.get("/v1/credits/history", params={"limit": 3})).json()
    assert [(each["sequence"], each["kind"]) for each in first["items"]] == [
        (5, "capture"),
        (4, "hold"),
        (3, "capture"),
    ]
    assert first["items"][1]["amount"] == -3
    assert first["next_cursor"] == 3
    rest = (await client.get("/v1/credits/history", params={"limit": 3, "cursor": 3})).json()
    assert [each["sequence"] for each in rest["items"]] == [2, 1]
    assert rest["items"][1]["note"] == "welcome"
    assert rest["next_cursor"] is None


async def test_the_history_of_one_kind_is_paged_alike(client: httpx.AsyncClient, book: Book) -> None:
    await book.grant(20)
    for _ in range(3):
        await book.spend(1)
    first = (await client.get("/v1/credits/history", params={"kind": "hold", "limit": 2})).json()
    rest = (await client.get("/v1/credits/history", params={"kind": "hold", "cursor": first["next_cursor"]})).json()
    assert [each["sequence"] for each in first["items"] + rest["items"]] == [6, 4, 2]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize("query", ["kind=gift", "limit=0", "limit=201", "cursor=0", f"cursor={2**63}", "cursor=x"])
async def test_a_history_of_nonsense_is_refused(client: httpx.AsyncClient, query: str) -> None:
    assert (await client.get(f"/v1/credits/history?{query}")).status_code == 422


async def test_nobody_sees_anothers_history(stranger: httpx.AsyncClient, book: Book) -> None:
    await book.grant(20)
    assert (await stranger.get("/v1/credits/history")).json()["items"] == []
    assert (await stranger.get("/v1/credits/history.csv")).text.count("\r\n") == 1


async def test_the_statement_has_every_entry(
    client: httpx.AsyncClient, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "AT_ONCE", 2)
    await book.grant(20, note='=HYPERLINK("http://x";"für, Sie")\nzwei')
    for _ in range(2):
        await book.spend(3)
    answer = await client.get("/v1/credits/history.csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    name = f"octavia-credits-{datetime.now(UTC):%Y-%m-%d}.csv"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
    assert answer.headers["Cache-Control"] == "no-store"
    rows = list(csv.DictReader(io.StringIO(answer.content.decode(), newline="")))
    assert [(row["sequence"], row["kind"], row["amount"], row["available"]) for row in rows] == [
        ("1", "grant", "20", "20"),
        ("2", "hold", "-3", "17"),
        ("3", "capture", "0", "17"),
        ("4", "hold", "-3", "14"),
        ("5", "capture", "0", "14"),
    ]
    assert rows[0]["note"] == '\'=HYPERLINK("http://x";"für, Sie")\nzwei'
    assert datetime.fromisoformat(rows[0]["at"]).tzinfo is not None


@pytest.fixture
def with_test_credits(app_settings: Settings) -> Settings:
    app_settings.test_credits = True
    return app_settings


async def ask(client: httpx.AsyncClient, credits: object, key: str | None = None) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return await client.post("/v1/credits/test-credits", json={"credits": credits}, headers=headers)


async def test_test_credits_are_granted_where_the_operator_allows_it(
    with_test_credits: Settings, client: httpx.AsyncClient
) -> None:
    answer = await ask(client, 1000)
    assert answer.status_code == 201
    assert (answer.json()["kind"], answer.json()["amount"], answer.json()["reference"]) == ("grant", 1000, "test")
    await ask(client, 1)
    assert (await client.get("/v1/credits")).json()["available"] == 1001


async def test_test_credits_of_one_key_are_granted_once_and_keys_are_ones_own(
    with_test_credits: Settings, client: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    first, again = await ask(client, 5, "k"), await ask(client, 5, "k")
    assert (first.status_code, again.json()) == (201, first.json())
    other = await ask(client, 6, "k")
    assert (other.status_code, other.json()["code"]) == (409, "ledger_conflict")
    assert (await ask(stranger, 6, "k")).status_code == 201
    assert (await client.get("/v1/credits")).json()["available"] == 5


@pytest.mark.parametrize("credits", [0, -1, 1001, 1.5, "many", None, 10**30])
async def test_a_number_of_test_credits_that_is_none_is_refused(
    with_test_credits: Settings, client: httpx.AsyncClient, credits: object
) -> None:
    assert (await ask(client, credits)).status_code == 422
    assert (await client.get("/v1/credits")).json() == EMPTY


async def test_a_key_that_is_none_is_refused(with_test_credits: Settings, client: httpx.AsyncClient) -> None:
    for key in ("", "two words", "x" * 256):
        assert (await ask(client, 5, key)).status_code == 422


async def test_elsewhere_there_are_no_test_credits(client: httpx.AsyncClient, app_settings: Settings) -> None:
    answer = await ask(client, 5)
    assert (answer.status_code, answer.json()["code"]) == (403, "no_test_credits")
    assert "OCTAVIA_TEST_CREDITS" in answer.json()["detail"]
    app_settings.test_credits, app_settings.mode = True, "production"
    assert (await ask(client, 5)).status_code == 403
    assert (await client.get("/v1/credits")).json() == EMPTY
