"""Access tokens: JWT signed with HS256, and nothing else accepted."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self
from uuid import UUID

import jwt

from orchestrator.errors import OctaviaError
from orchestrator.settings import Settings

ALGORITHM = "HS256"
ISSUER = "octavia"
AUDIENCE = "octavia-api"
ACCESS = "access"
LOCAL_LIFETIME = timedelta(days=365)
CLOCK_SKEW_S = 10


class InvalidTokenError(OctaviaError):
    """The request carries no token, or none that is valid now."""

    def __init__(self, given: bool) -> None:
        message = "The access token is not valid or has expired. Log in again." if given else "Log in first."
        challenge = f'Bearer realm="octavia"{", error=" + chr(34) + "invalid_token" + chr(34) if given else ""}'
        code = "invalid_token" if given else "not_authenticated"
        super().__init__(code, message, 401, headers={"WWW-Authenticate": challenge})


@dataclass(frozen=True, slots=True)
class AccessTokens:
    """Issues and checks tokens under one key."""

    key: str
    lifetime: timedelta

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        return cls(settings.signing_key(), timedelta(minutes=settings.access_token_minutes))

    def issue(self, user_id: UUID, lifetime: timedelta | None = None) -> str:
        now = datetime.now(UTC)
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(user_id),
            "iat": now,
            "exp": now + (lifetime or self.lifetime),
            "typ": ACCESS,
        }
        return jwt.encode(claims, self.key, ALGORITHM)

    def user_of(self, token: str) -> UUID:
        """The user a token was issued to. Raises InvalidTokenError."""
        try:
            claims = jwt.decode(
                token,
                self.key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                leeway=CLOCK_SKEW_S,
                options={"require": ["iss", "aud", "sub", "iat", "exp", "typ"]},
            )
            if claims["typ"] != ACCESS:
                raise InvalidTokenError(given=True)
            return UUID(claims["sub"])
        except (jwt.InvalidTokenError, ValueError) as error:
            raise InvalidTokenError(given=True) from error


def local_token(settings: Settings, user_id: UUID) -> str:
    """A long-lived token for the command line of this machine."""
    return AccessTokens.from_settings(settings).issue(user_id, LOCAL_LIFETIME)
