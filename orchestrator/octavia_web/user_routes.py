"""/api/user/…: profile, settings, password, the end of the account."""

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator.accounts import own_account, service
from orchestrator.accounts.authentication import CallerOrigin, CurrentLogin, CurrentUser
from orchestrator.accounts.models import User
from orchestrator.accounts.schemas import NOTIFICATIONS, GivenPassword, SettingsChange
from orchestrator.context import Context, DbSession
from orchestrator.errors import OctaviaError
from orchestrator.octavia_web import preferences
from orchestrator.octavia_web.callers import user_view
from orchestrator.octavia_web.envelope import said
from orchestrator.rate_limits.dependencies import within

router = APIRouter(prefix="/api/user", include_in_schema=False, dependencies=within("default"))


class Lenient(BaseModel):
    """Pages send more than is read."""

    model_config = ConfigDict(extra="ignore")


class Profile(Lenient):
    name: Annotated[str, Field(max_length=400)]
    email: str | None = None


class Preferences(Lenient):
    notifications: dict[str, bool] = {}
    language: str | None = None
    time_zone: str | None = None


class Passwords(Lenient):
    current_password: GivenPassword
    new_password: GivenPassword


class EmailStaysError(OctaviaError):
    def __init__(self) -> None:
        super().__init__(
            "email_stays", "The e-mail address of an account cannot be changed. Only the name was looked at.", 400
        )


class UnknownSettingError(OctaviaError):
    def __init__(self, error: ValidationError) -> None:
        words = "; ".join(str(each["msg"]) for each in error.errors())
        super().__init__("unknown_setting", f"These settings cannot be saved: {words}.", 400)


@router.get("/profile")
async def profile(context: Context, user: CurrentUser) -> JSONResponse:
    return said(user=await user_view(context, user))


@router.put("/profile")
async def change_profile(
    change: Profile, context: Context, login: CurrentLogin, session: DbSession, origin: CallerOrigin
) -> JSONResponse:
    if change.email is not None and change.email.strip().lower() != login.user.email.lower():
        raise EmailStaysError
    user = await service.rename(session, login.user.id, change.name, origin)
    return said(user=await user_view(context, user), message="Your profile is saved.")


@router.get("/credits")
async def credits(context: Context, user: CurrentUser) -> JSONResponse:
    view = await user_view(context, user)
    return said(credits=view["credits"], email=user.email)


@router.get("/settings")
async def settings(user: CurrentUser) -> JSONResponse:
    return said(settings=_settings(user))


@router.put("/settings")
async def change_settings(change: Preferences, login: CurrentLogin, session: DbSession) -> JSONResponse:
    try:
        wanted = SettingsChange(
            language=change.language and preferences.meant(preferences.LANGUAGES, change.language),
            time_zone=change.time_zone and preferences.meant(preferences.TIME_ZONES, change.time_zone),
        )
    except ValidationError as error:
        raise UnknownSettingError(error) from error
    chosen = preferences.switched(change.notifications) or None
    user = await service.change_preferences(
        session, login.user.id, service.Preferences(wanted.language, wanted.time_zone, chosen)
    )
    return said(settings=_settings(user), message="Your settings are saved.")


@router.post("/change-password", dependencies=within("change_password"))
async def change_password(
    request: Passwords, context: Context, login: CurrentLogin, origin: CallerOrigin
) -> JSONResponse:
    await own_account.change_password(context, login, request.current_password, request.new_password, origin)
    return said(message="Your password is changed.")


@router.delete("/account", dependencies=within("delete_account"))
async def delete_account(context: Context, login: CurrentLogin, origin: CallerOrigin) -> JSONResponse:
    """The page does not ask for the password: only a login may do it, never an API token."""
    await own_account.leave(context, login, origin)
    return said(message="Your account is closed. Files and personal data are deleted within 30 days.")


def _settings(user: User) -> dict[str, Any]:
    kinds = {kind: user.notifications.get(kind, default) for kind, default in NOTIFICATIONS.items()}
    return {
        "notifications": preferences.switches({str(kind): on for kind, on in kinds.items()}),
        "language": preferences.shown(preferences.LANGUAGES, user.language),
        "time_zone": preferences.shown(preferences.TIME_ZONES, user.time_zone),
    }
