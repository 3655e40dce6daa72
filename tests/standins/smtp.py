"""A mail server on loopback that can be told to refuse, to be slow, to hang up and to be away."""

import asyncio
import datetime
import ipaddress
import ssl
import threading
from collections import deque
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from orchestrator.local.ports import free_port

USERNAME, SECRET = "octavia", "open sesame"

Stage = Literal["RCPT", "DATA"]


@dataclass(frozen=True, slots=True)
class Received:
    """A mail the server accepted, and how it came."""

    sender: str
    recipients: list[str]
    message: EmailMessage
    encrypted: bool
    username: str | None


@dataclass
class SmtpServer:
    """Listens on 127.0.0.1:`port` in a thread of its own.

    With `certificate` it speaks TLS: after STARTTLS, or from the first byte. With `login` it wants USERNAME and SECRET,
    and takes them only encrypted where it has a certificate.
    """

    certificate: Path | None = None
    implicit_tls: bool = False
    login: bool = False
    smtputf8: bool = True
    port: int = field(default_factory=free_port)
    received: list[Received] = field(default_factory=list)
    passwords: list[bytes] = field(default_factory=list)
    hang_ups: int = 0
    """So many mails are accepted without an answer: the connection is cut instead."""
    seconds: float = 0.0
    """How long each mail is looked at before it is accepted."""
    _answers: dict[Stage, deque[str]] = field(default_factory=lambda: {"RCPT": deque(), "DATA": deque()})
    _controller: Controller | None = None
    _looked_at: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        context = None
        if self.certificate:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(self.certificate)
        self._controller = Controller(
            self,
            hostname="127.0.0.1",
            port=self.port,
            ready_timeout=30,
            server_hostname="localhost",
            enable_SMTPUTF8=self.smtputf8,
            ssl_context=context if self.implicit_tls else None,
            tls_context=None if self.implicit_tls else context,
            require_starttls=bool(context) and not self.implicit_tls,
            auth_required=self.login,
            auth_require_tls=bool(context) and not self.implicit_tls,  # aiosmtpd knows of STARTTLS only
            authenticator=self._authenticate,
        )
        self._controller.start()

    def stop(self) -> None:
        if self._controller:
            self._controller.stop(no_assert=True)
            self._controller = None

    def answer(self, reply: str, times: int = 1, stage: Stage = "DATA") -> None:
        """Give this reply instead of accepting, so many times."""
        self._answers[stage].extend([reply] * times)

    def wait_for_a_mail(self, timeout_s: float = 60) -> None:
        """Wait until another mail has been transmitted and is being looked at."""
        self._looked_at.clear()
        assert self._looked_at.wait(timeout_s), "no mail came"

    @property
    def message_ids(self) -> list[str]:
        return [str(each.message["Message-ID"]) for each in self.received]

    def _authenticate(self, server: SMTP, session: Session, envelope: Envelope, how: str, data: Any) -> AuthResult:
        login = cast(LoginPassword, data)
        self.passwords.append(login.password)
        good = login == LoginPassword(USERNAME.encode(), SECRET.encode())
        return AuthResult(success=good, handled=False, auth_data=login.login.decode())

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self._answers["RCPT"]:
            return self._answers["RCPT"].popleft()
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self._looked_at.set()
        if self._answers["DATA"]:
            return self._answers["DATA"].popleft()
        await asyncio.sleep(self.seconds)
        content = envelope.original_content
        assert content is not None
        self.received.append(
            Received(
                sender=envelope.mail_from or "",
                recipients=list(envelope.rcpt_tos),
                message=message_from_bytes(content, policy=policy.SMTPUTF8),
                encrypted=session.ssl is not None or self.implicit_tls,
                username=session.auth_data,
            )
        )
        if self.hang_ups:
            self.hang_ups -= 1
            cast(asyncio.Transport, server.transport).abort()
        return "250 OK"


def make_certificate(folder: Path) -> Path:
    """A certificate of its own for localhost and 127.0.0.1, in one file with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path
