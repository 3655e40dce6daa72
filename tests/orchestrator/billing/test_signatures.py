"""Whose deliveries are taken for Polar's."""

import base64
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from orchestrator.billing.signatures import InvalidSignatureError, MalformedDeliveryError, Signatures, keys
from orchestrator.errors import OctaviaError
from tests.orchestrator.billing.payloads import FIXTURES, NEW_SECRET, OLD_SECRET, OTHER_SECRET, event, signed

BODY = event("order.paid", {"id": "Ünïcode ✓"})


def known(*secrets: str) -> Signatures:
    return Signatures(map(SecretStr, secrets))


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("webhook.*.json")), ids=lambda path: path.stem)
@pytest.mark.parametrize("old", [True, False])
def test_polars_own_events_are_verified_under_both_schemes(path: Path, old: bool) -> None:
    body = path.read_bytes()
    for secret in (OLD_SECRET, NEW_SECRET) if old else (NEW_SECRET,):
        headers = signed(body, secret, old=old)
        assert known(secret).verify(body, headers) == headers["webhook-id"]


def test_any_of_several_secrets_may_have_signed() -> None:
    both = known(NEW_SECRET, OLD_SECRET)
    both.verify(BODY, signed(BODY, NEW_SECRET))
    both.verify(BODY, signed(BODY, OLD_SECRET, old=True))
    with pytest.raises(InvalidSignatureError):
        both.verify(BODY, signed(BODY, OTHER_SECRET))


def test_a_secret_stands_for_itself_and_where_it_is_base64_for_that() -> None:
    assert keys("polar_whs_abc") == [b"polar_whs_abc"]
    assert keys(NEW_SECRET) == [NEW_SECRET.encode(), bytes(range(32))]
    assert keys(NEW_SECRET.rstrip("=")) == [NEW_SECRET.rstrip("=").encode(), bytes(range(32))], "without padding"
    assert keys("whsec_not base64!") == [b"whsec_not base64!"]
    assert keys("whsec_") == [b"whsec_"]


def test_without_a_secret_nothing_is_taken() -> None:
    with pytest.raises(InvalidSignatureError):
        known().verify(BODY, signed(BODY))


@pytest.mark.parametrize("seconds", [-295, 295])
def test_five_minutes_of_difference_are_borne(seconds: int) -> None:
    known(NEW_SECRET).verify(BODY, signed(BODY, seconds=seconds))


@pytest.mark.parametrize("seconds", [-302, 302, -86_400, 86_400])
def test_beyond_five_minutes_nothing_is_taken(seconds: int) -> None:
    with pytest.raises(InvalidSignatureError):
        known(NEW_SECRET).verify(BODY, signed(BODY, seconds=seconds))


Tamper = Callable[[bytes, dict[str, str]], tuple[bytes, dict[str, str]]]
TAMPERED: dict[str, Tamper] = {
    "another body": lambda body, headers: (body + b" ", headers),
    "a truncated body": lambda body, headers: (body[:-1], headers),
    "an empty body": lambda _, headers: (b"", headers),
    "another id": lambda body, headers: (body, headers | {"webhook-id": "other"}),
    "another time": lambda body, headers: (
        body,
        headers | {"webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)},
    ),
    "another version": lambda body, headers: (
        body,
        headers | {"webhook-signature": headers["webhook-signature"].replace("v1,", "v2,")},
    ),
}


@pytest.mark.parametrize("kind", TAMPERED)
def test_whatever_is_changed_after_signing_is_noticed(kind: str) -> None:
    body, headers = TAMPERED[kind](BODY, signed(BODY))
    with pytest.raises(InvalidSignatureError):
        known(NEW_SECRET).verify(body, headers)


MALFORMED = {
    "no id": {"webhook-id": ""},
    "no time": {"webhook-timestamp": ""},
    "no signature": {"webhook-signature": ""},
    "a time that is no number": {"webhook-timestamp": "yesterday"},
    "a time that is not a number": {"webhook-timestamp": "nan"},
    "a time without end": {"webhook-timestamp": "inf"},
    "a fraction of a time": {"webhook-timestamp": "1700000000.5"},
    "a time before all": {"webhook-timestamp": "-1"},
    "a time of digits of another script": {"webhook-timestamp": "١٧٠٠٠٠٠٠٠٠"},
    "a time of many digits": {"webhook-timestamp": "9" * 400},
    "a signature that is none": {"webhook-signature": "garbage"},
    "a version alone": {"webhook-signature": "v1"},
    "a signature with another comma": {"webhook-signature": "v1,a,b"},
    "a signature that is no base64": {"webhook-signature": "v1,a"},
    "a signature beyond ASCII": {"webhook-signature": "v1,é"},
    "a very long signature": {"webhook-signature": "v1," + "A" * 10_000},
    "a very long id": {"webhook-id": "x" * 300},
    "an id that breaks a line": {"webhook-id": "a\nb"},
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_headers_that_are_none_of_polars_are_malformed(kind: str) -> None:
    with pytest.raises(MalformedDeliveryError):
        known(NEW_SECRET, OLD_SECRET).verify(BODY, signed(BODY) | MALFORMED[kind])


def test_a_body_that_is_no_text_is_malformed() -> None:
    with pytest.raises(MalformedDeliveryError, match="UTF-8"):
        known(NEW_SECRET).verify(b"\xff\xfe", signed(b"\xff\xfe"))


def test_one_good_signature_among_several_is_enough() -> None:
    headers = signed(BODY)
    wrong = "v1," + base64.b64encode(b"0" * 32).decode()
    known(NEW_SECRET).verify(BODY, headers | {"webhook-signature": f"{wrong} {headers['webhook-signature']}"})


@given(st.binary(max_size=200), st.text(max_size=80), st.text(max_size=20), st.text(max_size=80))
def test_no_delivery_however_wrong_is_anything_but_refused(
    body: bytes, webhook_id: str, timestamp: str, signature: str
) -> None:
    headers = {"webhook-id": webhook_id, "webhook-timestamp": timestamp, "webhook-signature": signature}
    with pytest.raises(OctaviaError) as error:
        known(NEW_SECRET, OLD_SECRET).verify(body, headers)
    assert error.value.status in (400, 403)
    assert not re.search(r"whsec_", error.value.message)
