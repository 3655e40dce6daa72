"""E-mail addresses and names: what is accepted, and the one form in which an address is kept."""

import unicodedata

from email_validator import EmailNotValidError, validate_email

from orchestrator.errors import OctaviaError

LONGEST_NAME = 200


class InvalidAccountError(OctaviaError):
    """What was given cannot make an account."""

    def __init__(self, message: str) -> None:
        super().__init__("invalid_account", message, 422)


THIS_MACHINE = "@localhost"


def parse_email(text: str, *, local: bool = False) -> str:
    """The address as it is kept: NFC, the domain in lower case and as Unicode, the local part as written.

    `local` also takes addresses of this machine. No mailbox is looked up: the mail with the link is the proof. Raises
    InvalidAccountError, which says what is wrong with it (RFC 5321, 5322, 6530).
    """
    text = text.strip()
    if local and text.lower().endswith(THIS_MACHINE):
        return _validated(text[: -len(THIS_MACHINE)] + "@example.org").removesuffix("@example.org") + THIS_MACHINE
    return _validated(text)


def _validated(text: str) -> str:
    try:
        return validate_email(text, check_deliverability=False).normalized
    except EmailNotValidError as error:
        raise InvalidAccountError(f"This is not an e-mail address: {error}") from error


def lookup_form(text: str) -> str | None:
    """The form under which an address would be found; None for what cannot be one. Never raises."""
    try:
        return parse_email(text, local=True)
    except InvalidAccountError:
        return None


def parse_name(text: str) -> str:
    """NFC, without surrounding space. Raises InvalidAccountError for one with control characters, empty or too long."""
    name = unicodedata.normalize("NFC", text.strip())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise InvalidAccountError(f"A name has 1 to {LONGEST_NAME} printable characters.")
    return name
