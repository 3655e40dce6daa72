"""/v1/auth: entering and leaving.  /v1/me is in `own_routes`."""

from uuid import UUID

from fastapi import APIRouter

from orchestrator.accounts import audit, links, own_account, passwords, requests, service, sessions
from orchestrator.accounts.authentication import CallerOrigin, CurrentLogin
from orchestrator.accounts.mailing import send
from orchestrator.accounts.schemas import (
    Accepted,
    AddressRequest,
    ChangePasswordRequest,
    Login,
    LoginRequest,
    RefreshRequest,
    ResetRequest,
    SessionList,
    SessionView,
    SignUpRequest,
    TokenRequest,
    UserView,
)
from orchestrator.accounts.sessions import Entry, Lifetimes
from orchestrator.client_address import ClientAddress
from orchestrator.context import AppContext, Context, DbSession
from orchestrator.problems import documented
from orchestrator.rate_limits.dependencies import within

router = APIRouter(prefix="/v1/auth", tags=["accounts"])

SIGNED_UP = Accepted(message="Thank you. We have sent an e-mail to this address: follow the link in it to go on.")
RESENT = Accepted(message="If an account waits for this address to be verified, an e-mail is on its way.")
RESET_SENT = Accepted(message="If there is an account with this address, an e-mail with a link is on its way.")


def _login(context: AppContext, entry: Entry) -> Login:
    return Login(
        access_token=context.tokens.issue(entry.user.id, entry.session_id),
        expires_in=int(context.tokens.lifetime.total_seconds()),
        refresh_token=entry.refresh_token,
        user=UserView.model_validate(entry.user),
    )


def _lifetimes(context: AppContext) -> Lifetimes:
    return Lifetimes.from_settings(context.settings)


@router.post("/sign-up", status_code=202, responses=documented(400, 413, 422, 429, 503), dependencies=within("sign_up"))
async def sign_up(request: SignUpRequest, context: Context, address: ClientAddress, origin: CallerOrigin) -> Accepted:
    """Ask for an account. The answer is the same whether the address is known; what comes next comes by e-mail."""
    await context.limits.hit("sign_up", address=address, account=request.email)
    await requests.sign_up(
        context.sessions,
        context.backends.enqueue_account_request,
        email=request.email,
        name=request.name,
        password=request.password,
        origin=origin,
    )
    return SIGNED_UP


@router.post("/verify", responses=documented(400, 409, 413, 422, 429, 503), dependencies=within("verify_email"))
async def verify(request: TokenRequest, context: Context, origin: CallerOrigin) -> Login:
    """Follow the link of a verification e-mail: the account is active and logged in. Reading the link changes nothing;
    only this does."""
    entry = await links.verify(
        context.sessions,
        request.token,
        origin,
        _lifetimes(context),
        sign_up_credits=context.settings.sign_up_credits,
    )
    return _login(context, entry)


@router.post(
    "/resend-verification",
    status_code=202,
    responses=documented(400, 413, 422, 429, 503),
    dependencies=within("resend_verification"),
)
async def resend_verification(
    request: AddressRequest, context: Context, address: ClientAddress, origin: CallerOrigin
) -> Accepted:
    """Ask for another verification e-mail. Each link works until one of them is followed."""
    await context.limits.hit("resend_verification", address=address, account=request.email)
    enqueue = context.backends.enqueue_account_request
    await requests.ask(context.sessions, enqueue, "resend", email=request.email, origin=origin)
    return RESENT


@router.post("/login", responses=documented(400, 401, 403, 413, 422, 429, 503), dependencies=within("log_in"))
async def log_in(request: LoginRequest, context: Context, address: ClientAddress, origin: CallerOrigin) -> Login:
    """Exchange e-mail address and password for an access token and a refresh token."""
    await context.limits.hit("log_in", address=address, account=request.email)
    entry = await service.log_in(
        context.sessions,
        email=request.email,
        password=request.password,
        origin=origin,
        lifetimes=_lifetimes(context),
    )
    await context.limits.note_success(request.email, address)
    return _login(context, entry)


