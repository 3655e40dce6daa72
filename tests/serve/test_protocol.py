"""The Open Inference Protocol over gRPC: an unmodified tritonclient, and its messages for what it would not send."""

import asyncio
import json
import queue
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from serve.protocol.grpc import GrpcService
from tests.fixtures_model_plane import Plane
from tests.serve.wire import BAD, Call, floats, recording, sentence

Tensor = Callable[[str, Any, str], triton.InferInput]
MODELS = ["coqui_tts", "opus_mt", "speech_to_speech", "vad", "whisper"]
INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture(scope="module")
def stub(model_plane: str) -> Iterator[service_pb2_grpc.GRPCInferenceServiceStub]:
    limits = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(model_plane, options=limits) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def test_server_and_models_are_live_and_ready(triton_client: triton.InferenceServerClient) -> None:
    assert triton_client.is_server_live()
    assert triton_client.is_server_ready()
    assert all(triton_client.is_model_ready(model) and triton_client.is_model_ready(model, "1") for model in MODELS)


def test_the_repository_index_names_every_model_as_ready(triton_client: triton.InferenceServerClient) -> None:
    index = triton_client.get_model_repository_index(as_json=True)["models"]
    served = [model for model in index if model["state"] == "READY"]
    assert sorted(served, key=lambda model: model["name"]) == [
        {"name": model, "version": "1", "state": "READY"} for model in MODELS
    ]


def test_models_without_weights_are_in_the_index_with_the_reason_and_nowhere_else(
    triton_client: triton.InferenceServerClient,
) -> None:
    index = triton_client.get_model_repository_index(as_json=True)["models"]
    missing = {model["name"]: model["reason"] for model in index if model["state"] == "UNAVAILABLE"}
    assert {name: reason.split(" to ")[0] for name, reason in missing.items()} == {
        "align": "no weights configured: set OCTAVIA_ALIGN",
        "diarize": "no weights configured: set OCTAVIA_DIARIZE",
        "separate": "no weights configured: set OCTAVIA_SEPARATE",
        "speech_quality": "no weights configured: set OCTAVIA_SPEECH_QUALITY",
        "speaker_embedding": "no weights configured: set OCTAVIA_SPEAKER_EMBEDDING",
    }
    with pytest.raises(InferenceServerException, match="'align' is not served: no weights configured") as refused:
        triton_client.get_model_metadata("align")
    assert refused.value.status() == "StatusCode.NOT_FOUND"
    assert triton_client.is_server_ready()


def test_metadata_is_that_of_the_configuration(triton_client: triton.InferenceServerClient) -> None:
    assert triton_client.get_server_metadata().name == "octavia"
    for model in MODELS:
        metadata = triton_client.get_model_metadata(model)
        config = triton_client.get_model_config(model).config
        assert [tensor.name for tensor in metadata.inputs] == [tensor.name for tensor in config.input]
        assert [tensor.name for tensor in metadata.outputs] == [tensor.name for tensor in config.output]
        batch = [-1] if config.max_batch_size else []
        assert list(metadata.inputs[0].shape) == batch + list(config.input[0].dims)


def test_the_configuration_says_what_the_loaded_weights_can_do(triton_client: triton.InferenceServerClient) -> None:
    def catalogue(model: str) -> list[dict[str, Any]]:
        config = triton_client.get_model_config(model).config
        return list(json.loads(config.parameters["catalogue"].string_value))

    (whisper,) = catalogue("whisper")
    assert {"en", "es", "de"} <= set(whisper["languages"])
    pairs = {(entry["source"], entry["target"]) for entry in catalogue("opus_mt")}
    assert pairs >= {("en", "es"), ("es", "en"), ("en", "de")}
    assert all(entry["toy"] and not entry["paid_use"] for entry in catalogue("opus_mt"))
    voice = next(entry for entry in catalogue("coqui_tts") if entry["language"] == "en")
    assert voice["stand_in_for"] == "*"
    assert voice["sample_rate"] == 22_050
    assert 5 < voice["characters_per_second"] < 30
    assert len(voice["licence_chain"]) >= 2


