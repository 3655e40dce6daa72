"""Addresses of previews that work without a token, for a while: a media element of a page sends none."""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from orchestrator.errors import OctaviaError

LIFETIME = timedelta(hours=1)


class LinkOverError(OctaviaError):
    """The same words for an expired and for a made-up link."""

    def __init__(self) -> None:
        super().__init__("link_over", "This link is not valid any more. Ask for the preview again.", 410)


@dataclass(frozen=True, slots=True)
class PreviewLink:
    """What an address carries: which preview, until when (Unix seconds), and our word for it."""

    key: str
    expires: int
    signature: str

    @property
    def path(self) -> str:
        return f"{self.key}.mp3?expires={self.expires}&signature={self.signature}"


def sign(secret: str, key: str, now: datetime | None = None) -> PreviewLink:
    expires = int(((now or datetime.now(UTC)) + LIFETIME).timestamp())
    return PreviewLink(key, expires, _signature(secret, key, expires))


def check(secret: str, link: PreviewLink, now: datetime | None = None) -> None:
    """Raises LinkOverError."""
    genuine = hmac.compare_digest(_signature(secret, link.key, link.expires), link.signature)
    if not genuine or link.expires < (now or datetime.now(UTC)).timestamp():
        raise LinkOverError


def _signature(secret: str, key: str, expires: int) -> str:
    own = hashlib.sha256(b"octavia voice previews\0" + secret.encode()).digest()
    return hmac.new(own, f"{key}:{expires}".encode(), hashlib.sha256).hexdigest()
