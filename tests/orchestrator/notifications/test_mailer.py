"""Handing a mail over: to a real SMTP server with encryption, login and refusals, and to the outbox."""

import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydantic import SecretStr, ValidationError

from orchestrator.local.ports import free_port
from orchestrator.notifications import messages
from orchestrator.notifications.errors import PermanentMailError, TransientMailError, UnsafeSmtpError
from orchestrator.notifications.mailer import OutboxMailer, SmtpMailer, mailer_from
from orchestrator.settings import Settings
from tests.standins.smtp import SECRET, USERNAME, SmtpServer, make_certificate

pytestmark = pytest.mark.anyio

LINK = "https://octavia.example/verify-email?token=secret"
WHEN = datetime(2026, 3, 1, tzinfo=UTC)
LOGIN: dict[str, Any] = {"username": USERNAME, "password": SECRET}


def mail(recipient: str = "elinor@example.org") -> EmailMessage:
    message = messages.verify_address(recipient, "Elinor", LINK, 24)
    return messages.mime(message, "Octavia <noreply@octavia.example>", "<1@octavia.example>", WHEN)


def mailer(server: SmtpServer, **changes: Any) -> SmtpMailer:
    values: dict[str, Any] = {"host": "127.0.0.1", "port": server.port, "tls": "none", "timeout_s": 20} | changes
    return SmtpMailer(values.pop("host"), **values)


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with SmtpServer() as running:
        yield running


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


async def test_a_mail_arrives_as_it_was_written(server: SmtpServer) -> None:
    await mailer(server).send(mail())
    [received] = server.received
    assert (received.sender, received.recipients) == ("noreply@octavia.example", ["elinor@example.org"])
    body = received.message.get_body(("plain",))
    assert body
    assert LINK in body.get_content()
    assert received.message["Message-ID"] == "<1@octavia.example>"


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_mail_and_password_travel_encrypted(certificate: Path, tls: str) -> None:
    with SmtpServer(certificate=certificate, implicit_tls=tls == "tls", login=True) as server:
        await mailer(server, tls=tls, **LOGIN).send(mail())
        [received] = server.received
    assert (received.encrypted, received.username) == (True, USERNAME)


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_a_server_with_a_certificate_nobody_knows_gets_neither_password_nor_mail(
    certificate: Path, tls: str
) -> None:
    with SmtpServer(certificate=certificate, implicit_tls=tls == "tls", login=True) as server:
        with pytest.raises(TransientMailError, match=r"(?i)certificate"):
            await mailer(server, tls=tls, **LOGIN).send(mail())
        assert (server.passwords, server.received) == ([], [])


async def test_a_server_that_offers_no_encryption_gets_neither_password_nor_mail(server: SmtpServer) -> None:
    with pytest.raises(TransientMailError, match="STARTTLS"):
        await mailer(server, tls="starttls", **LOGIN).send(mail())
    assert (server.passwords, server.received) == ([], [])


@pytest.mark.parametrize("host", ["mail.example.org", "192.0.2.1", "localhost.example.org"])
def test_a_password_is_not_even_set_up_to_be_sent_unencrypted_to_another_machine(host: str) -> None:
    with pytest.raises(UnsafeSmtpError, match="OCTAVIA_SMTP_TLS"):
        SmtpMailer(host, port=None, tls="none", **LOGIN)
    SmtpMailer(host, port=None, tls="none")


async def test_a_password_may_be_sent_unencrypted_to_this_machine() -> None:
    with SmtpServer(login=True) as server:
        await mailer(server, **LOGIN).send(mail())
        assert [each.username for each in server.received] == [USERNAME]


async def test_a_wrong_password_is_no_fault_of_the_mail_and_may_be_corrected() -> None:
    with SmtpServer(login=True) as server, pytest.raises(TransientMailError, match="535"):
        await mailer(server, username=USERNAME, password="wrong").send(mail())


@pytest.mark.parametrize("stage", ["RCPT", "DATA"])
async def test_what_is_refused_for_now_may_be_sent_later(server: SmtpServer, stage: Any) -> None:
    server.answer("451 4.7.1 Greylisted, try again", stage=stage)
    with pytest.raises(TransientMailError, match=r"451 4\.7\.1 Greylisted"):
        await mailer(server).send(mail())
    await mailer(server).send(mail())
    assert len(server.received) == 1


