"""The Open Inference Protocol over gRPC: an unmodified tritonclient, and its messages for what it would not send."""

import asyncio
import json
import queue
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from serve.protocol.grpc import GrpcService
from tests.fixtures_model_plane import Plane

Tensor = Callable[[str, Any, str], triton.InferInput]
MODELS = ["coqui_tts", "opus_mt", "vad", "whisper"]
INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND


@pytest.fixture(scope="module")
def stub(model_plane: str) -> Iterator[service_pb2_grpc.GRPCInferenceServiceStub]:
    limits = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(model_plane, options=limits) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def request(model: str, *tensors: tuple[str, str, list[int], bytes], **fields: Any) -> Any:
    message = service_pb2.ModelInferRequest(model_name=model, **fields)
    for name, datatype, shape, data in tensors:
        message.inputs.add(name=name, datatype=datatype, shape=shape)
        message.raw_input_contents.append(data)
    return message


def element(text: bytes) -> bytes:
    return len(text).to_bytes(4, "little") + text


def word(text: bytes) -> tuple[str, list[int], bytes]:
    """One row of one BYTES element."""
    return "BYTES", [1, 1], element(text)


def floats(*values: float) -> bytes:
    return np.array(values, np.float32).tobytes()


def test_server_and_models_are_live_and_ready(triton_client: triton.InferenceServerClient) -> None:
    assert triton_client.is_server_live()
    assert triton_client.is_server_ready()
    assert all(triton_client.is_model_ready(model) and triton_client.is_model_ready(model, "1") for model in MODELS)


def test_the_repository_index_names_every_model_as_ready(triton_client: triton.InferenceServerClient) -> None:
    index = triton_client.get_model_repository_index(as_json=True)["models"]
    assert sorted(index, key=lambda model: model["name"]) == [
        {"name": model, "version": "1", "state": "READY"} for model in MODELS
    ]


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
        (first, _), (_, refused), (third, _) = (answers.get(timeout=20) for _ in range(3))
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
    for name, text in (("TEXT", b"..."), ("SOURCE", b"en"), ("TARGET", b"es")):
        typed.inputs.add(name=name, datatype="BYTES", shape=[1, 1]).contents.bytes_contents.append(text)
    raw = request(
        "opus_mt",
        *((name, "BYTES", [1, 1], element(t)) for name, t in (("TEXT", b"..."), ("SOURCE", b"en"), ("TARGET", b"es"))),
    )
    assert stub.ModelInfer(typed).raw_output_contents == stub.ModelInfer(raw).raw_output_contents


def text_row(model: str, **changes: tuple[str, list[int], bytes]) -> Any:
    """A good request of opus_mt or coqui_tts with some tensors replaced."""
    good = {
        "opus_mt": {"TEXT": b"Hello.", "SOURCE": b"en", "TARGET": b"es"},
        "coqui_tts": {"TEXT": b"Hello."},
    }[model]
    tensors = {name: ("BYTES", [1, 1], element(text)) for name, text in good.items()} | changes
    return request(model, *((name, *rest) for name, rest in tensors.items()))


def window(seconds: float, **fields: Any) -> Any:
    return request("whisper", ("AUDIO", "FP32", [1, int(seconds * 16_000)], bytes(int(seconds * 16_000) * 4)), **fields)


def with_outputs(message: Any, *names: str) -> Any:
    for name in names:
        message.outputs.add(name=name)
    return message


def both_contents() -> Any:
    message = request("vad", ("AUDIO", "FP32", [1], floats(0)))
    message.inputs[0].contents.fp32_contents.append(0)
    return message


def wrong_field() -> Any:
    message = service_pb2.ModelInferRequest(model_name="vad")
    message.inputs.add(name="AUDIO", datatype="FP32", shape=[1]).contents.int_contents.append(0)
    return message


def too_few_raw() -> Any:
    message = request("opus_mt", ("TEXT", *word(b"a")))
    message.inputs.add(name="SOURCE", datatype="BYTES", shape=[1, 1])
    return message


