"""One request to an endpoint: no redirects, no cookies, no proxy, no more than the beginning of the answer."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import httpcore

from orchestrator.errors import OctaviaError
from orchestrator.webhooks.destinations import Allowed, Destination
from orchestrator.webhooks.network import CheckedBackend, Names, NowhereError, Resolve

MOST_READ_BYTES = 1024
EXCERPT = 200
"""Characters of an answer that are kept."""
USER_AGENT = "Octavia-Webhooks/1"


class NotDeliveredError(OctaviaError):
    """The request got no answer."""

    def __init__(self, reason: str) -> None:
        super().__init__("webhook_not_delivered", reason, 502)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an endpoint said. `retry_after` as the header has it."""

    status_code: int
    retry_after: str | None
    excerpt: str

    @property
    def taken(self) -> bool:
        return 200 <= self.status_code < 300


async def post(
    to: Destination,
    body: bytes,
    headers: Mapping[str, str],
    *,
    allowed: Allowed,
    timeout_s: float,
    resolve: Resolve | None = None,
) -> Answer:
    """Send the body, with everything from looking up the name to reading the answer within `timeout_s`.

    Raises NotDeliveredError, with a reason for the endpoint's owner.
    """
    backend = CheckedBackend(allowed, resolve or Names())
    try:
        async with (
            asyncio.timeout(timeout_s),
            httpcore.AsyncConnectionPool(
                ssl_context=_certificates(), max_connections=1, max_keepalive_connections=0, network_backend=backend
            ) as pool,
            pool.stream("POST", _url(to), headers=_sent(headers), content=body) as response,
        ):
            return Answer(response.status, _header(response, b"retry-after"), await _beginning(response))
    except TimeoutError:
        raise NotDeliveredError(f"no answer within {timeout_s:g} s") from None
    except NowhereError as error:
        raise NotDeliveredError(error.message) from error
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
        raise NotDeliveredError(_reason(error)) from error


def _url(to: Destination) -> httpcore.URL:
    return httpcore.URL(
        scheme=b"https" if to.secure else b"http", host=to.host.encode(), port=to.port, target=to.target.encode()
    )


def _sent(headers: Mapping[str, str]) -> list[tuple[bytes | str, bytes | str]]:
    own = {"content-type": "application/json", "user-agent": USER_AGENT, "accept-encoding": "identity"}
    return [*(own | dict(headers)).items()]


def _header(response: httpcore.Response, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in response.headers if key.lower() == name), None)


async def _beginning(response: httpcore.Response) -> str:
    """The answer's first characters on one line. What breaks off after the status was still an answer."""
    read = bytearray()
    try:
        async for chunk in response.aiter_stream():
            read += chunk[:MOST_READ_BYTES]
            if len(read) >= MOST_READ_BYTES:
                break
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException):
        pass
    text = bytes(read[:MOST_READ_BYTES]).decode("utf-8", "replace")
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())[:EXCERPT]


def _reason(error: Exception) -> str:
    said = " ".join(str(error).split())[:200]
    return f"no connection: {said or type(error).__name__}"


@cache
def _certificates() -> ssl.SSLContext:
    """The system's authorities (the environment's SSL_CERT_FILE, where set)."""
    return ssl.create_default_context()
