"""Access tokens: JWT signed with HS256 under a named key, and nothing else accepted."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self
from uuid import UUID

import jwt
from uuid_utils.compat import uuid7

from orchestrator.errors import OctaviaError
from orchestrator.settings import Settings

ALGORITHM = "HS256"
ISSUER = "octavia"
AUDIENCE = "octavia-api"
ACCESS = "access"
CLOCK_SKEW_S = 10
REQUIRED = ("iss", "aud", "sub", "sid", "iat", "exp", "typ")


class InvalidTokenError(OctaviaError):
    """The request carries no token, or none that is valid now."""

    def __init__(self, given: bool) -> None:
        message = "The access token is not valid or has expired. Log in again." if given else "Log in first."
        challenge = f'Bearer realm="octavia"{", error=" + chr(34) + "invalid_token" + chr(34) if given else ""}'
        code = "invalid_token" if given else "not_authenticated"
        super().__init__(code, message, 401, headers={"WWW-Authenticate": challenge})


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid access token says: whose it is, of which login, and until when."""

    user_id: UUID
    session_id: UUID
    expires_at: datetime


def key_id(key: str) -> str:
    """The name of a signing key in a token's header; it says nothing of the key."""
    return hashlib.sha256(b"octavia signing key\0" + key.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class AccessTokens:
    """Issues tokens under the first of `keys` and accepts those of all: the others are being phased out."""

    keys: tuple[str, ...]
    lifetime: timedelta

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        retired = tuple(key.get_secret_value() for key in settings.jwt_previous_secrets)
        return cls((settings.signing_key(), *retired), timedelta(minutes=settings.access_token_minutes))

    def issue(self, user_id: UUID, session_id: UUID, lifetime: timedelta | None = None) -> str:
        now = datetime.now(UTC)
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(user_id),
            "sid": str(session_id),
            "jti": str(uuid7()),
            "iat": now,
            "exp": now + (lifetime or self.lifetime),
            "typ": ACCESS,
        }
        return jwt.encode(claims, self.keys[0], ALGORITHM, headers={"kid": key_id(self.keys[0])})

    def read(self, token: str) -> Claims:
        """What the token says. Raises InvalidTokenError."""
        try:
            claims = jwt.decode(
                token,
                self._key(token),
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                leeway=CLOCK_SKEW_S,
                options={"require": list(REQUIRED)},
            )
            if claims["typ"] != ACCESS:
                raise InvalidTokenError(given=True)
            return Claims(UUID(claims["sub"]), UUID(claims["sid"]), datetime.fromtimestamp(claims["exp"], UTC))
        except (jwt.InvalidTokenError, ValueError, OverflowError, AttributeError, TypeError) as error:
            raise InvalidTokenError(given=True) from error

    def _key(self, token: str) -> str:
        named = jwt.get_unverified_header(token).get("kid")
        for key in self.keys:
            if named == key_id(key):
                return key
        raise InvalidTokenError(given=True)
