"""A process opens the pools that orchestrator/connections.py says it does, and no other."""

import asyncio
from typing import Any

import pytest

from orchestrator import app, database
from orchestrator.connections import LISTENING, of_api, of_worker
from orchestrator.draining import DrainingServer
from orchestrator.jobs import worker
from orchestrator.jobs.heartbeat import Heartbeat
from orchestrator.settings import Settings

POOL = 7


class StoppedError(Exception):
    """In the place of what a process does once its pools are made."""


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of each pool that is made from now on."""
    made: list[int] = []
    options = database._options

    def noted(quick: bool, pool: int) -> dict[str, Any]:
        made.append(pool)
        return options(quick, pool)

    monkeypatch.setattr(database, "_options", noted)
    return made


@pytest.fixture
def settings(app_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    given = app_settings.model_copy(update={"database_pool": POOL})
    for module in (app, worker):
        monkeypatch.setattr(module, "get_settings", lambda: given)
        monkeypatch.setattr(module, "end_with_parent", lambda: None)
        monkeypatch.setattr(module, "configure_logging", lambda _: None)
        monkeypatch.setattr(module, "begin_telling", lambda *_: None)
    return given


def test_an_api_process_has_a_pool_and_a_few_connections_more(
    settings: Settings, pools: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def live() -> None:
        application = app.create_app(settings)
        async with application.router.lifespan_context(application):
            await asyncio.sleep(0)

    def run(server: DrainingServer) -> None:
        del server
        asyncio.run(live())
        raise StoppedError

    monkeypatch.setattr(DrainingServer, "run", run)
    with pytest.raises(StoppedError):
        app.main()
    assert sum(pools) + LISTENING == of_api(POOL)


def test_a_worker_has_two_pools(settings: Settings, pools: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    async def begin(_: object) -> None:
        raise StoppedError

    monkeypatch.setattr(Heartbeat, "begin", begin)
    with pytest.raises(StoppedError):
        asyncio.run(worker.run(settings, "worker-1"))
    assert sum(pools) == of_worker(POOL)
