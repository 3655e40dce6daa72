"""Why a mail was not sent: worth another try, or not."""

from orchestrator.errors import OctaviaError


class TransientMailError(OctaviaError):
    """The mail was not accepted now and may be later: no connection, a timeout, a temporary refusal (4xx)."""

    def __init__(self, reason: str) -> None:
        super().__init__("mail_delayed", f"The mail was not accepted yet: {reason}", 503)


class PermanentMailError(OctaviaError):
    """The mail will never be accepted as it is: the server refused it for good (5xx), or the address cannot be."""

    def __init__(self, reason: str) -> None:
        super().__init__("mail_refused", f"The mail was refused: {reason}", 422)


class UndeliverableAddressError(PermanentMailError):
    """No mail can be addressed like this."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the address cannot be written to: {reason}")


class UnsafeSmtpError(OctaviaError):
    """The settings would send the mail server's password where others can read it."""

    def __init__(self, host: str) -> None:
        super().__init__(
            "unsafe_smtp",
            f"The password of the mail server {host} would be sent unencrypted. "
            "Set OCTAVIA_SMTP_TLS to starttls or tls, or remove OCTAVIA_SMTP_USERNAME.",
            500,
        )
