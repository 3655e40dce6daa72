"""JSON as bodies have it: written in UTF-8, read with a reason where it cannot be."""

import json
from typing import Any, NoReturn

from serve.errors import invalid

MAX_CONTAINERS = 100_000
"""Arrays and objects in a body: each is some sixty bytes in Python, and two in JSON."""


def encoded(content: Any) -> bytes:
    """JSON in UTF-8. What is not Unicode (a lone surrogate) becomes a question mark."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8", "replace")


def parsed(data: bytes) -> dict[str, Any]:
    """The JSON object of a body; INVALID_ARGUMENT when it is none, NaN and Infinity included."""

    def refuse(constant: str) -> NoReturn:
        raise invalid(f"the body holds {constant}, which is not JSON; numbers are finite")

    if data.count(b"[") + data.count(b"{") > MAX_CONTAINERS:
        raise invalid(f"the body has more than {MAX_CONTAINERS} arrays and objects; send data flat, or as binary data")
    try:
        message = json.loads(data.decode("utf-8"), parse_constant=refuse)
    except UnicodeDecodeError as error:
        raise invalid(f"the body is not JSON in UTF-8: {error.reason} at byte {error.start}") from None
    except RecursionError:
        raise invalid("the body is not a request: its JSON is nested too deeply") from None
    except ValueError as error:
        raise invalid(f"the body is not JSON: {error}") from None
    if not isinstance(message, dict):
        raise invalid(f"the body is {shown(message)}, expected a JSON object")
    return message


def shown(value: Any) -> str:
    """A value as a message quotes it."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
