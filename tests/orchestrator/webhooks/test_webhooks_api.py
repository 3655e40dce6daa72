"""Endpoints as their owners make, change and delete them."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from orchestrator.settings import Settings
from orchestrator.webhooks.models import WebhookDelivery, WebhookEndpoint
from orchestrator.webhooks.service import forget_old
from tests.orchestrator.webhooks.conftest import Register

pytestmark = pytest.mark.anyio
Sessions = async_sessionmaker[AsyncSession]
URL = "https://example.org/octavia"


async def create(client: httpx.AsyncClient, **wish: object) -> dict[str, Any]:
    answer = await client.post("/v1/webhooks", json={"url": URL, **wish})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_a_secret_is_shown_once(client: httpx.AsyncClient) -> None:
    made = await create(client, description="production")
    assert made["secret"].startswith("whsec_")
    assert made["events"] == ["job.completed", "job.failed", "job.cancelled"]
    read = (await client.get(f"/v1/webhooks/{made['id']}")).json()
    listed = (await client.get("/v1/webhooks")).json()["items"]
    del made["secret"]
    assert read == made
    assert listed == [made]
    export = (await client.get("/v1/me/export")).text
    assert made["id"] in export
    assert "whsec_" not in export


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({"url": "https://169.254.169.254/latest/"}, "unfit_url"),
        ({"url": "https://10.0.0.1/"}, "unfit_url"),
        ({"url": "ftp://example.org/"}, "unfit_url"),
        ({"url": ""}, "invalid_request"),
        ({}, "invalid_request"),
        ({"url": URL, "events": []}, "invalid_request"),
        ({"url": URL, "events": ["job.exploded"]}, "invalid_request"),
        ({"url": URL, "description": "a\nb"}, "invalid_request"),
        ({"url": URL, "secret": "whsec_mine"}, "invalid_request"),
    ],
)
async def test_what_cannot_be_is_refused(client: httpx.AsyncClient, wish: dict[str, object], code: str) -> None:
    answer = await client.post("/v1/webhooks", json=wish)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert (await client.get("/v1/webhooks")).json()["items"] == []


async def test_only_so_many_even_at_once(client: httpx.AsyncClient, app_settings: Settings) -> None:
    answers = await asyncio.gather(*(client.post("/v1/webhooks", json={"url": URL}) for _ in range(13)))
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [201] * app_settings.webhooks_per_user + [409] * 3


async def test_what_is_named_is_changed_and_the_rest_stays(client: httpx.AsyncClient) -> None:
    made = await create(client, description="before")
    at = f"/v1/webhooks/{made['id']}"
    changed = (await client.patch(at, json={"events": ["job.started", "job.started"]})).json()
    assert (changed["events"], changed["description"], changed["url"]) == (["job.started"], "before", URL)
    off = (await client.patch(at, json={"enabled": False})).json()
    assert (off["disabled_why"], off["disabled_at"] is None) == ("owner", False)
    assert (await client.post(f"{at}/ping")).json()["code"] == "webhook_disabled"
    on = (await client.patch(at, json={"enabled": True})).json()
    assert (on["disabled_why"], on["disabled_at"]) == (None, None)


async def test_a_new_secret_leaves_the_old_one_for_as_long_as_asked(client: httpx.AsyncClient) -> None:
    made = await create(client)
    rotate = f"/v1/webhooks/{made['id']}/rotate-secret"
    first = (await client.post(rotate)).json()
    assert first["secret"] != made["secret"]
    assert first["previous_until"] is not None
    leaked = (await client.post(rotate, json={"keep_hours": 0})).json()
    assert leaked["previous_until"] is None
    assert leaked["secret"] not in (made["secret"], first["secret"])
    assert (await client.post(rotate, json={"keep_hours": -1})).status_code == 422


async def test_old_secrets_and_old_deliveries_are_forgotten(
    client: httpx.AsyncClient, register: Register, engine: AsyncEngine, make_session: Sessions
) -> None:
    made = await register()
    at = f"/v1/webhooks/{made['id']}"
    await client.post(f"{at}/rotate-secret")
    young, old = [(await client.post(f"{at}/ping")).json()["id"] for _ in range(2)]
    async with engine.begin() as connection:
        await connection.execute(sa.text("update webhook_endpoint set previous_until = now() - interval '1 second'"))
        ended = "update webhook_delivery set status = 'failed', ended_at = now() - make_interval(days => :days)"
        for id_, days in ((young, 29), (old, 31)):
            await connection.execute(sa.text(f"{ended} where id = :id"), {"id": id_, "days": days})
    await forget_old(make_session)
    async with make_session() as session:
        assert [str(each) for each in await session.scalars(sa.select(WebhookDelivery.id))] == [young]
        assert (await session.scalars(sa.select(WebhookEndpoint.previous_secret))).all() == [None]


async def test_another_endpoints_delivery_is_not_there(client: httpx.AsyncClient, register: Register) -> None:
    one, other = await register(), await register()
    ping = (await client.post(f"/v1/webhooks/{one['id']}/ping")).json()
    assert (await client.get(f"/v1/webhooks/{one['id']}/deliveries/{ping['id']}")).status_code == 200
    for path in (f"{other['id']}/deliveries/{ping['id']}", f"{one['id']}/deliveries/{uuid4()}"):
        assert (await client.get(f"/v1/webhooks/{path}")).status_code == 404
        assert (await client.post(f"/v1/webhooks/{path}/redeliver")).status_code == 404


async def test_what_is_on_its_way_is_not_sent_again(client: httpx.AsyncClient, register: Register) -> None:
    at = f"/v1/webhooks/{(await register())['id']}"
    ping = (await client.post(f"{at}/ping")).json()
    again = await client.post(f"{at}/deliveries/{ping['id']}/redeliver")
    assert (again.status_code, again.json()["code"]) == (409, "delivery_pending")


async def test_an_endpoint_goes_with_its_deliveries(
    client: httpx.AsyncClient, register: Register, make_session: Sessions
) -> None:
    at = f"/v1/webhooks/{(await register())['id']}"
    await client.post(f"{at}/ping")
    assert (await client.delete(at)).status_code == 204
    assert (await client.get(at)).status_code == 404
    assert (await client.delete(at)).status_code == 404
    async with make_session() as session:
        assert (await session.scalars(sa.select(WebhookDelivery.id))).all() == []
