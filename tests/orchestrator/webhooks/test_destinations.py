"""Where webhooks may go: every way of naming a place that only the server reaches is refused."""

import pytest
from pydantic import SecretStr

from orchestrator.settings import Settings
from orchestrator.settings_check import missing
from orchestrator.webhooks.destinations import Allowed, UnfitUrlError, all_allowed, destination

PUBLIC = Allowed(local=False, ports=frozenset({443, 8443}), blocked=())
LOCAL = Allowed(local=True, ports=frozenset({443}), blocked=())


@pytest.mark.parametrize(
    ("given", "called"),
    [
        ("https://example.org", "https://example.org/"),
        ("https://Example.ORG./a?b=c", "https://example.org/a?b=c"),
        ("https://example.org:8443/hook", "https://example.org:8443/hook"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://93.184.215.14/", "https://93.184.215.14/"),
        ("https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/x", "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/x"),
    ],
)
def test_a_public_place_is_taken(given: str, called: str) -> None:
    assert destination(given, PUBLIC).url == called


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/",
        "ftp://example.org/",
        "file:///etc/passwd",
        "gopher://example.org/",
        "//example.org/",
        "example.org",
        "",
        "https://",
        "https:///path",
        "https://exa mple.org/",
        "https://user:secret@example.org/",
        "https://example.org@127.0.0.1/",
        "https://example.org/#part",
        "https://example.org:22/",
        "https://example.org:0/",
        "https://example.org:99999/",
        "https://localhost/",
        "https://LOCALHOST./",
        "https://a.localhost/",
        "https://printer.local/",
        "https://metadata.google.internal/",
        "https://router.home.arpa/",
        "https://database/",
        "https://hidden.onion/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://0177.0.0.1/",
        "https://127.0.0.1./",
        "https://0/",
        "https://0.0.0.0/",
        "https://10.0.0.1/",
        "https://172.16.0.1/",
        "https://172.31.255.255/",
        "https://192.168.1.1/",
        "https://100.64.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://168.63.129.16/",
        "https://198.18.0.1/",
        "https://224.0.0.1/",
        "https://255.255.255.255/",
        "https://[::1]/",
        "https://[::]/",
        "https://[fe80::1]/",
        "https://[fe80::1%25eth0]/",
        "https://[fc00::1]/",
        "https://[fd00:ec2::254]/",
        "https://[ff02::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://[::ffff:7f00:1]/",
        "https://[64:ff9b::a9fe:a9fe]/",
        "https://[64:ff9b:1::1]/",
        "https://[2002:7f00:1::]/",
        "https://[2001:0:7f00:1::]/",
        "https://①②⑦.⓪.⓪.①/",
        "https://127。0。0。1/",
        "https://example.org\\@127.0.0.1/",
        "https://example.org\r\nHost: 127.0.0.1/",
        "https://" + "a" * 2_000 + ".org/",
    ],
)
def test_no_other_place_is_taken(url: str) -> None:
    with pytest.raises(UnfitUrlError) as refused:
        destination(url, PUBLIC)
    assert refused.value.status == 422


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000/x", "http://localhost:1/", "https://[::1]:5/"])
def test_for_development_this_machine_is_a_place_too(url: str) -> None:
    assert destination(url, LOCAL).url == url


@pytest.mark.parametrize("url", ["http://10.0.0.1/", "http://169.254.169.254/", "http://[fe80::1]/", "http://0.0.0.0/"])
def test_and_no_other_machine_of_the_network(url: str) -> None:
    with pytest.raises(UnfitUrlError):
        destination(url, LOCAL)


def test_the_operators_own_networks_are_refused_too() -> None:
    settings = Settings.model_validate({"webhook_blocked": ["93.184.0.0/16"]})
    with pytest.raises(UnfitUrlError):
        destination("https://93.184.215.14/", Allowed.from_settings(settings))


@pytest.mark.parametrize(
    ("found", "good"),
    [
        (["93.184.215.14"], True),
        (["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"], True),
        (["93.184.215.14", "10.0.0.1"], False),
        (["::ffff:10.0.0.1"], False),
        (["not an address"], False),
        ([], False),
    ],
)
def test_one_bad_address_spoils_a_name(found: list[str], good: bool) -> None:
    assert all_allowed(found, PUBLIC) is good


def test_production_does_not_start_with_local_webhooks() -> None:
    said = missing(Settings(mode="production", jwt_secret=SecretStr("s" * 40), webhooks_local=True))
    assert any("OCTAVIA_WEBHOOKS_LOCAL" in each for each in said)
