"""Mails as the rest of the control plane asks for them."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from orchestrator.context import EnqueueMail
from orchestrator.notifications.messages import Message
from orchestrator.notifications.models import Mail
from orchestrator.observability.tracing import traceparent


async def post(session: AsyncSession, enqueue_mail: EnqueueMail, message: Message, user_id: UUID | None = None) -> Mail:
    """Keep the message and enqueue its sending, both in the caller's transaction: together or not at all.

    `user_id` is whom the mail is about. Whether it can be sent is found out later, so that asking takes the same time
    for every address.
    """
    mail = Mail(
        id=uuid7(),
        user_id=user_id,
        kind=message.kind,
        recipient=message.recipient,
        subject=message.subject,
        text=message.text,
        html=message.html,
        traceparent=traceparent(),
    )
    session.add(mail)
    await session.flush()
    await session.run_sync(enqueue_mail, mail.id)
    return mail
