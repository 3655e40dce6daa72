"""The frontend's ways of calling, in a real browser from its own origin: forms, preflights, blobs, media, sockets."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Site
from tests.fixtures_system import System

pytestmark = pytest.mark.anyio

PATIENCE_MS = 180_000


async def test_a_video_from_its_upload_to_its_download(
    octavia: System, web_port: int, files: dict[str, Path], page: Page, site: Site, picture: Any, tmp_path: Path
) -> None:
    expect.set_options(timeout=PATIENCE_MS)
    api = octavia.state["api_url"]
    async with site(api, web_port):
        await page.goto(f"http://localhost:{web_port}/dashboard/tools")
        await page.get_by_label("E-mail").fill("nobody@example.org")
        await page.get_by_label("Password").fill("not the password")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("status")).to_contain_text("401")
        await page.get_by_role("button", name="Try Demo Account").click()
        await expect(page.locator("#user")).to_have_text("demo@octavia.com")
        await expect(page.locator("#credits")).to_have_text(re.compile(r"\d+"))
        before = int(await page.locator("#credits").inner_text())

        await page.get_by_label("File").set_input_files(files["letter"])
        await page.get_by_role("button", name="Start").click()
        await expect(page.get_by_role("status")).to_contain_text("400: This is an invalid file")
        await picture("0-refused")

        await page.get_by_label("File").set_input_files(files["video"])
        await page.get_by_role("button", name="Start").click()
        await expect(page.locator("#credits")).to_have_text(str(before - 10))
        await expect(page.locator("#pushed")).to_contain_text("processing")
        await picture("1-running")
        await expect(page.locator("#polled")).to_have_text("completed 100")
        await expect(page.locator("#pushed")).to_have_text("completed 100")

        async with page.expect_download() as saving:
            await page.get_by_role("button", name="Download").click()
        saved = await saving.value
        assert saved.suggested_filename == "sample.es.mp4"
        await saved.save_as(tmp_path / "saved.mp4")
        await expect(page.locator("#file")).to_contain_text("sample.es.mp4 (video/mp4")
        await expect(page.locator("#video")).to_have_text(re.compile(r"\d+x\d+, 30\.\d s, playing"))

        await page.get_by_role("button", name="Play preview").click()
        await expect(page.locator("#preview")).to_have_text(re.compile(r"[1-9][\d.]* s"))
        await page.get_by_role("button", name="Hear a voice").click()
        await expect(page.locator("#voice")).to_have_text(re.compile(r"heard [\d.]+ s"))
        await expect(page.locator("#credits")).to_have_text(str(before - 11))
        await picture("2-finished")

        await page.evaluate("localStorage.setItem('octavia_user', JSON.stringify({ token: 'over' }))")
        await page.get_by_role("button", name="Hear a voice").click()
        await expect(page.get_by_role("status")).to_contain_text("401: Authentication")
    assert (tmp_path / "saved.mp4").stat().st_size > 100_000


async def test_another_origins_page_is_told_nothing(octavia: System, page: Page, site: Site, site_port: int) -> None:
    api = octavia.state["api_url"]
    async with site(api):
        await page.goto(f"http://localhost:{site_port}/dashboard/tools")
        await page.get_by_role("button", name="Try Demo Account").click()
        await expect(page.get_by_role("status")).to_contain_text("Failed to fetch")
