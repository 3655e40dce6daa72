"""One request to Polar: its headers, how long it may take, when it is repeated, and what its refusals mean.

A GET is repeated when there is no answer or one of 5xx. Anything else is repeated only where it was surely not carried
out: no connection, or 429. Without an answer there are four attempts; 429 is waited out as often as it comes. No wait
goes beyond `patience_s` in sum.
"""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, TypeVar

import httpx
import structlog
from pydantic import BaseModel, ValidationError

from orchestrator.billing.polar_errors import (
    PolarAnswerError,
    PolarError,
    PolarNotConfiguredError,
    PolarNotFoundError,
    PolarRateLimitedError,
    PolarRefusedError,
    PolarScopeError,
    PolarUnauthorizedError,
    PolarUnavailableError,
)
from orchestrator.retry_after import wished_s

log = structlog.get_logger(__name__)

ATTEMPTS = 4
PAUSE_S = 0.5
"""Before the second attempt, at most; twice as long before each next one."""
PATIENCE_S = 20.0
"""For one request with all its attempts: a person may be waiting for it."""
RATE_LIMIT_PAUSE_S = 1.0
"""Where 429 does not say how long."""

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_ABOUT_THE_WISH = frozenset({402, 403, 409, 410, 412, 422})
"""Refusals of what was wanted; other ones say that our request is wrong."""

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Call:
    """A request. `what` completes "Polar.sh could not …"; `in_doubt` says what to do where it may have been done."""

    what: str
    method: str
    path: str
    params: Mapping[str, str | int] | None = None
    body: Mapping[str, Any] | None = None
    in_doubt: str = "It may have been done all the same: look before you try again."

    @property
    def repeatable(self) -> bool:
        return self.method == "GET"


class PolarHttp:
    """A client of Polar's API. Use as an async context manager."""

    def __init__(
        self,
        base_url: str,
        token: str | None,
        *,
        api_version: str,
        timeout_s: float,
        patience_s: float = PATIENCE_S,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._token = token
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._pause_s = pause_s
        self._client = httpx.AsyncClient(
            base_url=base_url.rstrip("/"),
            headers={
                "Authorization": f"Bearer {token}",
                "Polar-Version": api_version,
                "User-Agent": f"octavia/{version('octavia')}",
                "Accept": "application/json",
            },
            timeout=httpx.Timeout(timeout_s, connect=timeout_s / 2, pool=timeout_s / 2),
            follow_redirects=False,
            trust_env=False,
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def json(self, call: Call) -> Any:
        """The body of the answer; None where there is none. Raises a PolarError."""
        response = await self._answered(call)
        if not response.content:
            return None
        try:
            return response.json()
        except ValueError:  # of which wrong encodings are, too
            raise PolarAnswerError(call.what, "answered with something that is not JSON") from None

    async def read(self, call: Call, model: type[Model]) -> Model:
        """The answer as an object. Raises a PolarError."""
        return parsed(call, model, await self.json(call))

    async def _answered(self, call: Call) -> httpx.Response:
        """A successful answer."""
        if self._token is None:
            raise PolarNotConfiguredError
        deadline = asyncio.get_running_loop().time() + self._patience_s
        attempt = unanswered = 0
        while True:
            pause = random.uniform(0.5, 1) * self._pause_s * 2**attempt  # noqa: S311  (so that many do not come at once)
            try:
                response = await self._once(call)
                if response.is_success:
                    return response
                raise _refusal(call, response)
            except PolarRateLimitedError as error:
                failure: PolarRateLimitedError | PolarUnavailableError = error
                pause = max(pause, error.retry_after)
            except PolarUnavailableError as error:
                if error.uncertain and not call.repeatable:
                    raise
                failure = error
                unanswered += 1
            if unanswered == ATTEMPTS or asyncio.get_running_loop().time() + pause > deadline:
                raise failure
            log.info("asking Polar again", what=call.what, code=failure.code, seconds=round(pause, 1))
            await asyncio.sleep(pause)
            attempt += 1

    async def _once(self, call: Call) -> httpx.Response:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._client.request(call.method, call.path, params=call.params, json=call.body)
        except _NOT_SENT as error:
            reason = f"it cannot be reached ({type(error).__name__})"
            raise _unavailable(call, reason, uncertain=False) from None
        except (TimeoutError, httpx.TimeoutException):
            raise _unavailable(call, f"there was no answer within {self._timeout_s:g} s", uncertain=True) from None
        except httpx.HTTPError as error:
            reason = f"the connection broke ({type(error).__name__})"
            raise _unavailable(call, reason, uncertain=True) from None


def parsed(call: Call, model: type[Model], content: Any) -> Model:
    """An object of an answer. Raises PolarAnswerError, which names the fields and none of their contents."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        fields = sorted({".".join(str(part) for part in each["loc"]) or "the answer" for each in error.errors()})
        said = ", ".join(fields[:5])
        raise PolarAnswerError(call.what, f"answered without what we need (missing or wrong: {said})") from None


def _unavailable(call: Call, reason: str, *, uncertain: bool) -> PolarUnavailableError:
    """Reading changes nothing, so there is no doubt about it."""
    return PolarUnavailableError(call.what, reason, uncertain=uncertain and not call.repeatable, in_doubt=call.in_doubt)


def _refusal(call: Call, response: httpx.Response) -> PolarError:
    """What an answer that is no success means."""
    status = response.status_code
    if status >= 500:
        return _unavailable(call, f"it answered {status}", uncertain=True)
    if status == 429:
        return PolarRateLimitedError(call.what, _retry_after(response))
    if status < 400:
        return PolarAnswerError(call.what, f"pointed to another address ({status})")
    body = _body(response)
    return _client_error(call, status, str(body.get("error") or ""), body)


def _client_error(call: Call, status: int, reason: str, body: Mapping[str, Any]) -> PolarError:
    match status, reason:
        case 401, _:
            return PolarUnauthorizedError(call.what)
        case 403, "insufficient_scope":
            return PolarScopeError(call.what)
        case 404, "":
            return PolarAnswerError(call.what, "knows no such address or no such version of its API (404)")
        case 404, _:
            return PolarNotFoundError(call.what)
    said, fields = _told(body)
    ours = 422 if status in _ABOUT_THE_WISH else 502
    return PolarRefusedError(call.what, polar_status=status, reason=reason, said=said, fields=fields, status=ours)


def _body(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _told(body: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Polar's words and the fields they are about; never the `input`, which repeats what was sent."""
    detail = body.get("detail")
    if not isinstance(detail, list):
        return str(detail or body.get("error_description") or ""), []
    entries = [entry for entry in detail if isinstance(entry, dict)]
    fields = [".".join(str(part) for part in _location(entry)) for entry in entries]
    words = [f"{field}: {entry.get('msg', '')}" for field, entry in zip(fields, entries, strict=True)]
    return "; ".join(words[:3]), fields


def _location(entry: Mapping[str, Any]) -> list[Any]:
    location = entry.get("loc")
    parts = list(location) if isinstance(location, list) else []
    return parts[1:] if parts[:1] == ["body"] else parts


def _retry_after(response: httpx.Response) -> float:
    """Seconds to wait, as the answer asks or as we do without."""
    wished = wished_s(response.headers.get("Retry-After"), datetime.now(UTC))
    return RATE_LIMIT_PAUSE_S if wished is None else wished
