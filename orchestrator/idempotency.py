"""Requests that may be sent again: the header that says so, and its misuse."""

import re
from typing import Any

from fastapi import Header, Request

from orchestrator.errors import OctaviaError

LONGEST_KEY = 255
KEY = r"^[\x21-\x7e]+$"


def key_header(promise: str) -> Any:
    """The header Idempotency-Key.  `Annotated[str | None, key_header("what the same key promises")]`"""
    return Header(min_length=1, max_length=LONGEST_KEY, pattern=KEY, description=f"Any text of yours; {promise}.")


class BadKeyError(OctaviaError):
    def __init__(self) -> None:
        message = f"Idempotency-Key must be 1 to {LONGEST_KEY} printable ASCII characters without spaces."
        super().__init__("invalid_request", message, 422)


def idempotency_key_of(request: Request) -> str | None:
    """The header of a request that is read by hand. Raises BadKeyError."""
    key = request.headers.get("idempotency-key")
    if key is not None and not (len(key) <= LONGEST_KEY and re.match(KEY, key)):
        raise BadKeyError
    return key


class KeyReusedError(OctaviaError):
    """An idempotency key came again with another request; `first` is what the first one made."""

    def __init__(self, first: str) -> None:
        super().__init__(
            "idempotency_key_reused",
            f"This Idempotency-Key was used for another request ({first}). Use a new key for a new request.",
            409,
        )
