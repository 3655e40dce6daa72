"""Whether Polar is set up as our settings say: token, scopes, products, prices, changes of plan. Only reads."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import structlog

from orchestrator.billing import wire
from orchestrator.billing.offers import Offer, Plan
from orchestrator.billing.polar import SERVERS, Polar
from orchestrator.billing.polar_errors import PolarError, PolarScopeError, PolarUnauthorizedError
from orchestrator.settings import Settings

log = structlog.get_logger(__name__)

READ = ("products", "checkouts", "orders", "subscriptions", "refunds", "disputes")
"""Collections that we read; the scope of each is NAME:read."""
NOT_CHECKED = ("checkouts:write", "subscriptions:write", "refunds:write", "customer_sessions:write")
"""Scopes that nothing harmless tells of: trying them would make or change something."""

PRORATION = "next_period"
"""The one with which a change of plan moves neither money nor credits before the next period does."""

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """error: buying does not work. warning: it does, and something is not as said. note: what cannot be known."""

    level: Level
    text: str


async def check(settings: Settings, polar: Polar) -> list[Finding]:
    """Everything worth saying about the settings of billing, in plain words with what to do; errors first."""
    found = [*_of_the_settings(settings), *await _of_polar(settings, polar)]
    return sorted(found, key=lambda finding: ("error", "warning", "note").index(finding.level))


async def log_findings(settings: Settings, polar: Polar) -> None:
    """Check, and log what is found. Nothing that goes wrong in it goes further."""
    try:
        found = await check(settings, polar)
    except Exception:  # it only informs, and the API works without it
        log.exception("the set-up of Polar could not be checked")
        return
    for finding in found:
        tell = {"error": log.error, "warning": log.warning, "note": log.info}[finding.level]
        tell("set-up of Polar", finding=finding.text)
    if not any(finding.level == "error" for finding in found):
        log.info("Polar is set up", packages=len(settings.packages), plans=len(settings.plans))


def _of_the_settings(settings: Settings) -> Iterator[Finding]:
    if not settings.billing:
        yield Finding("warning", "Billing is off. Set OCTAVIA_BILLING=true to sell credits.")
    if not settings.polar_webhook_secrets:
        yield Finding(
            "error",
            "There is no webhook secret, so no payment is believed. Make an endpoint at Polar.sh for "
            "…/webhooks/polar and set OCTAVIA_POLAR_WEBHOOK_SECRETS to its secret (a JSON list).",
        )
    if settings.polar_url is not None:
        yield Finding("note", f"OCTAVIA_POLAR_URL is set: {settings.polar_url} is asked, not Polar.sh.")
    elif settings.polar_server == "sandbox":
        yield Finding("note", "This is Polar's sandbox: no real money moves. OCTAVIA_POLAR_SERVER=production is real.")
    offers = (*settings.packages, *settings.plans)
    for offer in offers:
        if offer.product_id is None:
            yield Finding("warning", f"{offer.id} cannot be bought: it has no product_id in {_setting(offer)}.")
    for product_id in {offer.product_id for offer in offers if offer.product_id is not None}:
        names = [offer.id for offer in offers if offer.product_id == product_id]
        if len(names) > 1:
            said = " and ".join(names)
            yield Finding("error", f"{said} have the same product {product_id}: give each a product of its own.")


async def _of_polar(settings: Settings, polar: Polar) -> list[Finding]:
    try:
        products = await polar.products()
    except PolarScopeError:
        return await _of_scopes(polar)
    except PolarUnauthorizedError:
        return [_wrong_token(settings)]
    except PolarError as error:
        return [Finding("error", error.message)]
    known = {product.id: product for product in products}
    offers = [
        finding
        for offer in (*settings.packages, *settings.plans)
        if offer.product_id is not None
        for finding in _of_offer(offer, known)
    ]
    return [*await _of_scopes(polar), *offers, *await _of_plan_changes(settings, polar)]


async def _of_scopes(polar: Polar) -> list[Finding]:
    found: list[Finding] = []
    for collection in READ:
        try:
            await polar.may_list(collection)
        except PolarScopeError:
            found.append(_missing_scope(collection))
        except PolarError as error:
            found.append(Finding("error", error.message))
            break
    said = ", ".join(NOT_CHECKED)
    found.append(Finding("note", f"Not checked, for trying them would change something: the scopes {said}."))
    return found


async def _of_plan_changes(settings: Settings, polar: Polar) -> list[Finding]:
    """With any other proration, a user gets a period's credits, changes to a cheaper plan and has the money back."""
    if not any(plan.product_id for plan in settings.plans):
        return []
    try:
        organizations = await polar.organizations()
    except PolarScopeError:
        return [_missing_scope("organizations")]
    except PolarError as error:
        return [Finding("error", error.message)]
    return [
        Finding(
            "error",
            f"Customers of {each.name} can change their plan in Polar's portal in the middle of a period, which is"
            f" settled by '{each.proration}': credits stay and their money becomes"
            f" balance. In the organization's settings at Polar.sh choose the proration 'Next period'"
            f" (subscription_settings.proration_behavior = {PRORATION}), or forbid changes of plan in the customer"
            f" portal (customer_portal_settings.subscription.update_plan = false); users change plans here.",
        )
        for each in organizations
        if each.customers_change_plans and each.proration != PRORATION
    ]


