"""Server-sent events (WHATWG HTML, section 9.2): a reader of events as an answer that goes on.

A client that takes nothing holds its reader back: what waits for it is bounded by the buffers of socket and reader.
"""

import json
import random
from collections.abc import AsyncIterator
from contextlib import ExitStack

from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event
from starlette.types import Receive, Scope, Send

from orchestrator.jobs.admission import Pass
from orchestrator.jobs.following import Reader, Told

RECONNECT_MS = (1_500, 4_500)
"""When a client comes back whose stream was cut: not all of a process's clients at once."""
HEARTBEAT = b": still here\n\n"
EXPIRED = format_sse_event(
    event="expired",
    data_str=json.dumps(
        {
            "code": "invalid_token",
            "message": "The access token has expired or is not valid any more. Come back with another one and"
            " Last-Event-ID.",
        }
    ),
)
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


class EventStream(StreamingResponse):
    """Not to be stored or held back on the way. `places` is closed when the stream ends, however it does."""

    media_type = "text/event-stream"

    def __init__(self, reader: Reader, leave: Pass, heartbeat_s: float, places: ExitStack) -> None:
        super().__init__(_wire(reader, leave, heartbeat_s), headers=HEADERS)
        self._places = places

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._places:
            await super().__call__(scope, receive, send)


async def _wire(reader: Reader, leave: Pass, heartbeat_s: float) -> AsyncIterator[bytes]:
    yield format_sse_event(retry=random.randint(*RECONNECT_MS))  # noqa: S311
    while not reader.is_over:
        seconds = await leave.seconds_left()
        if not seconds:
            yield EXPIRED
            return
        told = await reader.next(min(heartbeat_s, seconds))
        yield b"".join(map(_framed, told)) if told else HEARTBEAT


def _framed(told: Told) -> bytes:
    return format_sse_event(data_str=told.event.data, event=told.event.type, id=str(told.position))
