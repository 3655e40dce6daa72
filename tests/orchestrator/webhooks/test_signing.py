"""Signatures as Standard Webhooks has them, and when a delivery is tried again."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from uuid import UUID

import pytest
from svix.webhooks import Webhook, WebhookVerificationError

from orchestrator.retry_after import wished_s
from orchestrator.webhooks import events
from orchestrator.webhooks.schedule import GIVEN_UP_AFTER, LONGEST_WISH_S, PAUSES_S, pause_s
from orchestrator.webhooks.signing import new_secret, signed

ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


def test_a_secret_is_256_bits_and_never_the_same() -> None:
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert all(each.startswith("whsec_") and len(base64.b64decode(each[6:])) == 32 for each in secrets)


def test_the_signature_is_the_specifications() -> None:
    key = b"0123456789abcdef0123456789abcdef"
    headers = signed(ID, NOW, '{"a":1}', ["whsec_" + base64.b64encode(key).decode()])
    said = f"{ID}.1795694400." + '{"a":1}'
    expected = base64.b64encode(hmac.new(key, said.encode(), hashlib.sha256).digest()).decode()
    assert headers == {
        "webhook-id": str(ID),
        "webhook-timestamp": "1795694400",
        "webhook-signature": f"v1,{expected}",
    }


def test_the_time_is_utc_whatever_its_zone() -> None:
    elsewhere = NOW.astimezone(datetime.now().astimezone().tzinfo)
    assert signed(ID, elsewhere, "", [new_secret()])["webhook-timestamp"] == "1795694400"


def test_while_secrets_change_either_verifies_and_no_third() -> None:
    old, new, other = (new_secret() for _ in range(3))
    body = events.body("job.completed", NOW, {"id": "1"})
    headers = dict(signed(ID, datetime.now(UTC), body, [new, old]))
    assert Webhook(old).verify(body, headers) == Webhook(new).verify(body, headers) == json.loads(body)
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(body, headers)


@pytest.mark.parametrize("changed", ["body", "webhook-id", "webhook-timestamp"])
def test_what_was_changed_on_the_way_does_not_verify(changed: str) -> None:
    secret, body = new_secret(), '{"a":1}'
    headers = dict(signed(ID, datetime.now(UTC), body, [secret]))
    if changed == "body":
        body = '{"a":2}'
    elif changed == "webhook-id":
        headers[changed] = str(UUID(int=1))
    else:
        headers[changed] = str(int(headers[changed]) - 1)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body, headers)


def test_what_is_old_does_not_verify() -> None:
    secret = new_secret()
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify("{}", dict(signed(ID, datetime.now(UTC) - timedelta(minutes=6), "{}", [secret])))


def test_of_a_job_only_ids_and_codes_are_told() -> None:
    assert events.of_job(ID, "subtitles", "failed", UUID(int=1), "no_speech") == {
        "id": str(ID),
        "kind": "subtitles",
        "status": "failed",
        "media_id": str(UUID(int=1)),
        "error": {"code": "no_speech"},
        "links": {"job": f"/v1/jobs/{ID}"},
    }


def test_pauses_grow_to_three_days_and_end() -> None:
    assert sum(PAUSES_S) >= GIVEN_UP_AFTER.total_seconds()
    for tries, planned in enumerate(PAUSES_S, 1):
        pause = pause_s(tries)
        assert pause is not None
        assert planned * 0.75 <= pause <= planned * 1.25
    assert pause_s(len(PAUSES_S) + 1) is None


def test_an_endpoint_can_put_us_off_for_a_day_at_most() -> None:
    assert pause_s(1, 600.0) == 600.0
    assert pause_s(1, 1e12) == LONGEST_WISH_S


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("9" * 400, None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2024 00:00:00 +99999999999999999999", None),
        ("120", 120.0),
        (format_datetime(NOW + timedelta(minutes=2), usegmt=True), 120.0),
        (format_datetime(NOW - timedelta(minutes=2), usegmt=True), 0.0),
    ],
)
def test_retry_after_is_read_in_both_its_forms(header: str | None, seconds: float | None) -> None:
    assert wished_s(header, NOW) == seconds
