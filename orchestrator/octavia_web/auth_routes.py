"""/api/auth/…: entering and leaving, as the pages do it."""

from typing import Annotated

from fastapi import APIRouter, Form
from fastapi.responses import JSONResponse

from orchestrator.accounts import audit, links, requests, service, sessions
from orchestrator.accounts.authentication import CallerOrigin, CurrentLogin
from orchestrator.accounts.routes import RESENT, SIGNED_UP
from orchestrator.accounts.schemas import AddressRequest, LoginRequest, Secret, SignUpRequest
from orchestrator.accounts.service import NotVerifiedError
from orchestrator.accounts.sessions import Entry
from orchestrator.client_address import ClientAddress
from orchestrator.context import AppContext, Context, DbSession
from orchestrator.octavia_web import demo
from orchestrator.octavia_web.callers import lifetimes, token, user_view
from orchestrator.octavia_web.envelope import refused, said
from orchestrator.rate_limits.dependencies import within

router = APIRouter(prefix="/api/auth", include_in_schema=False)


@router.post("/signup", dependencies=within("sign_up"))
async def sign_up(
    request: SignUpRequest, context: Context, address: ClientAddress, origin: CallerOrigin
) -> JSONResponse:
    """The account is made once its e-mail's link is followed; the answer is the same for an address that has one."""
    await context.limits.hit("sign_up", address=address, account=request.email)
    enqueue = context.backends.enqueue_account_request
    given = request.model_dump(include={"email", "name", "password"})
    await requests.sign_up(context.sessions, enqueue, origin=origin, **given)
    user = {"email": request.email, "name": request.name, "credits": 0, "verified": False}
    return said(requires_verification=True, message=SIGNED_UP.message, user=user)


@router.post("/login", dependencies=within("log_in"))
async def log_in(request: LoginRequest, context: Context, address: ClientAddress, origin: CallerOrigin) -> JSONResponse:
    """The page offers another verification mail for one answer alone: status 200 without success, and "verify"."""
    await context.limits.hit("log_in", address=address, account=request.email)
    try:
        entry = await service.log_in(
            context.sessions,
            email=request.email,
            password=request.password,
            origin=origin,
            lifetimes=lifetimes(context),
        )
    except NotVerifiedError as error:
        return refused(200, error.message, requires_verification=True)
    await context.limits.note_success(request.email, address)
    return await _entered(context, entry)


@router.post("/demo-login", dependencies=within("demo_login"))
async def demo_login(context: Context, origin: CallerOrigin) -> JSONResponse:
    return await _entered(context, await demo.enter(context, origin))


@router.post("/verify", dependencies=within("verify_email"))
async def verify(token: Annotated[Secret, Form()], context: Context, origin: CallerOrigin) -> JSONResponse:
    entry = await links.verify(
        context.sessions,
        token,
        origin,
        lifetimes(context),
        sign_up_credits=context.settings.sign_up_credits,
    )
    return await _entered(context, entry)


@router.post("/resend-verification", dependencies=within("resend_verification"))
async def resend_verification(
    request: AddressRequest, context: Context, address: ClientAddress, origin: CallerOrigin
) -> JSONResponse:
    await context.limits.hit("resend_verification", address=address, account=request.email)
    enqueue = context.backends.enqueue_account_request
    await requests.ask(context.sessions, enqueue, "resend", email=request.email, origin=origin)
    return said(message=RESENT.message)


@router.post("/logout", dependencies=within("default"))
async def log_out(login: CurrentLogin, session: DbSession, origin: CallerOrigin) -> JSONResponse:
    await sessions.end(session, login.user.id, login.session_id, "logout")
    audit.record(session, login.user.id, "logout", origin, login=str(login.session_id))
    return said(message="You are logged out.")


async def _entered(context: AppContext, entry: Entry) -> JSONResponse:
    return said(token=token(context, entry), user=await user_view(context, entry.user))
