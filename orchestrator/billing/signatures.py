"""Whether a delivery is Polar's: its signature over the raw body, by the Standard Webhooks scheme.

Polar derives the key from the secret in one of two ways, and which of them only its own clock knows: secrets of before
8 September 2026 are the key, letter by letter; later ones (`whsec_…`) are its base64. Either is taken. Of several
secrets any is taken, for Polar signs with the newest alone from the moment it is made.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping

from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError

from orchestrator.errors import OctaviaError

PREFIX = "whsec_"
_ID = re.compile(r"[A-Za-z0-9._:-]{1,200}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_SIGNATURES = re.compile(r"[A-Za-z0-9+/=_,. -]{1,4000}")


class MalformedDeliveryError(OctaviaError):
    """What came is no webhook delivery, whoever sent it."""

    def __init__(self, reason: str) -> None:
        super().__init__("malformed_delivery", f"The delivery is malformed: {reason}.", 400)


class InvalidSignatureError(OctaviaError):
    """No secret of ours has signed this body, this id and this time; or it was signed too long ago."""

    def __init__(self, reason: str) -> None:
        super().__init__("invalid_signature", f"The signature is not valid: {reason}.", 403)


class Signatures:
    """Tells Polar's deliveries from others."""

    def __init__(self, secrets: Iterable[SecretStr]) -> None:
        self._webhooks = [Webhook(key) for secret in secrets for key in keys(secret.get_secret_value())]

    def verify(self, body: bytes, headers: Mapping[str, str]) -> str:
        """The delivery's id, the same for every repetition of it.

        `headers` by names in lower case. Raises MalformedDeliveryError, and InvalidSignatureError where no key fits or
        the time is more than five minutes from now.
        """
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        given = {name: headers.get(name, "") for name in names}
        for name, shape in zip(names, (_ID, _TIMESTAMP, _SIGNATURES), strict=True):
            if not given[name]:
                raise MalformedDeliveryError(f"the header {name} is missing")
            if not shape.fullmatch(given[name]):
                raise MalformedDeliveryError(f"the header {name} is none of Polar's")
        try:
            text = body.decode()
        except UnicodeDecodeError:
            raise MalformedDeliveryError("the body is not UTF-8") from None
        reason = "no key is known"
        for webhook in self._webhooks:
            try:
                webhook.verify(text, given, json_parse=False)
            except WebhookVerificationError as error:
                reason = str(error).lower()
            except ValueError:  # the library's own, for signatures that are no "v1,<base64>"
                raise MalformedDeliveryError("the header webhook-signature is none of Polar's") from None
            else:
                return given["webhook-id"]
        raise InvalidSignatureError(reason)


def keys(secret: str) -> list[bytes]:
    """The keys that a secret may stand for."""
    found = [secret.encode()]
    if secret.startswith(PREFIX):
        encoded = secret.removeprefix(PREFIX)
        try:
            decoded = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
        except binascii.Error:
            return found
        if decoded:
            found.append(decoded)
    return found
