"""What production mode insists on. Pure, but for the one function that ends the process."""

import re
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

import structlog

from orchestrator.errors import OctaviaError
from orchestrator.settings import Settings

log = structlog.get_logger(__name__)

_HOST_OF_MAILBOX = re.compile(r"@([^<>@\s]+?)>?$")


class NotForProductionError(OctaviaError):
    """The settings are missing something, or have something that is for development only."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("not_for_production", " ".join(["The settings do not suit production mode.", *problems]), 500)


def missing(settings: Settings) -> list[str]:
    """What production mode refuses about the settings: a sentence each, beginning with the setting's name."""
    return [*_of_the_service(settings), *(_of_billing(settings) if settings.billing else ())]


def insist(settings: Settings) -> None:
    """In production mode, end the process with exit code 1 and a line for each thing that is wrong."""
    if settings.mode != "production":
        return
    problems = missing(settings)
    for problem in problems:
        log.error("not fit for production", problem=problem)
    if problems:
        raise SystemExit(1)


def _of_the_service(settings: Settings) -> Iterator[str]:
    if settings.database_url is None:
        yield "OCTAVIA_DATABASE_URL is missing: give the PostgreSQL database to use."
    if settings.jwt_secret is None:
        yield "OCTAVIA_JWT_SECRET is missing: give a secret of 32 characters or more, the same to every process."
    if settings.smtp_host is None:
        yield "OCTAVIA_SMTP_HOST is missing: without a mail server nobody can verify an account."
    sender = _HOST_OF_MAILBOX.search(settings.mail_from)
    if sender is None or _is_this_machine(sender[1]):
        yield f"OCTAVIA_MAIL_FROM is {settings.mail_from}: give a sender that can be answered."
    web = urlsplit(settings.web_url)
    if web.scheme != "https" or _is_this_machine(web.hostname or ""):
        yield f"OCTAVIA_WEB_URL is {settings.web_url}: give the public https:// address of the web frontend."
    if settings.test_credits:
        yield "OCTAVIA_TEST_CREDITS is on: users could give themselves credits."
    if settings.webhooks_local:
        yield "OCTAVIA_WEBHOOKS_LOCAL is on: users could have this machine call itself."
    if settings.polar_url is not None:
        yield "OCTAVIA_POLAR_URL is set: only Polar.sh itself may say what was paid."
    if not settings.rate_limits_enabled:
        yield "OCTAVIA_RATE_LIMITS_ENABLED is off: passwords could be guessed."


def _of_billing(settings: Settings) -> Iterator[str]:
    if settings.polar_access_token is None:
        yield "OCTAVIA_POLAR_ACCESS_TOKEN is missing: billing needs an organization access token (polar_oat_…)."
    if not settings.polar_webhook_secrets:
        yield "OCTAVIA_POLAR_WEBHOOK_SECRETS is missing: without the endpoint's secret no payment is believed."
    if settings.polar_server != "production":
        yield f"OCTAVIA_POLAR_SERVER is {settings.polar_server}: its money is not real."
    for setting, offers in (("OCTAVIA_PACKAGES", settings.packages), ("OCTAVIA_PLANS", settings.plans)):
        for offer in offers:
            if offer.product_id is None:
                yield f"{setting}: {offer.id} has no product_id, the id of its product at Polar.sh."


def _is_this_machine(host: str) -> bool:
    name = host.strip("[]").rstrip(".").lower()
    if name in ("", "localhost") or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name)
    except ValueError:  # a name
        return False
    return address.is_loopback or address.is_unspecified
