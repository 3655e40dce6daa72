"""Where webhooks may go: which URLs, names, ports and addresses. Pure.

Whoever may name a URL that a server calls can make it call what only the server reaches: databases beside it, the
metadata of its cloud, itself. So nothing but public addresses is called, and not what a name once led to counts, but
the very address that is connected to (see `network`).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self

import httpx

from orchestrator.errors import OctaviaError
from orchestrator.settings import Settings

LONGEST_URL = 2_000

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

FORBIDDEN: tuple[Network, ...] = tuple(
    ip_network(each)
    for each in (
        # IANA IPv4 Special-Purpose Address Registry (RFC 6890), multicast and what is left of class E.
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "168.63.129.16/32",  # Azure's own services inside each virtual machine
        # IANA IPv6 Special-Purpose Address Registry: of 2000::/3 all that is not somebody's address, Teredo and 6to4.
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)
GLOBAL_UNICAST = IPv6Network("2000::/3")
"""All of IPv6 that is given out (RFC 4291, 2.4); loopback, link-local, unique local and multicast lie beyond."""
NAT64 = IPv6Network("64:ff9b::/96")
"""An IPv4 address in its last 32 bits, as networks without IPv4 see it (RFC 6052)."""

SPECIAL_NAMES = ("localhost", "local", "internal", "home.arpa", "invalid", "test", "onion")
"""Names that are nobody's on the internet (RFC 6761 and others), with all below them."""

_NAME = re.compile(r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
"""Its last label is no number: nothing can take it for an address in one of its odder forms."""


class UnfitUrlError(OctaviaError):
    """No webhook is sent to this URL."""

    def __init__(self, reason: str) -> None:
        super().__init__("unfit_url", f"Webhooks cannot be sent there: {reason}", 422)


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the operator allows. `local`, for development: this machine too, unencrypted too, at any port."""

    local: bool
    ports: frozenset[int]
    blocked: tuple[Network, ...]

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        return cls(settings.webhooks_local, frozenset(settings.webhook_ports), tuple(settings.webhook_blocked))

    def address(self, text: str) -> bool:
        """Whether an IP address may be connected to."""
        try:
            address = _unwrapped(ip_address(text))
        except ValueError:  # with a zone, or no address at all
            return False
        if any(address in network for network in self.blocked):
            return False
        return is_public(address) or (self.local and address.is_loopback)


@dataclass(frozen=True, slots=True)
class Destination:
    """A checked URL in its parts. `host` is a name in ASCII or an IP address without brackets."""

    secure: bool
    host: str
    port: int
    target: str
    """Path and query."""

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == (443 if self.secure else 80) else f":{self.port}"
        return f"{'https' if self.secure else 'http'}://{host}{port}{self.target}"


def destination(url: str, allowed: Allowed) -> Destination:
    """The URL, if webhooks may be sent to it; what its name leads to shows later. Raises UnfitUrlError."""
    if len(url) > LONGEST_URL:
        raise UnfitUrlError(f"the URL is longer than {LONGEST_URL} characters.")
    try:
        parts = httpx.URL(url)
        host = parts.raw_host.decode("ascii").strip("[]").lower().removesuffix(".")
        target = parts.raw_path.decode("ascii")
    except (httpx.InvalidURL, UnicodeError, TypeError):
        raise UnfitUrlError("it is not a URL. Give one like https://example.org/octavia.") from None
    if parts.scheme != "https" and not (allowed.local and parts.scheme == "http"):
        raise UnfitUrlError("it must begin with https://.")
    if parts.userinfo:
        raise UnfitUrlError("leave user name and password out of the URL; the signature shows who sends.")
    if parts.fragment:
        raise UnfitUrlError("leave out what follows the #; it is never sent.")
    port = parts.port if parts.port is not None else (443 if parts.scheme == "https" else 80)
    if port not in allowed.ports and not allowed.local:
        ports = ", ".join(str(each) for each in sorted(allowed.ports))
        raise UnfitUrlError(f"port {port} is not among those allowed: {ports}.")
    _check_host(host, allowed)
    return Destination(parts.scheme == "https", host, port, target)


def _check_host(host: str, allowed: Allowed) -> None:
    if allowed.local and host == "localhost":
        return
    try:
        ip_address(host)
    except ValueError:
        if any(host == name or host.endswith(f".{name}") for name in SPECIAL_NAMES) or not _NAME.fullmatch(host):
            raise UnfitUrlError(f"'{host[:100]}' is no name of a server on the internet.") from None
        return
    if not allowed.address(host):
        raise UnfitUrlError(f"{host} is not a public address.")


def is_public(address: Address) -> bool:
    """Whether anybody on the internet can have this address."""
    if isinstance(address, IPv6Address) and address not in GLOBAL_UNICAST:
        return False
    return not any(address in network for network in FORBIDDEN)


def all_allowed(addresses: Iterable[str], allowed: Allowed) -> bool:
    """Whether there is an address, and none that may not be connected to: one bad one spoils the name."""
    found = list(addresses)
    return bool(found) and all(allowed.address(each) for each in found)


def _unwrapped(address: Address) -> Address:
    """The IPv4 address that is reached in the end, where an IPv6 address is only a way of writing it."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFF_FFFF) if address in NAT64 else address
