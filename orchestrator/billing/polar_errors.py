"""What can go wrong in talking with Polar: what failed, whether anything was done, and what to do."""

import re
from collections.abc import Sequence

from orchestrator.errors import OctaviaError

LONGEST_SAID = 300

_SECRETS = re.compile(
    r"""polar_\w+                   # access tokens, client secrets, tokens of customer sessions
    | whsec_\S+                     # webhook secrets
    | https?://\S+                  # a checkout's URL holds its client secret
    | [^\s<>"'(]+@[^\s<>"'),]+      # e-mail addresses
    """,
    re.VERBOSE,
)


def without_secrets(text: str) -> str:
    """What Polar said, short, without tokens, links and e-mail addresses."""
    return _SECRETS.sub("…", " ".join(text.split()))[:LONGEST_SAID]


class PolarError(OctaviaError):
    """Polar did not do what it was asked for."""


class PolarNotConfiguredError(PolarError):
    """There is no access token."""

    def __init__(self) -> None:
        super().__init__(
            "billing_not_configured",
            "Polar.sh cannot be used without an access token: set OCTAVIA_POLAR_ACCESS_TOKEN or OCTAVIA_BILLING=false.",
            500,
        )


class PolarUnavailableError(PolarError):
    """No answer, or one of 5xx. `uncertain`: it may have been done all the same."""

    def __init__(self, what: str, reason: str, *, uncertain: bool, in_doubt: str = "") -> None:
        then = in_doubt if uncertain else "Nothing was charged or changed; try again in a minute."
        super().__init__("polar_unavailable", f"Polar.sh could not {what}: {reason}. {then}", 503)
        self.uncertain = uncertain


class PolarRateLimitedError(PolarError):
    """Polar was asked too often; it was not done. `retry_after` is in seconds."""

    def __init__(self, what: str, retry_after: float) -> None:
        seconds = max(1, round(retry_after))
        super().__init__(
            "polar_rate_limited",
            f"Polar.sh is asked too often right now and did not {what}. Nothing was charged or changed; "
            f"try again in {seconds} s.",
            503,
            headers={"Retry-After": str(seconds)},
        )
        self.retry_after = retry_after


class PolarUnauthorizedError(PolarError):
    """Polar does not take our access token."""

    def __init__(self, what: str) -> None:
        super().__init__(
            "polar_unauthorized",
            f"Polar.sh refused our access token, so it did not {what}. Whoever runs this server: "
            "check OCTAVIA_POLAR_ACCESS_TOKEN and OCTAVIA_POLAR_SERVER (a token of the sandbox does not open "
            "production) with `octavia billing check`.",
            502,
        )


class PolarScopeError(PolarUnauthorizedError):
    """The access token is good, but not for this."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.code = "polar_scope_missing"
        self.message = (
            f"The access token for Polar.sh lacks the scope to {what}. Whoever runs this server: "
            "give it the scopes that `octavia billing check` lists."
        )
        self.args = (self.message,)


class PolarNotFoundError(PolarError):
    """Polar has no such thing, or it is not ours."""

    def __init__(self, what: str) -> None:
        super().__init__("polar_not_found", f"Polar.sh could not {what}: it knows nothing of that id.", 404)


class PolarNoCustomerError(PolarNotFoundError):
    """The user is no customer of Polar's yet: nothing was ever bought."""

    def __init__(self) -> None:
        super().__init__("open the customer portal")
        self.code = "no_purchases_yet"
        self.message = "There is nothing to manage yet: invoices and payment methods are here after a first purchase."
        self.args = (self.message,)


class PolarRefusedError(PolarError):
    """Polar understood and refused; nothing was done.

    `reason` is Polar's name of the refusal (RefundedAlready, …), `polar_status` its HTTP status, `fields` the parts of
    the request that it did not like.
    """

    def __init__(
        self, what: str, *, polar_status: int, reason: str, said: str, fields: Sequence[str] = (), status: int = 422
    ) -> None:
        words = without_secrets(said).rstrip(". ") or reason or f"it answered {polar_status}"
        super().__init__("polar_refused", f"Polar.sh did not {what}: {words}. Nothing was charged or changed.", status)
        self.polar_status = polar_status
        self.reason = reason
        self.fields = tuple(fields)


class PolarAnswerError(PolarError):
    """An answer that is none of Polar's: a redirection, no JSON, or without what every version has."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(
            "polar_answer",
            f"Polar.sh was asked to {what} and {reason}. Whoever runs this server: check OCTAVIA_POLAR_URL and "
            "OCTAVIA_POLAR_VERSION with `octavia billing check`.",
            502,
        )
