"""What our mails say, and how a message becomes MIME. Pure.

Names are chosen by strangers, and a sign-up sends mail to whatever address it gives: a name never makes a header,
mark-up or something to click on.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from html import escape
from uuid import UUID

import idna

from orchestrator.notifications.errors import UndeliverableAddressError

LONGEST_GREETED_NAME = 60
LONGEST_FILE_NAME = 80
LONGEST_ADDRESS = 254
LONGEST_LOCAL_PART = 64
"""Octets: RFC 5321, 4.5.3.1, and its erratum 1690."""

_LIKE_A_LINK = re.compile(r"[/:@<>\\]|\w\.\w\w|\bwww\b", re.IGNORECASE)
"""What mail programs turn into something to click on: such a name is not repeated."""

_LOCAL_PART = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(\.[\w!#$%&'*+/=?^`{|}~-]+)*")
"""A dot-atom (RFC 5322, 3.2.3), its letters those of any script (RFC 6531). Quoted strings are not mailed to."""

SIGNATURE = "Octavia"


@dataclass(frozen=True, slots=True)
class Message:
    """A composed mail to one recipient: plain text, and the same as HTML."""

    kind: str
    recipient: str
    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class Link:
    """A paragraph that is a link; its address stands below it, for those whose program does not show links."""

    label: str
    url: str


Paragraph = str | Link


def verify_address(recipient: str, name: str, link: str, hours: int) -> Message:
    """Asks a new account's owner to confirm the address. The link is good for `hours`."""
    return _compose(
        "verify_address",
        recipient,
        "Confirm your e-mail address",
        name,
        "Thank you for signing up for Octavia. Please confirm that this is your e-mail address:",
        Link("Confirm my address", link),
        f"The link works once, for {_count(hours, 'hour')}.",
        "If you did not sign up, ignore this mail: without your confirmation the account stays closed.",
    )


def address_known(recipient: str, name: str, web_url: str) -> Message:
    """Tells the owner of an account that somebody signed up with its address again."""
    return _compose(
        "address_known",
        recipient,
        "You already have an account",
        name,
        "Somebody, probably you, has just signed up for Octavia with this address. It already has an account, "
        "so nothing was changed. You can log in:",
        Link("Log in", f"{web_url.rstrip('/')}/login"),
        "If you no longer know your password, choose a new one:",
        Link("Reset my password", f"{web_url.rstrip('/')}/forgot-password"),
        "If it was not you, there is nothing you need to do.",
    )


def reset_password(recipient: str, name: str, link: str, minutes: int) -> Message:
    """Lets the owner choose a new password. The link is good for `minutes`."""
    return _compose(
        "reset_password",
        recipient,
        "Reset your password",
        name,
        "Somebody, probably you, has asked for a new password for your Octavia account. Choose it here:",
        Link("Choose a new password", link),
        f"The link works once, for {_count(minutes, 'minute')}.",
        "If it was not you, ignore this mail: your password stays as it is.",
    )


def password_changed(recipient: str, name: str, when: datetime, address: str | None) -> Message:
    """Tells the owner that the password was changed, at `when` (aware) from the network address `address`, if known."""
    origin = f" from the network address {_one_line(address)}" if address else ""
    return _compose(
        "password_changed",
        recipient,
        "Your password was changed",
        name,
        f"The password of your Octavia account was changed on {_day(when)} at {when:%H:%M %Z}{origin}. "
        "Everybody who was logged in elsewhere has been logged out.",
        "If it was not you, reset your password at once: choose “Forgot your password?” where you log in.",
    )


def account_deleted(recipient: str, name: str, purge_date: date) -> Message:
    """Tells the owner that the account is closed, and when everything in it will be gone."""
    return _compose(
        "account_deleted",
        recipient,
        "Your account was deleted",
        name,
        f"Your Octavia account is closed. Your files and everything else in it will be erased on {_day(purge_date)}.",
        "If you did not ask for this, please tell us before that day.",
    )


def job_completed(recipient: str, name: str, filename: str, link: str, until: datetime | None) -> Message:
    """Tells the owner that a job's results can be fetched at `link`, `until` (aware) they are deleted, if ever."""
    kept = [f"They are kept until {_day(until)}, {until:%H:%M %Z}; please download them before."] if until else []
    return _compose(
        "job_completed",
        recipient,
        f"Ready: {file_name(filename)}",
        name,
        f"Your job on “{file_name(filename)}” is completed. Its results are here:",
        Link("See the results", link),
        *kept,
        SWITCHED_OFF,
    )


def job_failed(recipient: str, name: str, filename: str, link: str, reason: str) -> Message:
    """Tells the owner that a job failed, and why, in the words of its error."""
    return _compose(
        "job_failed",
        recipient,
        f"Failed: {file_name(filename)}",
        name,
        f"Your job on “{file_name(filename)}” could not be finished: {_one_line(reason)}",
        "It costs nothing: the credits it held are available again.",
        Link("See the job", link),
        SWITCHED_OFF,
    )


WEBHOOK_REASONS: Mapping[str, str] = {
    "gone": "It answered that it is gone for good (410).",
    "failing": "For three days it has not taken anything that was sent to it.",
}


