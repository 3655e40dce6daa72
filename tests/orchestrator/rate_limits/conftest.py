"""A clock that tests set, and limits of their own."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.database import make_engine
from orchestrator.rate_limits.service import RateLimits
from orchestrator.settings import Settings

WINDOW_BEGINS = 1_800_000_000.0
"""A whole number of hours since the epoch, at which windows of any length up to an hour begin."""


@dataclass
class Clock:
    now: float = WINDOW_BEGINS

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def other_engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """The connections of a second process."""
    engine = make_engine(database_url)
    yield engine
    await engine.dispose()


MakeLimits = Callable[[dict[str, str]], RateLimits]


@pytest.fixture
def make_limits(engine: AsyncEngine, app_settings: Settings, clock: Clock) -> MakeLimits:
    """Enabled limits on the tests' clock: our rules with these changes."""

    def make(changes: dict[str, str]) -> RateLimits:
        changed = app_settings.model_copy(update={"rate_limits_enabled": True, "rate_limits": changes})
        return RateLimits(engine, changed, clock)

    return make
