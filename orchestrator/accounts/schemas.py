"""Requests and answers about accounts."""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Literal, get_args
from uuid import UUID
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from orchestrator.languages import Language

Email = Annotated[str, Field(max_length=320, json_schema_extra={"format": "email"})]
"""Any text: what is no address is told apart by the service, or by nobody where that would be an answer."""

GivenPassword = Annotated[str, Field(max_length=1024)]
"""Beyond what a password may be, so that the answer does not depend on the length of a wrong one."""

Secret = Annotated[str, Field(min_length=1, max_length=256)]

Notification = Literal[
    "job_completed", "job_failed", "webhook_disabled", "credits_low", "product_news", "email", "in_app"
]
NOTIFICATIONS: dict[Notification, bool] = {
    "job_completed": True,
    "job_failed": True,
    "webhook_disabled": True,
    "credits_low": True,
    "product_news": False,
    "email": True,
    "in_app": True,
}
"""Kinds of notice a user may switch, and whether they are on at first; `email` and `in_app` are the ways they come: by
e-mail, and in the pages. E-mails about security always come."""

assert set(NOTIFICATIONS) == set(get_args(Notification))  # noqa: S101


def wants(chosen: Mapping[str, bool], kind: Notification) -> bool:
    """Whether a user wants it, by what he chose otherwise than the default."""
    return chosen.get(kind, NOTIFICATIONS[kind])


def wants_mail(chosen: Mapping[str, bool], kind: Notification) -> bool:
    """Whether a user wants that kind, and by e-mail."""
    return wants(chosen, kind) and wants(chosen, "email")


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _time_zone(name: str) -> str:
    if name not in _time_zones():
        raise ValueError(f"'{name[:40]}' is not a time zone; one looks like 'Europe/Berlin' or 'UTC'")
    return name


TimeZone = Annotated[str, AfterValidator(_time_zone)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SignUpRequest(Strict):
    email: Email
    password: GivenPassword
    name: Annotated[str, Field(max_length=400)]


class AddressRequest(Strict):
    email: Email


class LoginRequest(Strict):
    email: Email
    password: GivenPassword


class TokenRequest(Strict):
    token: Secret


class RefreshRequest(Strict):
    refresh_token: Secret


class ResetRequest(Strict):
    token: Secret
    password: GivenPassword


class ChangePasswordRequest(Strict):
    current_password: GivenPassword
    new_password: GivenPassword


class DeletionRequest(Strict):
    password: GivenPassword


class ProfileChange(Strict):
    name: Annotated[str, Field(max_length=400)]


class SettingsChange(Strict):
    """What is left out stays as it is."""

    language: Language | None = None
    time_zone: TimeZone | None = None
    notifications: dict[Notification, bool] | None = None


class ApiTokenRequest(Strict):
    name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
    password: GivenPassword
    """Asked for again: a token outlives the login that makes it."""
    expires_in_days: Annotated[int, Field(ge=1, le=3650)] | None = None
    """None: until it is revoked."""


class Accepted(BaseModel):
    """What is said whoever asks."""

    message: str


class View(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class UserView(View):
    id: UUID
    email: str
    name: str
    role: Literal["user", "admin"]
    created_at: datetime


class Login(BaseModel):
    """A bearer token, how many seconds it is good for, and the token that gets the next one, once."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105
    expires_in: int
    refresh_token: str
    user: UserView


class SettingsView(BaseModel):
    language: str
    time_zone: str
    notifications: dict[Notification, bool]


class SessionView(View):
    id: UUID
    created_at: datetime
    used_at: datetime
    expires_at: datetime
    address: str | None
    user_agent: str | None
    current: bool = False


class SessionList(BaseModel):
    items: list[SessionView]


class ApiTokenView(View):
    id: UUID
    name: str
    hint: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class NewApiToken(ApiTokenView):
    token: str
    """Shown this once."""


class ApiTokenList(BaseModel):
    items: list[ApiTokenView]


class SecurityEventView(View):
    id: UUID
    kind: str
    created_at: datetime
    address: str | None
    user_agent: str | None
    detail: dict[str, Any]


class SecurityEventPage(BaseModel):
    items: list[SecurityEventView]
    next_cursor: UUID | None
