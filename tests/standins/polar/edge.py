"""What every request to the API meets first: faults on demand and the version it asks for."""

import asyncio
import json
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.standins.polar.faults import Fault

if TYPE_CHECKING:
    from tests.standins.polar.standin import PolarStandIn

VERSIONS = ("2026-04", "2026-10", "2027-01")


class Edge:
    """ASGI middleware in front of /v1."""

    def __init__(self, app: ASGIApp, standin: "PolarStandIn") -> None:
        self._app = app
        self._standin = standin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/v1"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        version = headers.get("polar-version", VERSIONS[0])
        self._standin.requests.append((scope["method"], scope["path"], headers))

        async def versioned(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Polar-Version"] = version
            await send(message)

        fault = self._standin.faults.take(scope["method"], scope["path"])
        if version not in VERSIONS:
            await JSONResponse({"detail": "Not Found"}, 404)(scope, receive, send)
        elif fault is None:
            await self._app(scope, receive, versioned)
        else:
            await self._wrong(fault, scope, receive, versioned)

    async def _wrong(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        if fault.wait_s:
            await self._hang(fault.wait_s)
        if fault.carried_out or fault.status is None:
            await self._app(scope, receive, keep)
        if fault.hang_s:
            await self._hang(fault.hang_s)
        if fault.status is not None:
            await _response(fault)(scope, receive, send)
            return
        for message in answer:
            await send(message)

    async def _hang(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._standin.closing.wait(), seconds)
        except TimeoutError:
            return


def _response(fault: Fault) -> Response:
    headers = {"Retry-After": fault.retry_after} if fault.retry_after is not None else {}
    status = fault.status or 500
    if isinstance(fault.body, str):
        return Response(fault.body, status, headers)
    body = json.dumps({"detail": "fault"} if fault.body is None else fault.body)
    return Response(body, status, headers, media_type="application/json")
