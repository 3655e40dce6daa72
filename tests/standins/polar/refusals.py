"""What Polar refuses, in its own form."""

from collections.abc import Sequence
from typing import Any

from tests.standins.polar.shapes import Json


class Refusal(Exception):  # noqa: N818  (it is an answer, not a failure)
    """An answer of 4xx: its status and its body."""

    def __init__(self, status: int, body: Json) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body


def refused(status: int, error: str, detail: str) -> Refusal:
    return Refusal(status, {"error": error, "detail": detail})


def not_found() -> Refusal:
    return refused(404, "ResourceNotFound", "Not found")


def invalid(*location: str | int, message: str, value: Any) -> Refusal:
    entry = {"type": "value_error", "loc": ["body", *location], "msg": message, "input": value}
    return Refusal(422, {"error": "PolarRequestValidationError", "detail": [entry]})


def not_valid(errors: Sequence[Any], where: str) -> Refusal:
    """What pydantic says of a request."""
    entries = [
        {"type": each["type"], "loc": [where, *each["loc"]], "msg": each["msg"], "input": each.get("input")}
        for each in errors
    ]
    return Refusal(422, {"error": "RequestValidationError", "detail": entries})
