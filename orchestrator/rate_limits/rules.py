"""The rules: how often each action is allowed, and what a login is allowed while strangers hammer its account."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal, get_args

from limits import RateLimitItem, parse_many

from orchestrator.errors import OctaviaError

Action = Literal[
    "sign_up",
    "log_in",
    "demo_login",
    "refresh",
    "resend_verification",
    "forgot_password",
    "reset_password",
    "verify_email",
    "change_password",
    "api_token_create",
    "export",
    "delete_account",
    "buy",
    "ask_polar",
    "preview_voice",
    "webhook_change",
    "webhook_send",
    "look",
    "download",
    "default",
]
Scope = Literal["address", "account", "pair", "slowed_pair", "overall"]
"""Whose hits are added up: those of a client address; of an account (the e-mail address given, or the user logged in);
of an account from one address, and the same while the account is hammered; everybody's."""

Limits = Mapping[Scope, tuple[RateLimitItem, ...]]


@dataclass(frozen=True, slots=True)
class Rule:
    """The limits of an action in the notation of the `limits` library ("10/minute; 100/hour"); None: none."""

    doing: str
    """What the action is in a sentence: too many attempts to …"""
    address: str
    account: str | None
    overall: str | None
    pair: str | None = None
    slowed_pair: str | None = None
    of_user: bool = False
    """Accounts are counted by the user who is logged in, not by the e-mail address given."""
    spares_known: bool = False
    """An address the account was logged in from of late is never refused for what others do (see `verdict`)."""


RULES: Mapping[Action, Rule] = {
    # Those that send e-mail. Pair: one caller cannot fill a mailbox. Account: for a new account much more than that, or
    # a stranger's sign-ups would keep its owner's out; for a reset at most three an hour, the least a link lives:
    # whoever uses them up has put links that work into the owner's mailbox.
    "sign_up": Rule("sign up", address="20/hour", account="30/hour", overall="2000/hour", pair="3/hour"),
    "resend_verification": Rule(
        "send the e-mail", address="20/hour", account="30/hour", overall="2000/hour", pair="3/hour"
    ),
    "forgot_password": Rule("send the e-mail", address="20/hour", account="3/hour", overall="2000/hour"),
    # Overall: the 15 passwords a second that a busy machine of two cores hashes. With more machines, set more.
    # Account: three addresses that try without pause reach it, a forgetful owner does not.
    "log_in": Rule(
        "log in",
        address="30/minute; 300/hour",
        account="100/hour",
        overall="900/minute",
        pair="10 per 15 minutes",
        slowed_pair="2 per 15 minutes",
        spares_known=True,
    ),
    "demo_login": Rule("try the demo", address="20/minute", account=None, overall="120/minute"),
    "refresh": Rule("renew the login", address="120/minute", account=None, overall=None),
    # Their tokens have 256 random bits and say whose they are: this only bounds the work that guessing makes.
    # None overall: many strangers together would end everybody's logins.
    "verify_email": Rule("confirm the address", address="60 per 15 minutes", account=None, overall=None),
    "reset_password": Rule("set a password", address="20 per 15 minutes", account=None, overall=None),
    # They ask for the password again: a stolen access token must not serve to guess it.
    "change_password": Rule(
        "change the password",
        address="20 per 15 minutes",
        account="10 per 15 minutes",
        overall="600/minute",
        of_user=True,
    ),
    "delete_account": Rule(
        "delete the account",
        address="20 per 15 minutes",
        account="5 per 15 minutes",
        overall="600/minute",
        of_user=True,
    ),
    "api_token_create": Rule("make a token", address="60/hour", account="20/hour", overall="600/minute", of_user=True),
    "export": Rule("export your data", address="30/hour", account="5/hour", overall="60/minute", of_user=True),
    # Polar answers 500 requests a minute of ours, 100 in its sandbox; a purchase is one or two, and webhooks none.
    "buy": Rule("buy", address="60/hour", account="30/hour", overall="100/minute", of_user=True),
    "ask_polar": Rule("ask Polar", address="120/minute", account="60/minute", overall="300/minute", of_user=True),
    # Its links are signed and nobody guesses one: this only bounds the work that strangers make.
    "download": Rule("download", address="1200/minute", account=None, overall=None),
    # Address above account: an office has one address. No overall limit: every request would wait for that one row.
    "preview_voice": Rule(
        "preview a voice", address="120/minute", account="30/minute", overall="600/minute", of_user=True
    ),
    "webhook_change": Rule(
        "change webhooks", address="120/hour", account="60/hour", overall="600/minute", of_user=True
    ),
    # Each has us call somebody's server.
    "webhook_send": Rule("send webhooks", address="60/minute", account="30/minute", overall="600/minute", of_user=True),
    "look": Rule("use the API", address="3000/minute", account=None, overall=None),
    "default": Rule("use the API", address="3000/minute", account="1200/minute", overall=None, of_user=True),
}