def test_an_unmodified_asynchronous_client_is_answered_as_well(model_plane: str, make_tensor: Tensor) -> None:
    async def ask() -> tuple[bool, Any]:
        async with triton_aio.InferenceServerClient(model_plane) as client:
            answer = await client.infer("vad", [make_tensor("AUDIO", np.zeros(16_000), "FP32")], request_id="a1")
            return await client.is_server_ready(), answer

    ready, answer = asyncio.run(ask())
    assert ready
    assert answer.get_response().id == "a1"
    assert answer.as_numpy("SPEECH").shape == (0, 2)


def test_a_stream_answers_each_request_and_survives_a_bad_one(model_plane: str, make_tensor: Tensor) -> None:
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    with triton.InferenceServerClient(model_plane) as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        client.async_stream_infer("vad", [make_tensor("AUDIO", np.zeros(16_000), "FP32")], request_id="1")
        client.async_stream_infer("vad", [make_tensor("AUDIO", [[0.0]], "FP32")], request_id="2")
        client.async_stream_infer("vad", [make_tensor("AUDIO", np.zeros(512), "FP32")], request_id="3")
        (first, _), (_, refused), (third, _) = (answers.get(timeout=60) for _ in range(3))
        client.stop_stream()
    assert first.as_numpy("PROBABILITY").shape == (32,)
    assert "INVALID_ARGUMENT" in str(refused)
    assert "AUDIO: expected shape [-1]" in str(refused)
    assert third.as_numpy("PROBABILITY").shape == (1,)


def test_only_the_outputs_asked_for_come_back(triton_client: triton.InferenceServerClient, make_tensor: Tensor) -> None:
    audio = make_tensor("AUDIO", np.zeros(1024), "FP32")
    answer = triton_client.infer("vad", [audio], outputs=[triton.InferRequestedOutput("PROBABILITY")])
    assert [output.name for output in answer.get_response().outputs] == ["PROBABILITY"]


def test_typed_contents_are_read_like_raw_ones(stub: Any) -> None:
    typed = service_pb2.ModelInferRequest(model_name="opus_mt", id="t")
    for name, text in (("TEXT", b"Hello."), ("SOURCE", b"en"), ("TARGET", b"es")):
        typed.inputs.add(name=name, datatype="BYTES", shape=[1, 1]).contents.bytes_contents.append(text)
    assert stub.ModelInfer(typed).raw_output_contents == stub.ModelInfer(sentence().message()).raw_output_contents


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_is_refused_with_its_status_and_its_reason(stub: Any, case: str) -> None:
    call, code, complaint = BAD[case]
    refused(stub, call.message(), grpc.StatusCode[code.value], complaint)


