"""Who is calling: the address of the client, also from behind proxies of ours."""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Annotated

from fastapi import Depends, Request

from orchestrator.context import Context

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

NO_ADDRESS = "none"
"""Of callers without an IP address (a Unix socket); they count as one."""

_WITH_PORT = re.compile(r"\[(?P<v6>[^\]]+)\](?::\d{1,5})?|(?P<v4>[\d.]+):\d{1,5}")
"""How some proxies write a forwarded address: 192.0.2.1:80, [2001:db8::1]:80."""


def client_address(peer: str | None, forwarded: Iterable[str], trusted: Sequence[Network]) -> str:
    """The address of the client.

    `peer` is the other end of the socket. Only if it is one of the `trusted` proxies, the `forwarded` header lines
    (X-Forwarded-For, in order) are looked at, from the right: each proxy adds whom it heard. The first that is no
    trusted proxy is the client; what stands left of it the client may have made up. A header with anything else than
    addresses up to there is ignored, as is one of trusted proxies only.
    """
    if peer is None:
        return NO_ADDRESS
    if not _is_trusted(_parse(peer), trusted):
        return peer
    for entry in reversed(",".join(forwarded).split(",")):
        address = _parse(entry)
        if address is None:
            return peer
        if not _is_trusted(address, trusted):
            return str(address)
    return peer


def _parse(text: str) -> Address | None:
    text = text.strip()
    if with_port := _WITH_PORT.fullmatch(text):
        text = with_port["v6"] or with_port["v4"]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address


def _is_trusted(address: Address | None, trusted: Sequence[Network]) -> bool:
    return address is not None and any(address in network for network in trusted)


def _of_request(request: Request, context: Context) -> str:
    peer = request.client.host if request.client else None
    return client_address(peer, request.headers.getlist("X-Forwarded-For"), context.settings.trusted_proxies)


ClientAddress = Annotated[str, Depends(_of_request)]
"""The address of the client as the settings' `trusted_proxies` let it be known; never what a client only claims."""