def _missing_scope(collection: str) -> Finding:
    return Finding(
        "error",
        f"The access token lacks the scope {collection}:read. Make a token at Polar.sh with it and set "
        "OCTAVIA_POLAR_ACCESS_TOKEN.",
    )


def _wrong_token(settings: Settings) -> Finding:
    where = settings.polar_url or SERVERS[settings.polar_server]
    other = "production" if settings.polar_server == "sandbox" else "sandbox"
    return Finding(
        "error",
        f"{where} does not take the access token: it is wrong, expired, or of Polar's {other}, whose tokens open "
        f"nothing here. Set OCTAVIA_POLAR_ACCESS_TOKEN to a token made there, or OCTAVIA_POLAR_SERVER={other}.",
    )


def _of_offer(offer: Offer, products: Mapping[UUID, wire.Product]) -> Iterator[Finding]:
    product = products.get(offer.product_id) if offer.product_id else None
    if product is None:
        yield Finding(
            "error",
            f"{offer.id}: there is no product {offer.product_id}. Products of sandbox and production differ; "
            f"set the id that Polar.sh shows in {_setting(offer)}.",
        )
        return
    if product.is_archived:
        yield Finding(
            "error", f"{offer.id}: its product is archived. Unarchive it, or set another in {_setting(offer)}."
        )
    if isinstance(offer, Plan) and not product.is_recurring:
        yield Finding("error", f"{offer.id} is a plan and its product is sold once. Give it a recurring product.")
    elif not isinstance(offer, Plan) and product.is_recurring:
        yield Finding("error", f"{offer.id} is bought once and its product is a subscription. Give it another product.")
    elif isinstance(offer, Plan) and product.recurring_interval != "month":
        yield Finding("warning", f"{offer.id}: its credits come every {product.recurring_interval}, not every month.")
    yield from _of_price(offer, product)


def _of_price(offer: Offer, product: wire.Product) -> Iterator[Finding]:
    prices = _in_currency(product.prices, offer.currency)
    ours = _money(offer.price_cents, offer.currency)
    if not prices:
        text = f"{offer.id}: our pages say {ours} and its product has no fixed price in {offer.currency.upper()}."
        yield Finding("warning", text)
    elif offer.price_cents not in prices:
        theirs = " or ".join(_money(cents, offer.currency) for cents in prices)
        text = (
            f"{offer.id}: our pages say {ours} and Polar charges {theirs}. Change one in {_setting(offer)} or at Polar."
        )
        yield Finding("warning", text)


def _in_currency(prices: Sequence[wire.Price], currency: str) -> list[int]:
    return [
        price.price_amount
        for price in prices
        if price.price_amount is not None and price.price_currency == currency and not price.is_archived
    ]


def _money(cents: int, currency: str) -> str:
    return f"{cents / 100:.2f} {currency.upper()}"


def _setting(offer: Offer) -> str:
    return "OCTAVIA_PLANS" if isinstance(offer, Plan) else "OCTAVIA_PACKAGES"
