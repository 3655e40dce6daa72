"""/v1/me: one's account, settings, API tokens, audit trail, export, deletion."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query

from orchestrator.accounts import api_tokens, audit, export, own_account, service
from orchestrator.accounts.authentication import CallerOrigin, CurrentLogin, CurrentUser
from orchestrator.accounts.models import User
from orchestrator.accounts.schemas import (
    NOTIFICATIONS,
    ApiTokenList,
    ApiTokenRequest,
    ApiTokenView,
    DeletionRequest,
    NewApiToken,
    ProfileChange,
    SecurityEventPage,
    SecurityEventView,
    SettingsChange,
    SettingsView,
    UserView,
)
from orchestrator.context import Context, DbSession
from orchestrator.problems import documented
from orchestrator.rate_limits.dependencies import within

router = APIRouter(prefix="/v1/me", tags=["accounts"])


@router.get("", response_model=UserView, responses=documented(401, 429, 503), dependencies=within("default"))
async def me(user: CurrentUser) -> User:
    """The account of the token."""
    return user


@router.patch(
    "",
    response_model=UserView,
    responses=documented(400, 401, 403, 413, 422, 429, 503),
    dependencies=within("default"),
)
async def change_profile(change: ProfileChange, login: CurrentLogin, session: DbSession, origin: CallerOrigin) -> User:
    """Change one's name."""
    return await service.rename(session, login.user.id, change.name, origin)


@router.delete(
    "",
    status_code=204,
    responses=documented(400, 401, 403, 413, 422, 429, 503),
    dependencies=within("delete_account"),
)
async def delete_account(request: DeletionRequest, context: Context, login: CurrentLogin, origin: CallerOrigin) -> None:
    """Close one's account: it is shut at once, and in 30 days files and personal data are deleted for good."""
    await service.check_current_password(login.user, request.password)
    await own_account.leave(context, login, origin)


def _settings(user: User) -> SettingsView:
    chosen = {kind: user.notifications.get(kind, default) for kind, default in NOTIFICATIONS.items()}
    return SettingsView(language=user.language, time_zone=user.time_zone, notifications=chosen)


@router.get("/settings", responses=documented(401, 429, 503), dependencies=within("default"))
async def get_settings(user: CurrentUser) -> SettingsView:
    """Language, time zone, and which notices one gets, and how."""
    return _settings(user)


@router.patch("/settings", responses=documented(400, 401, 403, 413, 422, 429, 503), dependencies=within("default"))
async def change_settings(change: SettingsChange, login: CurrentLogin, session: DbSession) -> SettingsView:
    """Change what is named; the rest stays."""
    chosen = {str(kind): on for kind, on in change.notifications.items()} if change.notifications else None
    wanted = service.Preferences(change.language, change.time_zone, chosen)
    return _settings(await service.change_preferences(session, login.user.id, wanted))


@router.get("/export", responses=documented(401, 403, 429, 503), dependencies=within("export"))
async def export_data(login: CurrentLogin, session: DbSession, origin: CallerOrigin) -> dict[str, Any]:
    """Everything that is kept about one, as JSON; files are named with the path to download them."""
    audit.record(session, login.user.id, "exported", origin)
    return await export.document(session, login.user.id)


@router.get("/security-events", responses=documented(401, 403, 422, 429, 503), dependencies=within("default"))
async def list_security_events(
    login: CurrentLogin,
    session: DbSession,
    cursor: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> SecurityEventPage:
    """What happened to one's account and from where, newest first."""
    found = await audit.page(session, login.user.id, cursor, limit + 1)
    items = [SecurityEventView.model_validate(each) for each in found[:limit]]
    return SecurityEventPage(items=items, next_cursor=items[-1].id if len(found) > limit else None)


@router.get("/tokens", responses=documented(401, 403, 429, 503), dependencies=within("default"))
async def list_tokens(login: CurrentLogin, session: DbSession) -> ApiTokenList:
    """One's API tokens, newest first; their secrets are not kept."""
    return ApiTokenList(
        items=[ApiTokenView.model_validate(each) for each in await api_tokens.listed(session, login.user.id)]
    )


@router.post(
    "/tokens",
    status_code=201,
    responses=documented(400, 401, 403, 409, 413, 422, 429, 503),
    dependencies=within("api_token_create"),
)
async def create_token(
    request: ApiTokenRequest, login: CurrentLogin, session: DbSession, origin: CallerOrigin
) -> NewApiToken:
    """Make an API token for a program. Its secret is in this answer and nowhere else."""
    await service.check_current_password(login.user, request.password)
    token, secret = await api_tokens.create(session, login.user, request.name, request.expires_in_days)
    audit.record(session, login.user.id, "api_token_created", origin, token=str(token.id))
    return NewApiToken(**ApiTokenView.model_validate(token).model_dump(), token=secret)


@router.delete(
    "/tokens/{token_id}",
    status_code=204,
    responses=documented(401, 403, 404, 422, 429, 503),
    dependencies=within("default"),
)
async def revoke_token(token_id: UUID, login: CurrentLogin, session: DbSession, origin: CallerOrigin) -> None:
    """Revoke an API token: it opens nothing any more."""
    await api_tokens.revoke(session, login.user.id, token_id)
    audit.record(session, login.user.id, "api_token_revoked", origin, token=str(token_id))
