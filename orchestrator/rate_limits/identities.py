"""Under which name a caller and an account are counted."""

import hashlib
import ipaddress
import unicodedata

IPV6_PREFIX = 64
"""One customer's network (RFC 6177): its machines change their address at will within it."""


def caller(address: str) -> str:
    """The client address; of IPv6 its /64, of IPv4 in IPv6 (::ffff:192.0.2.1) the IPv4. Other text stays as it is."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped:
        return str(ip.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(ip), IPV6_PREFIX), strict=False))


def account_hash(email: str) -> str:
    """SHA-256 of an e-mail address in any way of writing it: no narrower than what makes two addresses one account."""
    return sha256(unicodedata.normalize("NFKC", email.strip()).casefold())


def sha256(text: str) -> str:
    """Hexadecimal SHA-256 of any text, also of one that is no valid Unicode."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
