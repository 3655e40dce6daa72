"""From a name to a connection. The address that is checked is the one connected to: a name is looked up once.

Names are asked of the name servers alone: neither the hosts file nor a search list can turn one into a neighbour's.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import ip_address

import dns.asyncresolver
import dns.exception
import dns.resolver
import httpcore

from orchestrator.errors import OctaviaError
from orchestrator.webhooks.destinations import Allowed, all_allowed

LOOK_UP_S = 5.0

Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""The IP addresses of a name, none where it is not known."""


class NowhereError(OctaviaError):
    """The name leads nowhere, or where nothing may be sent. Which of both is nobody's business."""

    def __init__(self, host: str) -> None:
        super().__init__("webhook_nowhere", f"'{host}' does not lead to a public address", 422)


class Names:
    """Looks names up at the system's name servers, or at others."""

    def __init__(self, resolver: dns.asyncresolver.Resolver | None = None) -> None:
        self._resolver = resolver

    async def __call__(self, name: str) -> list[str]:
        try:
            resolver = self._resolver or dns.asyncresolver.Resolver()
        except dns.resolver.NoResolverConfiguration:
            return []
        asked = (_records(resolver, name, kind) for kind in ("A", "AAAA"))
        return [address for found in await asyncio.gather(*asked) for address in found]


async def _records(resolver: dns.asyncresolver.Resolver, name: str, kind: str) -> list[str]:
    try:
        answer = await resolver.resolve(f"{name}.", kind, search=False, lifetime=LOOK_UP_S)
    except (dns.exception.DNSException, OSError):
        return []
    return [record.to_text() for record in answer]


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to public addresses only, to each as it was looked up and checked."""

    def __init__(self, allowed: Allowed, resolve: Resolve, inner: httpcore.AsyncNetworkBackend | None = None) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._inner = inner or httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  (httpcore's)
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Tries the host's addresses in order. Raises NowhereError, and what the last attempt raised."""
        addresses = await self._addresses(host)
        if not all_allowed(addresses, self._allowed):
            raise NowhereError(host)
        for address in addresses[:-1]:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._inner.connect_tcp(addresses[-1], port, timeout, local_address, socket_options)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise NowhereError(path)

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)

    async def _addresses(self, host: str) -> Sequence[str]:
        if host == "localhost":
            return ["127.0.0.1"]
        try:
            return [str(ip_address(host))]
        except ValueError:
            return await self._resolve(host)
