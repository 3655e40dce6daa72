"""Our examples of Polar's events and answers are such as Polar's own SDK takes, whichever way they are signed."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from tests.standins.polar import Key, make_key, money, signed

EXAMPLES = Path(__file__).parents[2] / "data" / "polar"
VERSIONS = ("v2026_04", "v2026_10", "v2027_01")
EVENTS = sorted(path.name for path in EXAMPLES.glob("webhook.*.json"))
UNKNOWN = "webhook.unknown.payment.succeeded.json"
SDK_CANNOT = "webhook.customer.state_changed.json"
"""polar-sdk 1.0.2 gives the status of active subscriptions there the values of benefit grants."""
ANSWERS = {
    "api.checkouts.create.response.json": "Checkout",
    "api.checkouts.get.response.succeeded.json": "Checkout",
    "api.orders.get.response.json": "Order",
    "api.refunds.create.response.json": "Refund",
    "api.subscriptions.get.response.json": "Subscription",
    "api.customer_sessions.create.response.json": "CustomerSession",
    "api.orders.invoice.get.response.json": "OrderInvoice",
}
EVENT_ID = "0d5f6d0e-1c1e-4a57-9f0b-6c9a35f1c0de"
SHORT_PREFIXED = Key("whsec_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V", "old")
"""The form between the other two: the new prefix, and still the whole string as key."""
KEYS = {"old": make_key("old"), "prefixed": SHORT_PREFIXED, "new": make_key("new")}


class Sdk:
    """Polar's SDK for one version of the API."""

    def __init__(self, version: str) -> None:
        hooks = importlib.import_module(f"polar.{version}.webhooks")
        self.outputs = importlib.import_module(f"polar.{version}.outputs")
        self.validate = cast(Callable[[str, dict[str, str], str], Any], hooks.validate_event)
        self.unknown_type: type[Exception] = hooks.PolarWebhookUnknownTypeError
        self.error: type[Exception] = hooks.PolarWebhookError
        self.not_verified: type[Exception] = hooks.PolarWebhookVerificationError


@pytest.fixture(scope="module", params=VERSIONS)
def sdk(request: pytest.FixtureRequest) -> Sdk:
    return Sdk(request.param)


def read(sdk: Sdk, name: str, key: Key) -> Any:
    body = (EXAMPLES / name).read_text()
    return sdk.validate(body, signed(key, EVENT_ID, body), key.secret)


@pytest.mark.parametrize("name", [name for name in EVENTS if name not in (UNKNOWN, SDK_CANNOT)])
def test_an_example_of_an_event_is_taken(sdk: Sdk, name: str) -> None:
    written = json.loads((EXAMPLES / name).read_text())
    for key in KEYS.values():
        event = read(sdk, name, key)
        assert event.type == written["type"]
        assert event.data.id == written["data"]["id"]


def test_an_event_that_polar_does_not_have_is_signed_and_of_unknown_type(sdk: Sdk) -> None:
    for key in KEYS.values():
        with pytest.raises(sdk.unknown_type, match="Unknown webhook event type"):
            read(sdk, UNKNOWN, key)


def test_the_one_example_that_the_sdk_cannot_read_is_signed_well(sdk: Sdk) -> None:
    with pytest.raises(sdk.error, match="Failed to parse") as refusal:
        read(sdk, SDK_CANNOT, KEYS["new"])
    assert not isinstance(refusal.value, sdk.not_verified)


@pytest.mark.parametrize("other", ["old", "prefixed", "new"])
def test_a_signature_of_another_secret_is_refused(sdk: Sdk, other: str) -> None:
    body = (EXAMPLES / "webhook.order.paid.purchase.json").read_text()
    headers = signed(KEYS[other], EVENT_ID, body)
    for name, key in KEYS.items():
        if name != other:
            with pytest.raises(sdk.not_verified):
                sdk.validate(body, headers, key.secret)


def test_a_body_that_was_encoded_again_is_refused(sdk: Sdk) -> None:
    body = (EXAMPLES / "webhook.order.paid.purchase.json").read_text()
    again = json.dumps(json.loads(body))
    assert again != body
    with pytest.raises(sdk.not_verified):
        sdk.validate(again, signed(KEYS["new"], EVENT_ID, body), KEYS["new"].secret)


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_an_example_of_an_answer_is_taken(sdk: Sdk, name: str) -> None:
    deserialize = importlib.import_module("polar").deserialize
    deserialize(json.loads((EXAMPLES / name).read_text()), getattr(sdk.outputs, ANSWERS[name]))


@pytest.mark.parametrize("name", [name for name in EVENTS if name.startswith("webhook.order.")])
def test_the_amounts_of_an_example_add_up(name: str) -> None:
    assert money.problems(json.loads((EXAMPLES / name).read_text())["data"]) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [("total_amount", None), ("billing_reason", "whim"), ("total_amount", "1190"), ("status", "odd")],
)
def test_the_sdk_would_notice_a_wrong_example(sdk: Sdk, field: str, value: object) -> None:
    written = json.loads((EXAMPLES / "webhook.order.paid.purchase.json").read_text())
    written["data"][field] = value
    body = json.dumps(written)
    with pytest.raises(sdk.error, match="Failed to parse"):
        sdk.validate(body, signed(KEYS["new"], EVENT_ID, body), KEYS["new"].secret)
