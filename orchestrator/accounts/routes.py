"""/v1/auth and /v1/me."""

from fastapi import APIRouter

from orchestrator.accounts import service
from orchestrator.accounts.authentication import CurrentUser
from orchestrator.accounts.models import User
from orchestrator.accounts.schemas import Login, LoginRequest, UserView
from orchestrator.context import Context
from orchestrator.problems import documented

router = APIRouter(prefix="/v1", tags=["accounts"])


@router.post("/auth/login", responses=documented(401, 422, 503))
async def log_in(request: LoginRequest, context: Context) -> Login:
    """Exchange e-mail address and password for an access token."""
    async with context.sessions() as session:
        user = await service.log_in(session, email=request.email, password=request.password)
    return Login(access_token=context.tokens.issue(user.id), expires_in=int(context.tokens.lifetime.total_seconds()))


@router.get("/me", response_model=UserView, responses=documented(401, 503))
async def me(user: CurrentUser) -> User:
    """The account of the token."""
    return user