def webhook_disabled(recipient: str, name: str, host: str, why: str) -> Message:
    """Tells the owner that nothing is sent to the webhook endpoint at `host` any more; `why` as its row has it."""
    return _compose(
        "webhook_disabled",
        recipient,
        "A webhook was switched off",
        name,
        f"Nothing is sent any more to your webhook endpoint at {host}. {WEBHOOK_REASONS[why]}",
        "When it works again, switch it on through the API; what was missed can be delivered again from its list of "
        "deliveries.",
    )


SWITCHED_OFF = "You can switch these e-mails off in your settings."


def file_name(filename: str) -> str:
    """A file's name for a sentence: on one line, and not longer than a line."""
    name = _one_line(filename)
    return name if len(name) <= LONGEST_FILE_NAME else f"{name[: LONGEST_FILE_NAME - 1]}…"


def message_id(mail_id: UUID, sender: str) -> str:
    """The Message-ID of a mail: always the same, so that whoever gets it twice can tell."""
    return f"<{mail_id}@{_mailbox(sender)[1].domain}>"


def mime(message: Message, sender: str, message_id: str, date: datetime) -> EmailMessage:
    """The message as multipart/alternative, ready to send; `sender` as in `Octavia <noreply@example.org>`.

    Its policy is SMTPUTF8 where the recipient's local part needs it, else SMTP: a domain is written in ASCII (IDNA).
    Raises UndeliverableAddressError.
    """
    to = _address(message.recipient)
    name, origin = _mailbox(sender)
    mail = EmailMessage(policy.SMTP if to.username.isascii() else policy.SMTPUTF8)
    mail["From"] = Address(name, origin.username, origin.domain)
    mail["To"] = to
    mail["Subject"] = _header(message.subject)
    mail["Date"] = format_datetime(date)
    mail["Message-ID"] = message_id
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office notes, please
    mail.set_content(message.text)
    mail.add_alternative(message.html, subtype="html")
    return mail


def _mailbox(text: str) -> tuple[str, Address]:
    """Name and address of `Octavia <noreply@example.org>`; the name may be missing."""
    name, _, address = text.rpartition("<")
    return _header(name), _address(address.removesuffix(">"))


def _address(text: str) -> Address:
    """An address as mail servers take it. Raises UndeliverableAddressError."""
    local, at, domain = unicodedata.normalize("NFC", text).rpartition("@")
    if not at or "=?" in local or not _LOCAL_PART.fullmatch(local):
        raise UndeliverableAddressError("it does not have the form name@example.org.")
    if len(local.encode()) > LONGEST_LOCAL_PART:
        raise UndeliverableAddressError(f"what stands before the @ is longer than {LONGEST_LOCAL_PART} bytes.")
    try:
        ascii_domain = idna.encode(domain, uts46=True).decode()
    except idna.IDNAError as error:
        raise UndeliverableAddressError("what stands after the @ is no domain.") from error
    if len(local.encode()) + 1 + len(ascii_domain) > LONGEST_ADDRESS:
        raise UndeliverableAddressError(f"it is longer than {LONGEST_ADDRESS} bytes.")
    return Address(username=local, domain=ascii_domain)


def _compose(kind: str, recipient: str, subject: str, name: str, *paragraphs: Paragraph) -> Message:
    body = [_greeting(name), *paragraphs]
    return Message(kind, recipient, subject, _text(body), _html(subject, body))


def _text(paragraphs: Sequence[Paragraph]) -> str:
    lines = [each.url if isinstance(each, Link) else each for each in paragraphs]
    return "\n\n".join([*lines, f"-- \n{SIGNATURE}\n"])


def _html(title: str, paragraphs: Sequence[Paragraph]) -> str:
    body = "\n".join(_html_paragraph(each) for each in paragraphs)
    return (
        f'<!DOCTYPE html>\n<html lang="en-GB">\n<head><meta charset="utf-8"><title>{escape(title)}</title></head>\n'
        f'<body style="font-family: sans-serif; line-height: 1.5">\n{body}\n<p>{SIGNATURE}</p>\n</body>\n</html>\n'
    )


def _html_paragraph(paragraph: Paragraph) -> str:
    if isinstance(paragraph, Link):
        url = escape(paragraph.url)
        return f'<p><a href="{url}"><strong>{escape(paragraph.label)}</strong></a><br>\n<small>{url}</small></p>'
    return f"<p>{escape(paragraph)}</p>"


def _greeting(name: str) -> str:
    """Greets by name, unless what was given as one is too long for it or could be clicked on."""
    name = _one_line(name)
    if not name or len(name) > LONGEST_GREETED_NAME or _LIKE_A_LINK.search(name):
        return "Hello,"
    return f"Hello {name},"


def _one_line(text: str) -> str:
    """The text's printable characters; each run of others is one space."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def _header(text: str) -> str:
    """Text for a header. Python before 3.11.10 decodes what looks encoded in it, line ends included (CVE-2024-6923)."""
    return _one_line(text).replace("=?", "= ?")


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"
