"""Ways out for a mail: an SMTP server, or in development a folder."""

import asyncio
import os
import re
import ssl
from collections.abc import Mapping
from contextlib import suppress
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import aiosmtplib
import structlog

from orchestrator.notifications.errors import PermanentMailError, TransientMailError, UnsafeSmtpError
from orchestrator.settings import Settings, SmtpTls

log = structlog.get_logger(__name__)

PORTS: Mapping[SmtpTls, int] = {"starttls": 587, "tls": 465, "none": 25}
"""Submission with STARTTLS (RFC 6409), submission over TLS (RFC 8314), plain SMTP."""

REFUSED_FOR_GOOD = 500
QUIT_S = 2.0
"""A mail that is accepted is not held up by the parting words."""

_LINK = re.compile(r"https?://\S+")


class Mailer(Protocol):
    """Hands a mail over, or raises TransientMailError or PermanentMailError."""

    async def send(self, message: EmailMessage) -> None: ...


def mailer_from(settings: Settings) -> Mailer:
    """SMTP where a server is set, else the outbox. Raises UnsafeSmtpError."""
    if settings.smtp_host is None:
        folder = settings.data_dir / "outbox"
        log.warning("no mail server is set (OCTAVIA_SMTP_HOST): mails are written to a folder", folder=str(folder))
        return OutboxMailer(folder)
    return SmtpMailer(
        settings.smtp_host,
        port=settings.smtp_port,
        tls=settings.smtp_tls,
        username=settings.smtp_username,
        password=settings.smtp_password.get_secret_value() if settings.smtp_password else None,
        timeout_s=settings.smtp_timeout_s,
    )


class SmtpMailer:
    """A connection per mail to one SMTP server; `timeout_s` is for all of it, from connecting to the acceptance.

    Certificates are checked against the system's authorities (the environment's SSL_CERT_FILE, where set).
    """

    def __init__(
        self,
        host: str,
        *,
        port: int | None,
        tls: SmtpTls,
        username: str | None = None,
        password: str | None = None,
        timeout_s: float = 60.0,
    ) -> None:
        if username is not None and tls == "none" and not _is_loopback(host):
            raise UnsafeSmtpError(host)
        self._host = host
        self._port = port or PORTS[tls]
        self._tls = tls
        self._username = username
        self._password = password
        self._timeout_s = timeout_s
        self._certificates = ssl.create_default_context()

    async def send(self, message: EmailMessage) -> None:
        """Hand the mail to the server, once.

        What goes wrong before the mail itself is offered says nothing about the mail (the server is away, the password
        is wrong) and is transient, whatever its code. An answer that does not come is transient too, although the
        server may have accepted the mail (RFC 1047).
        """
        client = self._client()
        try:
            async with asyncio.timeout(self._timeout_s):
                await _connect(client)
                await _offer(client, message)
            await _part(client)
        except TimeoutError as error:
            raise TransientMailError(f"no answer within {self._timeout_s:.0f} s") from error
        finally:
            client.close()

    async def greet(self) -> None:
        """Log in and leave, without a mail. Raises what aiosmtplib and the system do."""
        client = self._client()
        try:
            async with asyncio.timeout(self._timeout_s):
                await client.connect()
            await _part(client)
        finally:
            client.close()

    def _client(self) -> aiosmtplib.SMTP:
        return aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            username=self._username,
            password=self._password,
            timeout=self._timeout_s,
            use_tls=self._tls == "tls",
            start_tls=self._tls == "starttls",
            tls_context=self._certificates,
        )


async def _connect(client: aiosmtplib.SMTP) -> None:
    try:
        await client.connect()
    except (aiosmtplib.SMTPException, OSError) as error:
        raise TransientMailError(_reason(error)) from error


async def _offer(client: aiosmtplib.SMTP, message: EmailMessage) -> None:
    try:
        await client.send_message(message)
    except (aiosmtplib.SMTPException, OSError) as error:
        refusal = error.recipients[0] if isinstance(error, aiosmtplib.SMTPRecipientsRefused) else error
        if isinstance(refusal, aiosmtplib.SMTPNotSupported):
            raise PermanentMailError("the mail server takes no addresses with characters beyond ASCII.") from error
        if isinstance(refusal, aiosmtplib.SMTPResponseException) and refusal.code >= REFUSED_FOR_GOOD:
            raise PermanentMailError(_reason(refusal)) from error
        raise TransientMailError(_reason(refusal)) from error


async def _part(client: aiosmtplib.SMTP) -> None:
    """Say goodbye. The mail is accepted: nothing that goes wrong from here on matters."""
    with suppress(aiosmtplib.SMTPException, OSError):
        await client.quit(timeout=QUIT_S)


def _reason(error: Exception) -> str:
    """What the server said or the system, without links: a refused mail's may be repeated, and it holds a token."""
    if isinstance(error, aiosmtplib.SMTPResponseException):
        said = f"the server answered {error.code} {error.message}"
    else:
        said = f"{type(error).__name__}: {error}"
    return _LINK.sub("…", " ".join(said.split()))[:300]


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name
        return False


class OutboxMailer:
    """Writes each mail to a file, for its owner only, and logs the link in it: for development.

    The file is named after the Message-ID: the same mail again replaces itself.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(self, message: EmailMessage) -> None:
        name = message["Message-ID"].strip("<>").partition("@")[0]
        path = self._folder / f"{Path(name).name}.eml"
        try:
            await asyncio.to_thread(_write_privately, path, message.as_bytes())
        except OSError as error:
            raise TransientMailError(f"the outbox cannot be written: {error}") from error
        log.info("mail in the outbox", subject=message["Subject"], link=_link_in(message), file=str(path))


def _write_privately(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{uuid4()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    draft.replace(path)


def _link_in(message: EmailMessage) -> str | None:
    body = message.get_body(("plain",))
    found = _LINK.search(body.get_content()) if body else None
    return found.group() if found else None