class InvalidRateLimitError(OctaviaError):
    """The setting `rate_limits` names no rule of ours, or no limit."""

    def __init__(self, name: str, limit: str) -> None:
        super().__init__(
            "invalid_rate_limit",
            f'The setting rate_limits has "{name}": "{limit}". It takes action.scope and a limit, as in'
            f' "log_in.address": "100/minute". Actions: {", ".join(RULES)}. Scopes: {", ".join(get_args(Scope))}.',
            500,
        )


def limits_of(overrides: Mapping[str, str]) -> Mapping[Action, Limits]:
    """Every limit there is, the longest of a scope first; `overrides` is the setting. Raises InvalidRateLimitError."""
    texts: dict[str, str] = {
        f"{action}.{scope}": limit
        for action, rule in RULES.items()
        for scope in get_args(Scope)
        if (limit := getattr(rule, scope)) is not None
    }
    names = {f"{action}.{scope}" for action in RULES for scope in get_args(Scope)}
    for name, limit in overrides.items():
        if name not in names:
            raise InvalidRateLimitError(name, limit)
    texts |= overrides
    return {
        action: {
            scope: _parse(name, texts[name]) for scope in get_args(Scope) if (name := f"{action}.{scope}") in texts
        }
        for action in RULES
    }


def _parse(name: str, limit: str) -> tuple[RateLimitItem, ...]:
    try:
        return tuple(sorted(parse_many(limit), key=RateLimitItem.get_expiry, reverse=True))
    except ValueError as error:
        raise InvalidRateLimitError(name, limit) from error


class Verdict(Enum):
    ADMIT = auto()
    SLOW = auto()
    """Admit as often as `slowed_pair` says."""
    REFUSE = auto()


def verdict(*, account_over: bool, overall_over: bool, known: bool) -> Verdict:
    """What becomes of a login that its own (account, address) pair allows.

    `account_over`: the account is being hammered, from wherever; `overall_over`: the whole service is; `known`: the
    account was logged in to from this address of late. Strangers can make both limits run over, so at a known address
    neither changes anything. At a new one a hammered account allows fewer attempts, but always a first; only while the
    whole service has more logins than it can bear, new addresses have to wait.
    """
    if known or not (account_over or overall_over):
        return Verdict.ADMIT
    return Verdict.REFUSE if overall_over else Verdict.SLOW


def retry_after_s(*, limit: int, window_s: int, previous: int, current: int, remaining_s: float) -> int:
    """In how many whole seconds, rounded up, a sliding window has room for one hit more if nobody else takes it.

    `previous` and `current` are the counts of the window before and of this one, which ends in `remaining_s`. The
    window has room while previous * remaining / window + current < limit.
    """
    if current >= limit:
        wait = remaining_s + window_s * (1 - limit / current)
    else:
        wait = remaining_s - window_s * (limit - current) / previous if previous else 0.0
    return max(1, math.floor(wait) + 1)
