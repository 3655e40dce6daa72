"""A client of event streams, and what it follows."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.jobs import progress

Sessions = async_sessionmaker[AsyncSession]
PATIENCE_S = 60.0


async def report(make_session: Sessions, job_id: UUID, percent: int) -> None:
    async with make_session.begin() as session:
        await progress.record(session, job_id, progress=percent)


async def end(make_session: Sessions, job_id: UUID) -> None:
    async with make_session.begin() as session:
        await progress.complete(session, job_id, [])


async def read(
    client: httpx.AsyncClient, url: str, headers: Mapping[str, str] | None = None
) -> AsyncIterator[dict[str, Any]]:
    """The events of a stream: their data, with the stream's position as `id` and their type."""
    async with client.stream("GET", url, headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert response.headers["Cache-Control"] == "no-cache"
        fields: dict[str, str] = {}
        async for line in response.aiter_lines():
            name, _, value = line.partition(": ")
            if line:
                fields[name] = value
            else:
                if "data" in fields:
                    yield {"id": int(fields.get("id", 0)), "type": fields["event"], **json.loads(fields["data"])}
                fields = {}


async def some(stream: AsyncIterator[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """The next events."""
    async with asyncio.timeout(PATIENCE_S):
        return [await anext(stream) for _ in range(count)]


async def first(client: httpx.AsyncClient, url: str, count: int, **headers: str) -> list[dict[str, Any]]:
    """The first events of a stream, which is then left."""
    async with aclosing(read(client, url, headers)) as stream:  # type: ignore[type-var]
        return await some(stream, count)
