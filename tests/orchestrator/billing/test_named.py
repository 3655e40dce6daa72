"""Whom an event names."""

import json
from typing import Any
from uuid import UUID, uuid4

import pytest

from orchestrator.billing.named import email_hash, named
from tests.orchestrator.billing.payloads import FIXTURES

ONE, TWO = sorted((uuid4(), uuid4()))


@pytest.mark.parametrize(
    "data",
    [
        {"metadata": {"user_id": str(ONE)}},
        {"external_id": str(ONE), "email": None},
        {"external_customer_id": str(ONE).upper()},
        {"customer": {"external_id": str(ONE)}, "metadata": {"user_id": str(ONE)}},
        {"subscription": {"metadata": {"user_id": str(ONE)}}, "items": [1, None, {"metadata": {"user_id": 7}}]},
        {"items": [{"customer": {"external_id": str(ONE)}}]},
    ],
)
def test_our_users_ids_are_found_wherever_they_stand(data: dict[str, Any]) -> None:
    assert named(data).user_ids == [ONE]


def test_what_is_no_id_names_nobody() -> None:
    assert named({"metadata": {"user_id": "ada"}, "customer": {"external_id": None}, "id": str(ONE)}).user_ids == []


def test_each_is_named_once_in_a_fixed_order() -> None:
    data = {"metadata": {"user_id": str(TWO)}, "customer": {"external_id": str(ONE), "metadata": {"user_id": str(TWO)}}}
    assert named(data).user_ids == [ONE, TWO]


@pytest.mark.parametrize("key", ["email", "customer_email", "customer_billing_email"])
def test_addresses_are_the_same_in_every_case_and_are_not_kept_as_they_are(key: str) -> None:
    found = named({"customer": {key: " Ada@Example.org "}}).email_hashes
    assert found == [email_hash("ada@example.org")]
    assert len(found[0]) == 32


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("webhook.order.*.json")), ids=lambda path: path.stem)
def test_polars_own_orders_name_their_customer(path: Any) -> None:
    data = json.loads(path.read_text())["data"]
    assert named(data).email_hashes == [email_hash(data["customer"]["email"])]


def test_deep_data_is_no_trouble() -> None:
    deep: dict[str, Any] = {"external_id": str(UUID(int=1))}
    for _ in range(5000):
        deep = {"in": [deep]}
    assert named(deep).user_ids == [UUID(int=1)]
