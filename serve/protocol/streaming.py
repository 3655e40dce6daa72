"""A stream of requests answered in order, while those behind the one that is waited for run already."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

Request = TypeVar("Request")
Answer = TypeVar("Answer")


async def answers_in_order(
    requests: AsyncIterator[Request], answer: Callable[[Request], Coroutine[Any, Any, Answer]], ahead: int
) -> AsyncIterator[Answer]:
    """The answer to each request, in order, as soon as it is there; `ahead` requests run at the same time, and no more
    are taken from the stream. When the stream is given up, all that run are cancelled.
    """
    running: deque[asyncio.Task[Answer]] = deque()
    loop = asyncio.get_running_loop()
    stream = aiter(requests)

    async def take() -> list[Request]:
        try:
            return [await anext(stream)]
        except StopAsyncIteration:
            return []

    incoming: asyncio.Task[list[Request]] | None = loop.create_task(take())
    try:
        while incoming or running:
            watched = [*([incoming] if incoming and len(running) < ahead else []), *([running[0]] if running else [])]
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            if incoming in watched and incoming.done():
                taken = incoming.result()
                running.extend(loop.create_task(answer(request)) for request in taken)
                incoming = loop.create_task(take()) if taken else None
            if running and running[0].done():
                yield running.popleft().result()
    finally:
        for each in (*running, incoming):
            if each is not None:
                each.cancel()
