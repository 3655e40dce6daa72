"""Debian's Chromium driven by Playwright, and a small site of ours whose pages call the API as a frontend does."""

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from orchestrator.local.ports import free_port
from tests.standins.serving import listen, serving

PAGES = Path(__file__).parent / "pages"
PICTURES = Path(__file__).parents[2] / "out" / "browser"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = (
    "--no-sandbox",  # Chromium refuses to run as root otherwise
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS = 60_000

Site = Callable[..., AbstractAsyncContextManager[None]]
"""Of the API's URL, and a port other than the test's own."""
ADDRESSES = {"/dashboard/billing": "billing.html", "/dashboard/tools": "tools.html"}


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """An empty tab. What the page's scripts throw fails the test."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium: scripts/system_packages.sh installs it on Debian")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=list(QUIET))
        page = await browser.new_page(viewport={"width": 800, "height": 700})
        page.set_default_timeout(PATIENCE_MS)
        thrown: list[str] = []
        page.on("pageerror", lambda error: thrown.append(str(error)))
        yield page
        await browser.close()
    assert thrown == []


@pytest.fixture
def site_port() -> int:
    return free_port()


@pytest.fixture
def site(site_port: int) -> Site:
    """Serves the pages under the frontend's addresses; they call the API whose URL is given."""

    @asynccontextmanager
    async def open_(api: str, port: int = site_port) -> AsyncIterator[None]:
        async def show(request: Request) -> Response:
            return HTMLResponse((PAGES / ADDRESSES[request.url.path]).read_text().replace("{{api}}", api))

        async def nothing(_: Request) -> Response:
            return PlainTextResponse("", 204)

        app = Starlette(routes=[*(Route(address, show) for address in ADDRESSES), Route("/favicon.ico", nothing)])
        async with serving(app, listen(port)):
            yield

    return open_


@pytest.fixture
def picture(page: Page, request: pytest.FixtureRequest) -> Callable[[str], object]:
    """Saves what the tab shows as out/browser/TEST-NAME.png."""
    PICTURES.mkdir(parents=True, exist_ok=True)

    async def take(name: str) -> None:
        await page.screenshot(path=PICTURES / f"{request.node.name}-{name}.png")

    return take