def refused(stub: Any, message: Any, status: grpc.StatusCode, complaint: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(message, timeout=60)
    assert caught.value.code() == status
    assert complaint in caught.value.details()
    assert "Traceback" not in caught.value.details()


def both_contents() -> Any:
    message = recording(1).message()
    message.inputs[0].contents.fp32_contents.append(0)
    return message


def wrong_field() -> Any:
    message = service_pb2.ModelInferRequest(model_name="vad")
    message.inputs.add(name="AUDIO", datatype="FP32", shape=[1]).contents.int_contents.append(0)
    return message


def too_few_raw() -> Any:
    message = sentence().message()
    message.inputs.add(name="NUM_HYPOTHESES", datatype="INT32", shape=[1, 1])
    return message


def shared_memory() -> Any:
    message = service_pb2.ModelInferRequest(model_name="vad")
    message.inputs.add(name="AUDIO", datatype="FP32", shape=[1]).parameters["shared_memory_region"].string_param = "x"
    return message


BAD_MESSAGES: dict[str, tuple[Any, str]] = {
    "too few raw contents": (too_few_raw(), "raw_input_contents has 3 entries for 4 inputs"),
    "data in both places": (both_contents(), "both raw_input_contents and contents"),
    "typed contents in the wrong field": (wrong_field(), "belong into fp32_contents, found int_contents"),
    "shared memory": (shared_memory(), "shared memory is not supported"),
}


@pytest.mark.parametrize("case", BAD_MESSAGES)
def test_a_message_that_contradicts_itself_is_refused_with_its_reason(stub: Any, case: str) -> None:
    message, complaint = BAD_MESSAGES[case]
    refused(stub, message, INVALID, complaint)


def test_bytes_that_are_no_message_are_refused_with_a_reason(model_plane: str) -> None:
    with grpc.insecure_channel(model_plane) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(b"\xff\xff", timeout=60)
    assert caught.value.code() == INVALID
    assert "cannot be read" in caught.value.details()


def test_a_reason_stays_short_however_long_the_names_in_it(stub: Any) -> None:
    refused(stub, Call("vad", (floats("N" * 100_000, 0),)).message(), INVALID, "its inputs are AUDIO")


def test_unknown_models_are_not_found_by_every_question(triton_client: triton.InferenceServerClient) -> None:
    for question in (triton_client.get_model_metadata, triton_client.get_model_config):
        with pytest.raises(InferenceServerException, match="there is no model 'nope'") as caught:
            question("nope")
        assert caught.value.status() == "StatusCode.NOT_FOUND"


def test_what_the_server_does_not_offer_is_unimplemented(triton_client: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="does not offer") as caught:
        triton_client.load_model("vad")
    assert caught.value.status() == "StatusCode.UNIMPLEMENTED"
    methods = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
    assert all(hasattr(GrpcService, method.name) for method in methods)


def test_a_message_of_64_mb_passes_and_is_judged_by_its_content(stub: Any) -> None:
    refused(stub, recording(16 * 2**20).message(), INVALID, "1048.6 s of 16 kHz audio")


def test_a_message_over_the_limit_is_refused_and_harms_no_replica(stub: Any, plane: Plane) -> None:
    before = [process.pid for process in plane.replicas("protocol")]
    refused(stub, recording(33 * 2**20).message(), grpc.StatusCode.RESOURCE_EXHAUSTED, "larger than max")
    assert [process.pid for process in plane.replicas("protocol")] == before


def test_the_statistics_of_a_model_grow_with_its_inferences(
    triton_client: triton.InferenceServerClient, make_tensor: Tensor
) -> None:
    def counted() -> Any:
        (statistics,) = triton_client.get_inference_statistics("opus_mt").model_stats
        return statistics

    before = counted()
    texts = {"TEXT": "Hello.", "SOURCE": "en", "TARGET": "es"}
    triton_client.infer("opus_mt", [make_tensor(name, [[text]] * 2, "BYTES") for name, text in texts.items()])
    with pytest.raises(InferenceServerException, match="SOURCE, TARGET"):
        triton_client.infer("opus_mt", [make_tensor("TEXT", [["Hello."]], "BYTES")])
    after = counted()
    assert after.inference_count == before.inference_count + 2
    assert after.execution_count == before.execution_count + 1
    assert after.last_inference > before.last_inference
    assert after.inference_stats.success.count == before.inference_stats.success.count + 1
    assert after.inference_stats.fail.count == before.inference_stats.fail.count + 1
    for name in ("success", "queue", "compute_input", "compute_infer", "compute_output"):
        assert getattr(after.inference_stats, name).ns > getattr(before.inference_stats, name).ns, name


def test_statistics_of_no_model_in_particular_are_those_of_all(
    triton_client: triton.InferenceServerClient,
) -> None:
    told = [statistics.name for statistics in triton_client.get_inference_statistics().model_stats]
    assert told == MODELS


def test_good_requests_are_answered_after_all_the_bad_ones(stub: Any) -> None:
    assert stub.ModelInfer(sentence().message(), timeout=60).outputs[0].name == "TRANSLATIONS"
