"""What the tus protocol wants of every request and answer under /v1/uploads."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.uploads import tus

PATH = "/v1/uploads"
OVERRIDE = "X-HTTP-Method-Override"
OVERRIDDEN = ("PATCH", "DELETE", "HEAD")
"""For clients whose surroundings let only GET and POST through."""


class TusMiddleware:
    """Names the protocol's version in each answer, and takes a POST for what X-HTTP-Method-Override says it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not (scope["path"] == PATH or scope["path"].startswith(f"{PATH}/")):
            await self._app(scope, receive, send)
            return
        method = Headers(scope=scope).get(OVERRIDE, "").upper()
        if scope["method"] == "POST" and method in OVERRIDDEN:
            scope = {**scope, "method": method}

        async def versioned(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[tus.RESUMABLE] = tus.VERSION
            await send(message)

        await self._app(scope, receive, versioned)
