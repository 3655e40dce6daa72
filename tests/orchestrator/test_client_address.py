"""Who is calling: proxies are believed only where they are ours."""

from ipaddress import ip_network

import pytest
from pydantic import ValidationError

from orchestrator.client_address import client_address
from orchestrator.settings import Settings

TRUSTED = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["203.0.113.9"], "192.0.2.1"),  # a client that names another
        ("192.0.2.1", ["203.0.113.9, 10.0.0.1"], "192.0.2.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", ["203.0.113.9, 192.0.2.1"], "192.0.2.1"),  # the client sent the header with a made-up entry
        ("10.0.0.1", ["203.0.113.9", "192.0.2.1"], "192.0.2.1"),  # and the proxy added a line instead
        ("10.0.0.1", ["203.0.113.9, 192.0.2.1, 10.9.9.9"], "192.0.2.1"),  # two proxies of ours
        ("10.0.0.1", ["10.2.2.2, 192.0.2.1"], "192.0.2.1"),  # a client that claims to be a proxy of ours
        ("10.0.0.1", ["10.2.2.2"], "10.0.0.1"),
        ("10.0.0.1", ["nonsense, 192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", ["192.0.2.1, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.1,"], "10.0.0.1"),
        ("10.0.0.1", ["", ","], "10.0.0.1"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.1:4711"], "192.0.2.1"),
        ("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("10.0.0.1", ["::ffff:192.0.2.1"], "192.0.2.1"),
        ("::ffff:10.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("fd00::1", ["192.0.2.1"], "192.0.2.1"),
        (None, ["192.0.2.1"], "none"),
        ("testclient", ["192.0.2.1"], "testclient"),
    ],
)
def test_the_client_is_the_last_one_our_own_proxies_heard(peer: str | None, forwarded: list[str], client: str) -> None:
    assert client_address(peer, forwarded, TRUSTED) == client


def test_without_proxies_of_ours_nobody_is_believed() -> None:
    assert Settings().trusted_proxies == []
    assert client_address("10.0.0.1", ["192.0.2.1"], []) == "10.0.0.1"


def test_proxies_come_from_the_environment_and_a_mistake_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCTAVIA_TRUSTED_PROXIES", '["10.0.0.0/8", "fd00::/8"]')
    assert Settings().trusted_proxies == TRUSTED
    monkeypatch.setenv("OCTAVIA_TRUSTED_PROXIES", '["10.0.0/8"]')
    with pytest.raises(ValidationError, match="trusted_proxies"):
        Settings()
