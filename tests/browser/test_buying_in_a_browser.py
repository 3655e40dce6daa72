"""A buyer in a real browser: signs in, presses Buy, pays on the hosted page, comes back, and sees the credits."""

import asyncio
import email
import os
import re
import sys
import time
from collections.abc import Iterator
from email import policy
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import PATIENCE_MS, Site
from tests.fixtures_system import System, system_environment

pytestmark = pytest.mark.anyio

EMAIL, PASSWORD = "marianne@example.org", "a cottage at Barton"
MAIL_S = 60.0


@pytest.fixture
def shop(data_dir: Path, model_plane: str, site_port: int) -> Iterator[System]:
    """An Octavia that sells through the stand-in for Polar, whose frontend is our site."""
    web_url = f"http://127.0.0.1:{site_port}"
    running = System(
        data_dir, system_environment(data_dir, model_plane, OCTAVIA_WEB_URL=web_url), arguments=("--polar-standin",)
    )
    running.start()
    yield running
    running.stop()


async def sign_up(api: str, outbox: Path) -> None:
    """An account, verified by the link of its e-mail."""
    async with httpx.AsyncClient(base_url=api, trust_env=False, timeout=60) as client:
        asked = {"email": EMAIL, "password": PASSWORD, "name": "Marianne"}
        assert (await client.post("/v1/auth/sign-up", json=asked)).status_code == 202
        link = await first_link(outbox)
        assert (await client.post("/v1/auth/verify", json={"token": link})).status_code == 200


async def first_link(outbox: Path) -> str:
    deadline = time.monotonic() + MAIL_S
    while time.monotonic() < deadline:
        for mail in outbox.glob("*.eml"):
            text = email.message_from_bytes(mail.read_bytes(), policy=policy.default).get_body(("plain",))
            if text is not None and (found := re.search(r"token=(\S+)", text.get_content())):
                return unquote(found[1])
        await asyncio.sleep(0.2)
    raise AssertionError("no mail came")


async def test_buying_credits(shop: System, page: Page, site: Site, picture: Any) -> None:
    expect.set_options(timeout=PATIENCE_MS)
    api = shop.state["api_url"]
    await sign_up(api, shop.data_dir / "outbox")
    async with site(api):
        await page.goto(f"{shop.environment['OCTAVIA_WEB_URL']}/dashboard/billing")
        await page.get_by_label("E-mail").fill(EMAIL)
        await page.get_by_label("Password").fill("not the password")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("status")).to_contain_text("password")
        await picture("0-wrong-password")

        await page.get_by_label("Password").fill(PASSWORD)
        await picture("1-sign-in")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.locator("#balance")).to_have_text("0")
        await expect(page.locator("#offers li")).to_have_count(4)
        await picture("2-offers")

        await page.locator("[data-offer=pro_credits]").click()
        await page.wait_for_url("**/checkout/**")
        await expect(page.get_by_text("19.99").first).to_be_visible()
        await picture("3-checkout")

        await page.get_by_role("button", name="Pay with a card that is declined").click()
        await expect(page.get_by_text("declined. Nothing was charged")).to_be_visible()
        await page.get_by_role("button", name="Pay", exact=True).click()
        await page.wait_for_url("**/dashboard/billing?payment_success=true&session_id=*")
        await picture("4-back")

        await expect(page.get_by_role("status")).to_have_text("Thank you. Your credits are here.")
        await expect(page.locator("#balance")).to_have_text("250")
        await picture("5-new-balance")
    books = shop.environment | {"OCTAVIA_DATABASE_URL": shop.state["database_url"]}
    assert "all agree" in await audit(books)


async def audit(environment: dict[str, str]) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "orchestrator.cli", "credits", "audit"),
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    return said.decode()
