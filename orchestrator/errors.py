"""The one base of errors that reach a user; each domain subclasses it beside its service."""

from collections.abc import Mapping
from typing import Any


class OctaviaError(Exception):
    """Something the user should know: what happened, to what, and what to do.

    `code` is stable and for programs, `message` a sentence for people, `status` the HTTP status. `headers` go with the
    answer, `detail` becomes extension members of the problem document (RFC 9457).
    """

    def __init__(
        self, code: str, message: str, status: int = 400, *, headers: Mapping[str, str] | None = None, **detail: Any
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.headers = dict(headers or {})
        self.detail = detail


class NotFoundError(OctaviaError):
    """Nothing of that kind and id belongs to this user; a stranger's id gets the same answer."""

    def __init__(self, what: str, id_: object) -> None:
        super().__init__("not_found", f"There is no {what} {id_}.", 404)
