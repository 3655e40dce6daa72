"""The worker's part of account requests, done at once, and the mails that come of it."""

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.accounts import requests
from orchestrator.accounts.mailing import send
from orchestrator.notifications.models import Mail
from orchestrator.settings import Settings
from tests.fixtures_control_plane import MakeClient, QueueStandIn

PASSWORD = "norland park 1811"


@dataclass
class Postbox:
    """Answers what the API enqueued, as the worker's workflow does, and reads the mails that were posted."""

    make: async_sessionmaker[AsyncSession]
    settings: Settings
    queue: QueueStandIn

    async def work(self) -> None:
        """Answer every waiting account request."""
        while self.queue.account_requests:
            request_id = self.queue.account_requests.pop(0)
            async with self.make.begin() as session:
                letter = await requests.answer(session, self.settings, request_id)
                if letter is not None:
                    await send(session, self.queue.enqueue_mail, letter)

    async def mails(self, recipient: str) -> list[Mail]:
        """What was posted to an address, in order."""
        await self.work()
        async with self.make() as session:
            query = sa.select(Mail).where(Mail.recipient == recipient).order_by(Mail.id)
            return list((await session.scalars(query)).all())

    async def token(self, recipient: str) -> str:
        """The token in the link of the newest mail to an address."""
        mail = (await self.mails(recipient))[-1]
        (link,) = set(re.findall(r"http\S+token=\S+", mail.text))
        return str(parse_qs(urlsplit(link).query)["token"][0])


@pytest.fixture
def postbox(make_session: async_sessionmaker[AsyncSession], app_settings: Settings, queue: QueueStandIn) -> Postbox:
    return Postbox(make_session, app_settings, queue)


@pytest.fixture
async def anonymous(make_client: MakeClient) -> httpx.AsyncClient:
    return await make_client(None)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def sign_up_form(email: str, /, **changes: str) -> dict[str, str]:
    return {"email": email, "password": PASSWORD, "name": "Marianne"} | changes
