"""Secrets and signatures by the Standard Webhooks scheme. Pure, but for the chance in a secret."""

import base64
import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from uuid import UUID

from standardwebhooks import Webhook

PREFIX = "whsec_"
SECRET_BYTES = 32


def new_secret() -> str:
    """`whsec_` and the base64 of 256 random bits."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signed(delivery_id: UUID, at: datetime, body: str, keys: Iterable[str]) -> Mapping[str, str]:
    """The headers of a delivery sent at `at` (aware): its id, the time, and a signature by each secret."""
    name, at = str(delivery_id), at.astimezone(UTC)
    signatures = [Webhook(key).sign(name, at, body) for key in keys]
    return {
        "webhook-id": name,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
