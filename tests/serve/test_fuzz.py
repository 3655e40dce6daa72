"""Broken requests over both transports: each is answered in time, with a reason, and nothing comes to harm."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import httpx
import pytest
from tritonclient.grpc import service_pb2

from tests.fixtures_model_plane import Plane
from tests.serve.mutations import GOOD, broken_message, broken_post

HANG_S = 60.0
METHOD = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
REFUSALS = {"INVALID_ARGUMENT", "NOT_FOUND", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"}
REFUSED = {400, 404, 415, 429, 504}


@pytest.fixture(scope="module")
def over_grpc(model_plane: str) -> Iterator[Any]:
    """The RPC, taking and giving bytes as they are."""
    with grpc.insecure_channel(model_plane) as channel:
        yield channel.unary_unary(METHOD)


@pytest.fixture(scope="module")
def over_http(plane: Plane) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{plane.ready['http']}", timeout=HANG_S) as client:
        yield client


@pytest.fixture
def unharmed(plane: Plane, over_grpc: Any) -> Iterator[None]:
    """Afterwards the replicas are the same processes and answer good requests as before."""

    def answers() -> list[Any]:
        asked = [over_grpc(call.message().SerializeToString(), timeout=HANG_S) for call in GOOD.values()]
        return [service_pb2.ModelInferResponse.FromString(answer) for answer in asked]

    def pids() -> list[set[int]]:
        return [{process.pid for process in plane.replicas(name)} for name in (*GOOD, "protocol")]

    before = answers(), pids()
    yield
    assert (answers(), pids()) == before


def ask_grpc(rpc: Any, chosen: random.Random, case: str) -> None:
    data = broken_message(chosen)
    answer = rpc.future(data, timeout=HANG_S)
    code, reason = answer.code(), answer.details()
    if code != grpc.StatusCode.OK:
        assert code.name in REFUSALS, (case, data[:300], code, reason)
        assert reason.strip(), (case, data[:300])


def ask_http(client: httpx.Client, chosen: random.Random, case: str) -> None:
    path, headers, body = broken_post(chosen)
    answer = client.post(path, headers=headers, content=body)
    if answer.status_code != 200:
        assert answer.status_code in REFUSED, (case, headers, body[:300], answer.status_code, answer.text)
        assert answer.json()["error"].strip(), (case, headers, body[:300])


def fuzz(ask: Callable[[random.Random, str], None], seed: str, count: int) -> None:
    """`count` requests, each from a seed of its own that the failure names."""
    for number in range(count):
        case = f"{seed} {number}"
        ask(random.Random(case), case)


@pytest.mark.usefixtures("unharmed")
def test_broken_messages_are_refused_with_a_reason_and_harm_nothing(over_grpc: Any) -> None:
    fuzz(lambda chosen, case: ask_grpc(over_grpc, chosen, case), "grpc", 200)


@pytest.mark.usefixtures("unharmed")
def test_broken_posts_are_refused_with_a_reason_and_harm_nothing(over_http: httpx.Client) -> None:
    fuzz(lambda chosen, case: ask_http(over_http, chosen, case), "http", 200)


def test_a_stream_answers_each_broken_message_and_goes_on(model_plane: str) -> None:
    count = 50
    messages = [broken_message(random.Random(f"stream {number}")) for number in range(count)]
    with grpc.insecure_channel(model_plane) as channel:
        answers = list(channel.stream_stream(STREAM)(iter(messages), timeout=HANG_S))
    assert len(answers) == count
    for answer in map(service_pb2.ModelStreamInferResponse.FromString, answers):
        refusal, _, reason = answer.error_message.partition("] ")
        assert not answer.error_message or (refusal[1:] in REFUSALS and reason)


@pytest.mark.soak
@pytest.mark.usefixtures("unharmed")
def test_ten_thousand_broken_requests_harm_nothing(over_grpc: Any, over_http: httpx.Client) -> None:
    fuzz(lambda chosen, case: ask_grpc(over_grpc, chosen, case), "grpc soak", 5000)
    fuzz(lambda chosen, case: ask_http(over_http, chosen, case), "http soak", 5000)
