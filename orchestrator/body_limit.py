"""A bound on request bodies: JSON is read whole into memory, so nobody may send much of it."""

import re

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

JSON_BYTES = 2**20
FORM_BYTES = 2**15
"""Of a form: it has few fields, and not a hundred thousand of them to complain of."""
FORMS = ("/v1/auth/", "/v1/me", "/v1/credits/")
STREAMED = re.compile(
    r"/v1/(media|uploads(/[^/]+)?)"
    r"|/api/translate/(video(/enhanced)?|audio|subtitles|subtitle-file)|/api/generate/subtitle-audio"
)


class BodyLimitMiddleware:
    """Refuses a body beyond a megabyte, or a form beyond 32 KiB, with 413 while it is read.

    Paths in STREAMED count their bytes themselves.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or STREAMED.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
            return
        read, limit = 0, FORM_BYTES if scope["path"].startswith(FORMS) else JSON_BYTES

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                raise HTTPException(413, "The request is too large.", headers={"Connection": "close"})
            return message

        await self._app(scope, counted, send)
