"""Calls of one client take turns over all proxies that its address names, and pass over one that is gone."""

from collections import Counter
from collections.abc import AsyncIterator

import grpc
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2, service_pb2_grpc

from orchestrator.inference import Inference

pytestmark = pytest.mark.anyio
HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
assert triton


class Proxy(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    def __init__(self, host: str, asked: Counter[str]) -> None:
        self._host = host
        self._asked = asked

    async def ServerReady(self, request: object, context: object) -> object:
        self._asked[self._host] += 1
        return service_pb2.ServerReadyResponse(ready=True)


@pytest.fixture
async def proxies() -> AsyncIterator[tuple[str, Counter[str], dict[str, grpc.aio.Server]]]:
    """Three servers of the protocol; the address that names them, who was asked, and the servers."""
    asked: Counter[str] = Counter()
    servers = {}
    ends = []
    for host in HOSTS:
        server = grpc.aio.server()
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Proxy(host, asked), server)
        ends.append(f"{host}:{server.add_insecure_port(f'{host}:0')}")
        await server.start()
        servers[host] = server
    yield f"ipv4:{','.join(ends)}", asked, servers
    for server in servers.values():
        await server.stop(None)


async def test_calls_take_turns_over_all_proxies_and_pass_over_one_that_is_gone(
    proxies: tuple[str, Counter[str], dict[str, grpc.aio.Server]],
) -> None:
    address, asked, servers = proxies
    async with Inference(address) as models:
        while set(asked) != set(HOSTS):  # the first connections do not come up at once
            assert await models.is_ready()
        asked.clear()
        for _ in range(30):
            assert await models.is_ready()
        assert asked == dict.fromkeys(HOSTS, 10)
        await servers["127.0.0.2"].stop(None)
        asked.clear()
        answers = [await models.is_ready() for _ in range(30)]
    assert asked["127.0.0.2"] == 0
    assert asked["127.0.0.1"] > 5
    assert asked["127.0.0.3"] > 5
    assert answers.count(False) <= 1
