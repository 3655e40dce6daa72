"""The quality report's page as people see it."""

from typing import Any

import pytest
from playwright.async_api import Page

from orchestrator.quality.page import page as page_of
from tests.browser.conftest import PICTURES
from tests.orchestrator.quality.made import HOSTILE, bad, good

pytestmark = pytest.mark.anyio
TEXTS = {0: HOSTILE, 1: "שלום עולם 😀", 2: "x" * 2000}


@pytest.mark.parametrize(
    ("name", "report", "title", "texts"),
    [
        ("good", good(), "Talk.mp4", {}),
        ("bad", bad("w" * 2000, HOSTILE), HOSTILE, TEXTS),
    ],
    ids=["good", "bad"],
)
async def test_a_report_runs_nothing_fetches_nothing_and_is_no_wider_than_its_window(
    page: Page, name: str, report: dict[str, Any], title: str, texts: dict[int, str]
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    ran: list[str] = []
    page.on("dialog", lambda dialog: ran.append(dialog.message))
    await page.set_content(page_of(report, title, texts))
    for width in (1040, 400):
        await page.set_viewport_size({"width": width, "height": 800})
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        PICTURES.mkdir(parents=True, exist_ok=True)
        await page.screenshot(path=PICTURES / f"report-{name}-{width}.png", full_page=True)
    assert await page.evaluate("document.scripts.length") == 0
    assert (asked, ran) == ([], [])
    boxes = await page.evaluate(
        "[...document.querySelectorAll('svg path')].map(each => each.getBoundingClientRect().width)"
    )
    assert boxes
    assert min(boxes) > 0
