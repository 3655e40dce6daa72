"""Links that open one file for a while without a login: their path and end, signed with HMAC-SHA-256. Pure."""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime

from orchestrator.errors import OctaviaError
from orchestrator.settings import Settings

_PURPOSE = b"octavia download link"


class LinkInvalidError(OctaviaError):
    """Signed by nobody, or changed since."""

    def __init__(self) -> None:
        super().__init__("link_invalid", "This download link is not valid. Copy it whole, or ask for a new one.", 403)


class LinkExpiredError(OctaviaError):
    def __init__(self) -> None:
        super().__init__("link_expired", "This download link has expired. Ask whoever gave it for a new one.", 410)


class LinkRevokedError(OctaviaError):
    """What it led to, or the account it was made from, is there no more."""

    def __init__(self) -> None:
        super().__init__("link_revoked", "This download link leads to a file that is there no more.", 410)


def link_keys(settings: Settings) -> tuple[bytes, ...]:
    """Keys of links, derived from those of access tokens: the first one signs, all of them are accepted."""
    secrets = (settings.signing_key(), *(key.get_secret_value() for key in settings.jwt_previous_secrets))
    return tuple(hmac.digest(secret.encode(), _PURPOSE, "sha256") for secret in secrets)


def signature(key: bytes, path: str, expires: int) -> str:
    """The signature of a link to `path` that ends at `expires`, in seconds since 1970."""
    return hmac.new(key, f"{expires}\n{path}".encode(), hashlib.sha256).hexdigest()


def check(keys: Sequence[bytes], path: str, expires: int, given: str, now: datetime) -> None:
    """Raises LinkInvalidError, LinkExpiredError."""
    signed = [hmac.compare_digest(signature(key, path, expires).encode(), given.encode()) for key in keys]
    if not any(signed):
        raise LinkInvalidError
    if now.timestamp() >= expires:
        raise LinkExpiredError