@pytest.mark.parametrize("stage", ["RCPT", "DATA"])
async def test_what_is_refused_for_good_is_said_to_be_and_links_in_the_reason_are_left_out(
    server: SmtpServer, stage: Any
) -> None:
    server.answer(f"550 5.7.1 We do not like {LINK} here", stage=stage)
    with pytest.raises(PermanentMailError, match=r"550 5\.7\.1 We do not like … here"):
        await mailer(server).send(mail())


async def test_a_server_that_is_away_may_be_back_later() -> None:
    with pytest.raises(TransientMailError, match="Connect"):
        await SmtpMailer("127.0.0.1", port=free_port(), tls="none").send(mail())


async def test_a_server_that_takes_too_long_is_given_up_for_now(server: SmtpServer) -> None:
    server.seconds = 3
    with pytest.raises(TransientMailError):
        await mailer(server, timeout_s=0.5).send(mail())


async def test_an_acceptance_that_does_not_arrive_is_not_taken_for_one(server: SmtpServer) -> None:
    server.hang_ups = 1
    with pytest.raises(TransientMailError):
        await mailer(server).send(mail())


async def test_international_addresses_go_where_they_are_understood(server: SmtpServer) -> None:
    await mailer(server).send(mail("θεά@bücher.example"))
    [received] = server.received
    assert received.recipients == ["θεά@xn--bcher-kva.example"]
    assert received.message["To"] == "θεά@xn--bcher-kva.example"


async def test_a_server_that_takes_no_international_addresses_is_not_asked_again() -> None:
    with SmtpServer(smtputf8=False) as server:
        await mailer(server).send(mail("elinor@bücher.example"))
        with pytest.raises(PermanentMailError, match="beyond ASCII"):
            await mailer(server).send(mail("θεά@example.org"))
        assert [each.recipients for each in server.received] == [["elinor@xn--bcher-kva.example"]]


async def test_the_outbox_keeps_a_mail_for_its_owner_and_logs_the_link(tmp_path: Path) -> None:
    outbox = OutboxMailer(tmp_path / "outbox")
    with structlog.testing.capture_logs() as logs:
        await outbox.send(mail())
        await outbox.send(mail())
    [file] = (tmp_path / "outbox").iterdir()
    assert file.name == "1.eml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert message_from_bytes(file.read_bytes(), policy=policy.default)["To"] == "elinor@example.org"
    assert [(each["link"], each["file"]) for each in logs] == [(LINK, str(file))] * 2


async def test_an_outbox_that_cannot_be_written_may_be_later(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("not a folder")
    with pytest.raises(TransientMailError, match="outbox"):
        await OutboxMailer(tmp_path / "outbox").send(mail())


async def test_the_settings_choose_between_server_and_outbox(server: SmtpServer, tmp_path: Path) -> None:
    assert isinstance(mailer_from(Settings(data_dir=tmp_path)), OutboxMailer)
    smtp = mailer_from(Settings(smtp_host="127.0.0.1", smtp_port=server.port, smtp_tls="none"))
    await smtp.send(mail())
    assert len(server.received) == 1
    with pytest.raises(UnsafeSmtpError):
        mailer_from(
            Settings(smtp_host="mail.example", smtp_tls="none", smtp_username="u", smtp_password=SecretStr("p"))
        )


@pytest.mark.parametrize("sender", ["Octavia", "Octavia <noreply>", "a@b\r\nBcc: c@d", "A <a@b> B <c@d>", ""])
def test_a_sender_that_is_no_address_is_refused_at_the_start(sender: str) -> None:
    with pytest.raises(ValidationError, match="mail_from"):
        Settings(mail_from=sender)


@pytest.mark.parametrize("url", ["octavia.example", "ftp://octavia.example", "https://a b", "javascript:alert(1)"])
def test_links_can_only_lead_to_the_web(url: str) -> None:
    with pytest.raises(ValidationError, match="web_url"):
        Settings(web_url=url)
