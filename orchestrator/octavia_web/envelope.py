"""How the web frontend is answered: each page reads a field at the top or under `data`, so it stands in both places."""

from collections.abc import Mapping
from typing import Any

from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse, Response


def said(code: int = 200, /, *, data: Mapping[str, Any] | None = None, **fields: Any) -> JSONResponse:
    """Success with the fields in both places, `code` the HTTP status; `data` has what must be otherwise below."""
    return JSONResponse(
        jsonable_encoder({"success": True, **fields, "data": {**fields, **(data or {})}}),
        code,
        headers={"Cache-Control": "no-store"},
    )


def refused(code: int, message: str, /, *, headers: Mapping[str, str] | None = None, **fields: Any) -> JSONResponse:
    """A refusal in the three places where pages look for its words. `code` is the HTTP status."""
    words = {"error": message, "detail": message, "message": message}
    content = {"success": False, **words, **fields}
    return JSONResponse(jsonable_encoder(content), code, headers={**(headers or {}), "Cache-Control": "no-store"})


def answer_error(
    status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None, **_: Any
) -> Response:
    """Any error of a route of this surface, by the tables below."""
    words = WORDS.get(code, f"This is an invalid file. {message}" if code in INVALID else message)
    return refused(STATUSES.get(code, status), words, headers=headers, code=code)


STATUSES: Mapping[str, int] = {
    "not_authenticated": 403,
    "too_large": 400,
    "request_entity_too_large": 400,
    "content_too_large": 400,
    "invalid_request": 400,
    "no_file": 400,
    "not_multipart": 400,
    "not_media": 400,
    "unfit_media": 400,
    "unknown_language": 400,
    "no_translation": 400,
    "no_voice": 400,
    "too_long": 400,
}
"""Where this surface's status differs from that of /v1."""

INVALID = frozenset({"not_media", "no_sound", "media_incomplete", "no_file", "not_multipart", "unfit_media"})
"""Codes whose words must say "invalid", which somebody looks for."""

WORDS: Mapping[str, str] = {
    "not_authenticated": "Authentication required. Please log in.",
    "invalid_token": "Authentication required: your session is over. Please log in again.",
    "login_required": "Authentication required: an API token cannot do this. Please log in.",
}
"""Where a page looks for a word: it stops polling at "Authentication"."""
