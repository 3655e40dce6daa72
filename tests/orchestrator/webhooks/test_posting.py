"""One request to an endpoint: pinned to the address that was checked, and led nowhere else."""

import time
from collections import deque
from collections.abc import Iterator, Sequence

import httpcore
import pytest

from orchestrator.webhooks.destinations import Allowed, Destination, destination
from orchestrator.webhooks.network import CheckedBackend, NowhereError
from orchestrator.webhooks.posting import MOST_READ_BYTES, NotDeliveredError, post
from tests.standins.hook import HookReceiver, Reply

pytestmark = pytest.mark.anyio

PUBLIC = Allowed(local=False, ports=frozenset({443}), blocked=())
LOCAL = Allowed(local=True, ports=frozenset({443}), blocked=())
HEADERS = {"webhook-id": "1"}


class NameServer:
    """Answers what it is told to, in turn: the last one for ever. Counts how often it was asked."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = deque(answers)
        self.asked: list[str] = []

    async def __call__(self, name: str) -> Sequence[str]:
        self.asked.append(name)
        return self.answers.popleft() if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def receiver() -> Iterator[HookReceiver]:
    with HookReceiver() as running:
        yield running


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.1.2.3"],
        ["169.254.169.254"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["fe80::1"],
        ["93.184.215.14", "127.0.0.1"],
        [],
    ],
)
async def test_a_name_that_leads_inside_is_not_connected_to(receiver: HookReceiver, addresses: list[str]) -> None:
    to = Destination(secure=False, host="rebound.example.org", port=receiver.port, target="/")
    with pytest.raises(NotDeliveredError, match="does not lead to a public address"):
        await post(to, b"{}", HEADERS, allowed=PUBLIC, timeout_s=60, resolve=NameServer(addresses))
    assert receiver.calls == []


async def test_a_name_is_asked_for_once_and_its_address_is_the_one_connected_to() -> None:
    """What a name leads to at the second look (rebinding) is never seen."""
    connected: list[str] = []

    class Inner(httpcore.AsyncNetworkBackend):
        async def connect_tcp(self, host: str, *_: object, **__: object) -> httpcore.AsyncNetworkStream:
            connected.append(host)
            raise httpcore.ConnectError("nothing there")

    names = NameServer(["93.184.215.14"], ["127.0.0.1"])
    with pytest.raises(httpcore.ConnectError):
        await CheckedBackend(PUBLIC, names, Inner()).connect_tcp("example.org", 443)
    assert (names.asked, connected) == (["example.org"], ["93.184.215.14"])


async def test_each_address_of_a_name_is_tried() -> None:
    connected: list[str] = []

    class Inner(httpcore.AsyncNetworkBackend):
        async def connect_tcp(self, host: str, *_: object, **__: object) -> httpcore.AsyncNetworkStream:
            connected.append(host)
            raise httpcore.ConnectError("nothing there")

    both = ["2606:2800:21f:cb07:6820:80da:af6b:8b2c", "93.184.215.14"]
    with pytest.raises(httpcore.ConnectError):
        await CheckedBackend(PUBLIC, NameServer(both), Inner()).connect_tcp("example.org", 443)
    assert connected == both


async def test_no_unix_socket_is_connected_to() -> None:
    with pytest.raises(NowhereError):
        await CheckedBackend(LOCAL, NameServer([])).connect_unix_socket("/run/docker.sock")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(receiver: HookReceiver, status: int) -> None:
    receiver.then = Reply(status, {"Location": f"http://127.0.0.1:{receiver.port}/inside"})
    answer = await post(destination(receiver.url, LOCAL), b"{}", HEADERS, allowed=LOCAL, timeout_s=60)
    assert (answer.status_code, answer.taken) == (status, False)
    assert [call.path for call in receiver.calls] == ["/hook"]


async def test_a_proxy_of_the_environment_is_not_asked(receiver: HookReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert (await post(destination(receiver.url, LOCAL), b"{}", HEADERS, allowed=LOCAL, timeout_s=60)).taken


async def test_of_an_answer_only_the_beginning_is_read(receiver: HookReceiver) -> None:
    receiver.then = Reply(500, body=b"\x1b[31mno\r\n" * 2_000_000)
    answer = await post(destination(receiver.url, LOCAL), b"{}", HEADERS, allowed=LOCAL, timeout_s=60)
    assert answer.excerpt.startswith("[31mno [31mno")
    assert len(answer.excerpt) <= 200 < MOST_READ_BYTES


async def test_a_slow_endpoint_is_left(receiver: HookReceiver) -> None:
    receiver.then = Reply(seconds=3.0)
    began = time.monotonic()
    with pytest.raises(NotDeliveredError, match=r"no answer within 0\.2 s"):
        await post(destination(receiver.url, LOCAL), b"{}", HEADERS, allowed=LOCAL, timeout_s=0.2)
    assert time.monotonic() - began < 60


async def test_whoever_hangs_up_has_not_taken_it(receiver: HookReceiver) -> None:
    receiver.then = Reply(0)
    with pytest.raises(NotDeliveredError, match="no connection"):
        await post(destination(receiver.url, LOCAL), b"{}", HEADERS, allowed=LOCAL, timeout_s=60)
