"""Random secrets that are handed out once and kept only as hashes: refresh tokens, e-mail tokens, API tokens."""

import binascii
import hashlib
import secrets
import string

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase

API_TOKEN_PREFIX = "oct_"  # noqa: S105
"""By it a leaked token is recognised for what it is, by people and by scanners of public code."""

_BODY = 40
"""Characters of 62: 238 bits."""
_CHECK = 6
HINT = len(API_TOKEN_PREFIX) + 6
"""Characters of an API token that are kept readable."""


def new_secret() -> str:
    """256 random bits, safe in a URL."""
    return secrets.token_urlsafe(32)


def new_api_token() -> str:
    """`oct_`, 40 random characters, and a checksum of six by which a mistyped token is refused without a look-up."""
    body = "".join(secrets.choice(_ALPHABET) for _ in range(_BODY))
    return f"{API_TOKEN_PREFIX}{body}{_checksum(body)}"


def is_api_token(token: str) -> bool:
    """Whether it has the form of an API token, its checksum included."""
    body, check = token[len(API_TOKEN_PREFIX) : -_CHECK], token[-_CHECK:]
    return token.startswith(API_TOKEN_PREFIX) and len(body) == _BODY and token.isascii() and check == _checksum(body)


def digest(secret: str) -> bytes:
    """SHA-256 [32]. The secrets are random and long, so that no slow hash is needed."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _checksum(body: str) -> str:
    value, letters = binascii.crc32(body.encode()), ""
    for _ in range(_CHECK):
        value, digit = divmod(value, len(_ALPHABET))
        letters = _ALPHABET[digit] + letters
    return letters
