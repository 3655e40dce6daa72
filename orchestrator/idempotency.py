"""Requests that may be sent again: the header that says so, and its misuse."""

from typing import Any

from fastapi import Header

from orchestrator.errors import OctaviaError


def key_header(promise: str) -> Any:
    """The header Idempotency-Key.  `Annotated[str | None, key_header("what the same key promises")]`"""
    return Header(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$", description=f"Any text of yours; {promise}.")


class KeyReusedError(OctaviaError):
    """An idempotency key came again with another request; `first` is what the first one made."""

    def __init__(self, first: str) -> None:
        super().__init__(
            "idempotency_key_reused",
            f"This Idempotency-Key was used for another request ({first}). Use a new key for a new request.",
            409,
        )