def shared_memory() -> Any:
    message = service_pb2.ModelInferRequest(model_name="vad")
    message.inputs.add(name="AUDIO", datatype="FP32", shape=[1]).parameters["shared_memory_region"].string_param = "x"
    return message


BAD: dict[str, tuple[Any, grpc.StatusCode, str]] = {
    "unknown model": (request("nope"), NOT_FOUND, "no model 'nope'; this server has coqui_tts, opus_mt, vad, whisper"),
    "unknown version": (request("vad", model_version="7"), NOT_FOUND, "no version '7', only 1"),
    "no input": (request("vad"), INVALID, "vad needs input AUDIO"),
    "missing input": (request("opus_mt", ("TEXT", *word(b"a"))), INVALID, "SOURCE, TARGET"),
    "extra input": (request("vad", ("NOISE", "FP32", [1], floats(0))), INVALID, "no input 'NOISE'"),
    "wrong datatype": (request("vad", ("AUDIO", "INT16", [2], bytes(4))), INVALID, "expected datatype FP32, got INT16"),
    "unknown datatype": (request("vad", ("AUDIO", "FP99", [1], bytes(4))), INVALID, "got FP99"),
    "wrong rank": (request("vad", ("AUDIO", "FP32", [1, 1], floats(0))), INVALID, "expected shape [-1], got [1, 1]"),
    "negative shape": (request("vad", ("AUDIO", "FP32", [-4], floats(0))), INVALID, "negative"),
    "huge shape": (request("vad", ("AUDIO", "FP32", [2**60], floats(0))), INVALID, "4 bytes sent"),
    "truncated raw bytes": (
        request("vad", ("AUDIO", "FP32", [4], bytes(15))),
        INVALID,
        "15 bytes sent, shape [4] of FP32 needs 16",
    ),
    "too few raw contents": (too_few_raw(), INVALID, "raw_input_contents has 1 entries for 2 inputs"),
    "data in both places": (both_contents(), INVALID, "both raw_input_contents and contents"),
    "typed contents in the wrong field": (wrong_field(), INVALID, "belong into fp32_contents, found int_contents"),
    "shared memory": (shared_memory(), INVALID, "shared memory is not supported"),
    "lying length": (
        text_row("opus_mt", TEXT=("BYTES", [1, 1], b"\xff\0\0\0abc")),
        INVALID,
        "TEXT: element 0 at offset 0 claims 255",
    ),
    "bytes after the last element": (
        text_row("opus_mt", TEXT=("BYTES", [1, 1], element(b"a") + b"xx")),
        INVALID,
        "2 bytes follow",
    ),
    "not UTF-8": (text_row("opus_mt", TEXT=word(b"\xc3(")), INVALID, "TEXT row 0: not valid UTF-8"),
    "unequal batches": (
        text_row("opus_mt", TEXT=("BYTES", [2, 1], element(b"a") * 2)),
        INVALID,
        "SOURCE: batch of 1, but TEXT",
    ),
    "batch too large": (
        request("whisper", ("AUDIO", "FP32", [9, 10], bytes(360))),
        INVALID,
        "batch of 9, whisper takes 1 to 8",
    ),
    "empty batch": (request("whisper", ("AUDIO", "FP32", [0, 10], b"")), INVALID, "batch of 0"),
    "not a number": (
        request("vad", ("AUDIO", "FP32", [2], floats(0, float("nan")))),
        INVALID,
        "AUDIO: holds values that are not finite",
    ),
    "infinite speed": (
        text_row("coqui_tts", SPEED=("FP32", [1, 1], floats(float("inf")))),
        INVALID,
        "SPEED: holds values",
    ),
    "unknown output": (with_outputs(request("vad"), "NOPE"), INVALID, "vad has no output 'NOPE'"),
    "output asked for twice": (with_outputs(request("vad"), "SPEECH", "SPEECH"), INVALID, "asked for twice"),
    "window over 30 s": (window(30.1), INVALID, "AUDIO row 0: 30.10 s of 16 kHz audio, at most 30 s"),
    "recording over 600 s": (
        request("vad", ("AUDIO", "FP32", [9_600_001], bytes(38_400_004))),
        INVALID,
        "at most 600 s",
    ),
    "unknown pair": (
        text_row("opus_mt", TARGET=word(b"zz")),
        NOT_FOUND,
        "from 'en' to 'zz'; loaded pairs: en→de, en→es",
    ),
    "empty language": (text_row("opus_mt", SOURCE=word(b"")), INVALID, "SOURCE row 0: expected a language code"),
    "no hypotheses": (
        text_row("opus_mt", NUM_HYPOTHESES=("INT32", [1, 1], bytes(4))),
        INVALID,
        "NUM_HYPOTHESES: expected 1 to 8, got 0",
    ),
    "sentence too long": (text_row("opus_mt", TEXT=word(b"word " * 2000)), INVALID, "TEXT row 0: "),
    "unknown voice": (text_row("coqui_tts", VOICE=word(b"nobody")), NOT_FOUND, "no voice 'nobody'; loaded voices: "),
    "speed too high": (
        text_row("coqui_tts", SPEED=("FP32", [1, 1], floats(3))),
        INVALID,
        "SPEED row 0: expected 0.5 to 2.0, got 3",
    ),
    "text too long": (text_row("coqui_tts", TEXT=word(b"word " * 2000)), INVALID, "TEXT row 0: 10000 characters"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_is_refused_with_its_status_and_its_reason(stub: Any, case: str) -> None:
    message, status, complaint = BAD[case]
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(message, timeout=30)
    assert caught.value.code() == status
    assert complaint in caught.value.details()
    assert "Traceback" not in caught.value.details()


@pytest.mark.parametrize(
    ("tensor", "complaint"),
    [
        (("LANGUAGE", "BYTES", [1, 1], element(b"tlh")), "LANGUAGE row 0: Whisper does not know 'tlh'; it knows af, "),
        (("TASK", "BYTES", [1, 1], element(b"sing")), "TASK row 0: expected transcribe or translate, got 'sing'"),
        (("NUM_SAMPLES", "INT32", [1, 1], (17).to_bytes(4, "little")), "NUM_SAMPLES row 0: expected 0 to 16"),
    ],
)
def test_a_bad_option_of_a_window_is_refused(stub: Any, tensor: Any, complaint: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(request("whisper", ("AUDIO", "FP32", [1, 16], bytes(64)), tensor), timeout=30)
    assert caught.value.code() == INVALID
    assert complaint in caught.value.details()


def test_unknown_models_are_not_found_by_every_question(triton_client: triton.InferenceServerClient) -> None:
    for question in (triton_client.get_model_metadata, triton_client.get_model_config, triton_client.is_model_ready):
        with pytest.raises(InferenceServerException, match="there is no model 'nope'") as caught:
            question("nope")
        assert caught.value.status() == "StatusCode.NOT_FOUND"


def test_what_the_server_does_not_offer_is_unimplemented(triton_client: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="does not offer") as caught:
        triton_client.load_model("vad")
    assert caught.value.status() == "StatusCode.UNIMPLEMENTED"
    methods = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
    assert all(hasattr(GrpcService, method.name) for method in methods)


def test_http_says_that_the_protocol_is_spoken_over_grpc(plane: Plane) -> None:
    response = httpx.get(f"http://{plane.ready['http']}/v2/health/live")
    assert response.status_code == 501
    assert "gRPC" in response.json()["error"]


def test_a_message_of_64_mb_passes_and_is_judged_by_its_content(stub: Any) -> None:
    samples = 16 * 2**20
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(request("vad", ("AUDIO", "FP32", [samples], bytes(samples * 4))), timeout=60)
    assert caught.value.code() == INVALID
    assert "1048.6 s of 16 kHz audio" in caught.value.details()


def test_good_requests_are_answered_after_all_the_bad_ones(stub: Any) -> None:
    assert stub.ModelInfer(text_row("opus_mt"), timeout=30).outputs[0].name == "TRANSLATIONS"
