"""What our mails say and how they are written, whatever people call themselves."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.notifications import messages
from orchestrator.notifications.errors import UndeliverableAddressError
from orchestrator.notifications.messages import Message, mime

TO = "elinor@example.org"
LINK = "https://octavia.example/verify-email?token=AbC-123_x&next=%2Fjobs"
SENDER = "Octavia <noreply@octavia.example>"
ID = "<01890000-0000-7000-8000-000000000000@octavia.example>"
WHEN = datetime(2026, 3, 1, 14, 5, tzinfo=UTC)

ALL: dict[str, Callable[[str], Message]] = {
    "verify_address": lambda name: messages.verify_address(TO, name, LINK, 24),
    "address_known": lambda name: messages.address_known(TO, name, "https://octavia.example/"),
    "reset_password": lambda name: messages.reset_password(TO, name, LINK, 30),
    "password_changed": lambda name: messages.password_changed(TO, name, WHEN, "192.0.2.7"),
    "account_deleted": lambda name: messages.account_deleted(TO, name, date(2026, 3, 31)),
}


def sent(message: Message, sender: str = SENDER) -> EmailMessage:
    """The message as it arrives."""
    return message_from_bytes(mime(message, sender, ID, WHEN).as_bytes(), policy=policy.SMTPUTF8)


def part(mail: EmailMessage, kind: str) -> str:
    body = mail.get_body((kind,))
    assert body
    return str(body.get_content()).replace("\r\n", "\n")


def message_with(**changes: str) -> Message:
    values = {"kind": "x", "recipient": TO, "subject": "Hello", "text": "Hello", "html": "<p>Hello</p>"} | changes
    return Message(**values)


def test_the_mail_that_asks_for_confirmation_reads_like_this() -> None:
    message = messages.verify_address(TO, "Elinor Dashwood", LINK, 24)
    assert message.subject == "Confirm your e-mail address"
    assert message.text == (
        "Hello Elinor Dashwood,\n\n"
        "Thank you for signing up for Octavia. Please confirm that this is your e-mail address:\n\n"
        f"{LINK}\n\n"
        "The link works once, for 24 hours.\n\n"
        "If you did not sign up, ignore this mail: without your confirmation the account stays closed.\n\n"
        "-- \nOctavia\n"
    )


@pytest.mark.parametrize("kind", ALL)
def test_every_mail_has_the_same_words_as_text_and_as_html(kind: str) -> None:
    message = ALL[kind]("Elinor")
    mail = sent(message)
    assert mail.get_content_type() == "multipart/alternative"
    assert [each.get_content_type() for each in mail.iter_parts()] == ["text/plain", "text/html"]
    assert part(mail, "plain") == message.text
    assert part(mail, "html") == message.html
    assert message.kind == kind
    for paragraph in message.text.split("\n\n")[:-1]:
        assert paragraph.replace("&", "&amp;") in message.html


@pytest.mark.parametrize("kind", ["verify_address", "reset_password"])
def test_a_link_can_be_clicked_and_read(kind: str) -> None:
    message = ALL[kind]("Elinor")
    written = LINK.replace("&", "&amp;")
    assert f'href="{written}"' in message.html
    assert f">{written}</small>" in message.html
    assert f"\n{LINK}\n" in part(sent(message), "plain")


def test_who_has_an_account_is_shown_the_way_in_and_to_a_new_password() -> None:
    text = ALL["address_known"]("Elinor").text
    assert "\nhttps://octavia.example/login\n" in text
    assert "\nhttps://octavia.example/forgot-password\n" in text


def test_times_dates_and_origins_are_said_in_words() -> None:
    assert "on 1 March 2026 at 14:05 UTC from the network address 192.0.2.7." in ALL["password_changed"]("E").text
    assert "at 14:05 UTC. Everybody" in messages.password_changed(TO, "E", WHEN, None).text
    assert "on 31 March 2026." in ALL["account_deleted"]("E").text
    assert "for 1 hour." in messages.verify_address(TO, "E", LINK, 1).text


@pytest.mark.parametrize(
    ("name", "greeting"),
    [
        ("Élodie 李", "Hello Élodie 李,"),
        ("J. R. R. Tolkien", "Hello J. R. R. Tolkien,"),
        ("  E.\tDashwood ", "Hello E. Dashwood,"),
        ("Elinor\r\nBcc: all@example.org", "Hello,"),
        ("Elinor\r\nHow are you", "Hello Elinor How are you,"),
        ("\u202egnihtemos\u0000", "Hello gnihtemos,"),
        ("", "Hello,"),
        ("x" * 61, "Hello,"),
        ("win at https://evil.example", "Hello,"),
        ("win at evil.example", "Hello,"),
        ("write to a@b", "Hello,"),
        ("WWW evil", "Hello,"),
    ],
)
def test_a_name_is_repeated_only_where_it_is_one_and_nothing_to_click_on(name: str, greeting: str) -> None:
    for make in ALL.values():
        assert make(name).text.split("\n")[0] == greeting


def test_markup_in_a_name_is_shown_as_it_was_written() -> None:
    message = messages.verify_address(TO, "\"&amp;'", LINK, 1)
    assert message.text.startswith("Hello \"&amp;',")
    assert "Hello &quot;&amp;amp;&#x27;," in message.html
    assert "<b>" not in messages.verify_address(TO, "<b>Elinor</b>", LINK, 1).html


@given(st.text(max_size=200))
@example("a\r\nBcc: b@c.d\r\n\r\nbody")
@example("=?utf-8?q?a=0D=0ABcc=3A_b?=")
@example("\ud800\x85\u2028")
def test_no_name_and_no_subject_makes_a_header_or_a_tag(hostile: str) -> None:
    mail = sent(message_with(subject=hostile), f"{hostile} <noreply@octavia.example>")
    assert sorted(mail.keys()) == sorted(HEADERS)
    greeted = messages.verify_address(TO, hostile, LINK, 1).html
    assert greeted.count("<") == messages.verify_address(TO, "", LINK, 1).html.count("<")


HEADERS = [
    *("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"),
]


def test_headers_say_who_when_and_that_nobody_should_answer_automatically() -> None:
    mail = sent(ALL["verify_address"]("Elinor"))
    assert mail["From"] == SENDER
    assert mail["To"] == TO
    assert mail["Message-ID"] == ID
    assert mail["Date"].datetime == WHEN
    assert mail["Auto-Submitted"] == "auto-generated"


def test_the_senders_name_may_have_a_comma() -> None:
    origin = sent(message_with(), "Octavia, Ltd <noreply@octavia.example>")["From"].addresses[0]
    assert (origin.display_name, origin.addr_spec) == ("Octavia, Ltd", "noreply@octavia.example")
    [plain] = sent(message_with(), "noreply@octavia.example")["From"].addresses
    assert (plain.display_name, plain.addr_spec) == ("", "noreply@octavia.example")


def test_the_message_id_is_the_mails_and_the_senders() -> None:
    mail_id = UUID("01890000-0000-7000-8000-000000000000")
    assert messages.message_id(mail_id, SENDER) == ID
    assert messages.message_id(mail_id, "a@büro.example") == f"<{mail_id}@xn--bro-hoa.example>"


@pytest.mark.parametrize(
    ("recipient", "written"),
    [
        ("elinor+octavia@example.org", "elinor+octavia@example.org"),
        ("Elinor.O'Hara@EXAMPLE.org", "Elinor.O'Hara@example.org"),
        ("elinor@bücher.example", "elinor@xn--bcher-kva.example"),
        ("elinor@\u0435xample.org", "elinor@xn--xample-2of.org"),
        ("θεά@example.org", "θεά@example.org"),
        ("elinor@localhost", "elinor@localhost"),
    ],
)
def test_an_international_address_is_written_as_mail_servers_take_it(recipient: str, written: str) -> None:
    mail = mime(message_with(recipient=recipient), SENDER, ID, WHEN)
    assert [each.addr_spec for each in mail["To"].addresses] == [written]
    assert (mail.policy is policy.SMTP) == written.isascii()
    assert f"To: {written}".encode() in mail.as_bytes()


@pytest.mark.parametrize(
    "recipient",
    [
        "",
        "elinor",
        "@example.org",
        "elinor@",
        "a@b.org, c@d.org",
        "a@b.org\r\nBcc: c@d.org",
        "a b@example.org",
        '"a b"@example.org',
        "a..b@example.org",
        "a\0@example.org",
        "a@exa mple.org",
        "a@example..org",
        "a@[127.0.0.1]",
        "a@-example.org",
        "a@example.org>",
        "a" * 65 + "@example.org",
        "ü" * 33 + "@example.org",
        "a@" + ".".join(["b" * 60] * 5),
        "a" * 10 + "@" + ".".join(["b" * 59] * 4) + ".example.org",
        "a" * 300,
        "=?utf-8?q?a=0D=0ABcc=3A_b?=@example.org",
    ],
)
def test_an_address_that_cannot_be_written_to_is_refused_for_good(recipient: str) -> None:
    with pytest.raises(UndeliverableAddressError, match="cannot be written to"):
        mime(message_with(recipient=recipient), SENDER, ID, WHEN)
