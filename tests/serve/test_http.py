"""The Open Inference Protocol over HTTP: unmodified tritonclients, and bytes they would not send."""

import asyncio
import gzip
import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

from serve.protocol.http import STATUS
from tests.fixtures_model_plane import Plane
from tests.serve.wire import BAD, recording, sentence

MODELS = ["coqui_tts", "opus_mt", "speech_to_speech", "vad", "whisper"]
GREETING = {"TEXT": "¡Buenos días!", "SOURCE": "es", "TARGET": "en"}


@pytest.fixture(scope="module")
def address(plane: Plane) -> str:
    return str(plane.ready["http"])


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(address) as client:
        yield client


@pytest.fixture(scope="module")
def plain(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{address}", timeout=60) as client:
        yield client


def tensor(name: str, array: Any, kind: str = "FP32", *, binary: bool = True) -> triton.InferInput:
    made = triton.InferInput(name, list(array.shape), kind)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def texts(values: dict[str, str], *, binary: bool = True) -> list[triton.InferInput]:
    arrays = {name: np.array([[text.encode()]], np.object_) for name, text in values.items()}
    return [tensor(name, array, "BYTES", binary=binary) for name, array in arrays.items()]


def test_server_and_models_are_live_and_ready(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert all(client.is_model_ready(model) and client.is_model_ready(model, "1") for model in MODELS)
    assert not client.is_model_ready("nope")


def test_both_transports_tell_the_same(
    client: triton.InferenceServerClient, triton_client: triton_grpc.InferenceServerClient
) -> None:
    over_grpc = triton_client.get_server_metadata()
    assert client.get_server_metadata() == {
        "name": over_grpc.name,
        "version": over_grpc.version,
        "extensions": list(over_grpc.extensions),
    }
    index = triton_client.get_model_repository_index(as_json=True)["models"]
    assert client.get_model_repository_index() == index
    for model in MODELS:
        metadata = triton_client.get_model_metadata(model, as_json=True)
        told = client.get_model_metadata(model)
        assert [entry["name"] for entry in told["inputs"]] == [entry["name"] for entry in metadata["inputs"]]
        assert [entry["shape"] for entry in told["outputs"]] == [
            [int(length) for length in entry["shape"]] for entry in metadata["outputs"]
        ]
        config = client.get_model_config(model)
        assert config["max_batch_size"] == triton_client.get_model_config(model).config.max_batch_size
        assert json.loads(config["parameters"]["catalogue"]["string_value"])


def test_numbers_of_64_bits_are_numbers_in_the_configuration(client: triton.InferenceServerClient) -> None:
    config = client.get_model_config("opus_mt")
    assert config["dynamic_batching"]["max_queue_delay_microseconds"] == 5000
    assert config["input"][0]["dims"] == [1]


@pytest.mark.parametrize("binary", [True, False])
def test_text_is_answered_alike_in_json_and_in_binary(client: triton.InferenceServerClient, binary: bool) -> None:
    inputs = texts({**GREETING, "TEXT": "Buenos días."}, binary=binary)
    outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("TRANSLATIONS", "SCORES")]
    asked = client.infer("opus_mt", inputs, outputs=outputs, request_id="día 1")
    default = client.infer("opus_mt", inputs)
    assert asked.get_response()["id"] == "día 1"
    assert "id" not in default.get_response()
    assert default.as_numpy("TRANSLATIONS").tolist() == [[b"Good morning."]]
    assert asked.as_numpy("TRANSLATIONS").tolist() == [[b"Good morning." if binary else "Good morning."]]
    np.testing.assert_array_equal(asked.as_numpy("SCORES"), default.as_numpy("SCORES"))
    for output in ("TRANSLATIONS", "SCORES"):
        described = asked.get_output(output)
        assert ("data" in described, "parameters" in described) == (not binary, binary)


def test_http_and_grpc_answer_with_the_same_samples(
    client: triton.InferenceServerClient, triton_client: triton_grpc.InferenceServerClient
) -> None:
    over_http = client.infer("coqui_tts", texts({"TEXT": "Hello."}))
    same = triton_grpc.InferInput("TEXT", [1, 1], "BYTES")
    same.set_data_from_numpy(np.array([[b"Hello."]], np.object_))
    over_grpc = triton_client.infer("coqui_tts", [same])
    for output in ("AUDIO", "NUM_SAMPLES", "SAMPLE_RATE", "SECONDS"):
        np.testing.assert_array_equal(over_http.as_numpy(output), over_grpc.as_numpy(output))


def test_optional_tensors_may_be_sent_or_left_out(client: triton.InferenceServerClient) -> None:
    silence = tensor("AUDIO", np.zeros((1, 8000), np.float32))
    assert client.infer("whisper", [silence]).as_numpy("TEXT").shape == (1, 1)
    with_language = client.infer("whisper", [silence, *texts({"LANGUAGE": "es"})])
    assert with_language.as_numpy("LANGUAGE").tolist() == [[b"es"]]


def test_requests_may_wait_side_by_side(address: str) -> None:
    with triton.InferenceServerClient(address, concurrency=4) as several:
        waiting = [several.async_infer("vad", [tensor("AUDIO", np.zeros(512 * n, np.float32))]) for n in range(1, 5)]
        assert [one.get_result().as_numpy("PROBABILITY").shape for one in waiting] == [(1,), (2,), (3,), (4,)]


@pytest.mark.parametrize("sent", [None, "gzip", "deflate"])
@pytest.mark.parametrize("wanted", [None, "gzip", "deflate"])
def test_bodies_may_be_compressed_either_way(
    client: triton.InferenceServerClient, sent: str | None, wanted: str | None
) -> None:
    answer = client.infer(
        "vad",
        [tensor("AUDIO", np.zeros(512 * 600, np.float32))],
        request_compression_algorithm=sent,
        response_compression_algorithm=wanted,
    )
    assert answer.as_numpy("PROBABILITY").shape == (600,)


def test_only_who_asks_for_compression_gets_it(plain: httpx.Client) -> None:
    headers, body = recording(512 * 600).body()
    for wanted, got in (("gzip", "gzip"), ("br, deflate;q=0.5", "deflate"), ("gzip;q=0", None), ("identity", None)):
        sent = {**headers, "Accept-Encoding": wanted}
        with plain.stream("POST", "/v2/models/vad/infer", headers=sent, content=body) as answer:
            assert answer.headers.get("Content-Encoding") == got
            assert (len(b"".join(answer.iter_raw())) < 2000) == (got is not None)


def test_an_unmodified_asynchronous_client_is_answered_as_well(address: str) -> None:
    async def ask() -> tuple[Any, ...]:
        async with triton_aio.InferenceServerClient(address) as client:
            answers = await asyncio.gather(
                client.infer("opus_mt", texts(GREETING), request_id="a1"),
                client.infer("vad", [tensor("AUDIO", np.zeros(512 * 600, np.float32))]),
            )
            statistics = await client.get_inference_statistics("vad", "1")
            return *answers, await client.is_server_ready(), statistics, await client.get_model_config("vad")

    translated, heard, ready, statistics, config = asyncio.run(ask())
    assert ready
    assert translated.get_response()["id"] == "a1"
    assert heard.as_numpy("PROBABILITY").shape == (600,)
    assert statistics["model_stats"][0]["inference_count"] >= 1
    assert config["name"] == "vad"


def test_the_parameter_timeout_is_in_microseconds_and_heeded(client: triton.InferenceServerClient) -> None:
    silence = [tensor("AUDIO", np.zeros(512, np.float32))]
    assert client.infer("vad", silence, timeout=30_000_000).as_numpy("PROBABILITY").shape == (1,)
    with pytest.raises(InferenceServerException, match="ran out") as caught:
        client.infer("vad", silence, timeout=1)
    assert caught.value.status() == "504"


def test_statistics_over_http_are_those_of_grpc(
    client: triton.InferenceServerClient, triton_client: triton_grpc.InferenceServerClient
) -> None:
    client.infer("vad", [tensor("AUDIO", np.zeros(512, np.float32))])
    (told,) = client.get_inference_statistics("vad")["model_stats"]
    (same,) = triton_client.get_inference_statistics("vad").model_stats
    assert told["inference_count"] == same.inference_count > 0
    assert told["inference_stats"]["success"] == {
        "count": same.inference_stats.success.count,
        "ns": same.inference_stats.success.ns,
    }
    assert [entry["batch_size"] for entry in told["batch_stats"]] == [each.batch_size for each in same.batch_stats]
    assert [model["name"] for model in client.get_inference_statistics()["model_stats"]] == MODELS


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_is_refused_with_its_status_and_its_reason(plain: httpx.Client, case: str) -> None:
    call, code, complaint = BAD[case]
    headers, body = call.body()
    answer = plain.post(call.path, headers=headers, content=body)
    assert (answer.status_code, answer.headers["Content-Type"]) == (STATUS[code], "application/json")
    assert complaint in answer.json()["error"]


def test_nested_data_means_the_same_as_flat_data(plain: httpx.Client) -> None:
    def ask(data: Any) -> Any:
        named = [{"name": "TEXT", "datatype": "BYTES", "shape": [2, 1], "data": data}]
        named += [
            {"name": name, "datatype": "BYTES", "shape": [2, 1], "data": [text, text]}
            for name, text in (("SOURCE", "en"), ("TARGET", "es"))
        ]
        return plain.post("/v2/models/opus_mt/infer", json={"inputs": named}).json()["outputs"]

    assert ask(["Hello.", "Good morning."]) == ask([["Hello."], ["Good morning."]])
    assert ask(["Hello.", "Good morning."])[0]["data"] == ["Hola.", "Buenos días."]


def test_a_text_is_spoken_and_samples_are_heard_without_any_json(plain: httpx.Client) -> None:
    raw = {"Inference-Header-Content-Length": "0"}
    spoken = plain.post("/v2/models/coqui_tts/infer", headers=raw, content="Hi.").json()
    assert [output["name"] for output in spoken["outputs"]] == ["AUDIO", "NUM_SAMPLES", "SAMPLE_RATE", "SECONDS"]
    heard = plain.post("/v2/models/vad/infer", headers=raw, content=bytes(4 * 512)).json()
    assert [output["shape"] for output in heard["outputs"]] == [[0, 2], [1]]
    refused = plain.post("/v2/models/opus_mt/infer", headers=raw, content="Hi.")
    assert "opus_mt needs TEXT, SOURCE, TARGET" in refused.json()["error"]


def test_what_is_not_offered_is_said_in_the_protocols_form(client: triton.InferenceServerClient) -> None:
    for question in (
        lambda: client.load_model("vad"),
        lambda: client.unload_model("vad"),
        client.get_system_shared_memory_status,
        client.get_cuda_shared_memory_status,
        client.get_log_settings,
        client.get_trace_settings,
        lambda: client.update_trace_settings("vad", {}),
    ):
        with pytest.raises(InferenceServerException, match="this server does not offer") as caught:
            question()
        assert caught.value.status() == "501"


@pytest.mark.parametrize(
    ("method", "path", "status", "complaint"),
    [
        ("GET", "/", 404, "served under /v2"),
        ("GET", "/v2/model/vad", 404, "there is no GET /v2/model/vad"),
        ("POST", "/v2/health/live", 405, "wrong method: POST /v2/health/live"),
        ("GET", "/v2/models/vad/infer", 405, "wrong method"),
        ("DELETE", "/v2/models/vad", 405, "wrong method"),
        ("GET", "/v2/models/nope", 404, "there is no model 'nope'"),
        ("GET", "/v2/models/vad/versions/2/config", 404, "no version '2'"),
        ("GET", "/v2/models/nope/stats", 404, "there is no model 'nope'"),
        ("GET", "/v2/models/nope/ready", 404, "there is no model 'nope'"),
        ("POST", "/v2/models/nope/infer", 404, "there is no model 'nope'"),
    ],
)
def test_other_paths_and_methods_are_refused_by_name(
    plain: httpx.Client, method: str, path: str, status: int, complaint: str
) -> None:
    answer = plain.request(method, path)
    assert answer.status_code == status
    assert complaint in answer.json()["error"]
    assert ("Allow" in answer.headers) == (status == 405)


def test_a_body_over_the_limit_is_refused_before_it_is_sent(address: str) -> None:
    host, _, port = address.partition(":")
    head = (
        f"POST /v2/models/vad/infer HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\nContent-Length: {2**40}\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(head.encode())
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"larger than the 134217728 bytes" in answer


def test_a_body_that_grows_over_the_limit_is_refused_and_harms_no_replica(plain: httpx.Client, plane: Plane) -> None:
    before = [process.pid for process in plane.replicas("protocol")]
    piece = bytes(2**20)
    answer = plain.post("/v2/models/vad/infer", content=(piece for _ in range(130)))
    assert answer.status_code == 413
    assert "larger than the 134217728 bytes" in answer.json()["error"]
    assert [process.pid for process in plane.replicas("protocol")] == before


def test_a_body_that_inflates_over_the_limit_is_refused(plain: httpx.Client) -> None:
    bomb = gzip.compress(bytes(129 * 2**20), 1)
    assert len(bomb) < 2**20
    answer = plain.post("/v2/models/vad/infer", content=bomb, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 413


def test_good_requests_are_answered_after_all_the_bad_ones(plain: httpx.Client) -> None:
    headers, body = sentence().body()
    answer = plain.post("/v2/models/opus_mt/infer", headers=headers, content=body)
    assert answer.status_code == 200
    head = int(answer.headers["Inference-Header-Content-Length"])
    assert json.loads(answer.content[:head])["outputs"][0]["name"] == "TRANSLATIONS"