@router.post("/refresh", responses=documented(400, 401, 413, 422, 429, 503), dependencies=within("refresh"))
async def refresh(request: RefreshRequest, context: Context, origin: CallerOrigin) -> Login:
    """Exchange a refresh token, once, for the next two. One that comes a second time ends the login it is of."""
    entry = await sessions.refresh(context.sessions, request.refresh_token, origin, _lifetimes(context))
    return _login(context, entry)


@router.post(
    "/logout",
    status_code=204,
    responses=documented(401, 403, 404, 429, 503),
    dependencies=within("default"),
)
async def log_out(login: CurrentLogin, session: DbSession, origin: CallerOrigin) -> None:
    """End this login: its access token and its refresh token open nothing any more."""
    await sessions.end(session, login.user.id, login.session_id, "logout")
    audit.record(session, login.user.id, "logout", origin, login=str(login.session_id))


@router.post(
    "/logout-everywhere",
    status_code=204,
    responses=documented(401, 403, 429, 503),
    dependencies=within("default"),
)
async def log_out_everywhere(login: CurrentLogin, session: DbSession, origin: CallerOrigin) -> None:
    """End every login of this account, this one too. API tokens stay."""
    ended = await sessions.end_all(session, login.user.id, "logout everywhere")
    audit.record(session, login.user.id, "logout_everywhere", origin, sessions_ended=ended)


@router.get("/sessions", responses=documented(401, 403, 429, 503), dependencies=within("default"))
async def list_sessions(login: CurrentLogin, session: DbSession) -> SessionList:
    """One's open logins, the last used first; `current` is the one that asks."""
    views = [SessionView.model_validate(each) for each in await sessions.listed(session, login.user.id)]
    return SessionList(items=[view.model_copy(update={"current": view.id == login.session_id}) for view in views])


@router.delete(
    "/sessions/{session_id}",
    status_code=204,
    responses=documented(401, 403, 404, 422, 429, 503),
    dependencies=within("default"),
)
async def revoke_session(session_id: UUID, login: CurrentLogin, session: DbSession, origin: CallerOrigin) -> None:
    """End one of one's logins."""
    await sessions.end(session, login.user.id, session_id, "revoked")
    audit.record(session, login.user.id, "session_revoked", origin, login=str(session_id))


@router.post(
    "/forgot-password",
    status_code=202,
    responses=documented(400, 413, 422, 429, 503),
    dependencies=within("forgot_password"),
)
async def forgot_password(
    request: AddressRequest, context: Context, address: ClientAddress, origin: CallerOrigin
) -> Accepted:
    """Ask for a link to choose another password. The answer is the same whether the address is known."""
    await context.limits.hit("forgot_password", address=address, account=request.email)
    enqueue = context.backends.enqueue_account_request
    await requests.ask(context.sessions, enqueue, "reset", email=request.email, origin=origin)
    return RESET_SENT


@router.post(
    "/reset-password",
    status_code=204,
    responses=documented(400, 413, 422, 429, 503),
    dependencies=within("reset_password"),
)
async def reset_password(request: ResetRequest, context: Context, origin: CallerOrigin) -> None:
    """Choose another password by the link of an e-mail. Every login ends, and the owner is told."""
    passwords.check_password(request.password)
    await links.check_reset(context.sessions, request.token)
    hashed = await passwords.hash_password(request.password)
    async with context.sessions.begin() as session:
        letter = await links.reset_password(session, request.token, hashed, origin)
        await send(session, context.backends.enqueue_mail, letter)


@router.post(
    "/change-password",
    status_code=204,
    responses=documented(400, 401, 403, 413, 422, 429, 503),
    dependencies=within("change_password"),
)
async def change_password(
    request: ChangePasswordRequest, context: Context, login: CurrentLogin, origin: CallerOrigin
) -> None:
    """Change one's password. Every other login ends, and the owner is told."""
    await own_account.change_password(context, login, request.current_password, request.new_password, origin)
