"""The HTTP application by itself, over a backend that gives back what it gets: what bodies mean, which are refused."""

import asyncio
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ray.exceptions import RayActorError
from starlette.testclient import TestClient

from serve.errors import Code, ModelError
from serve.protocol import proxy
from serve.protocol.codec import NUMPY, Array, decode_tensor, encode_tensor
from serve.protocol.compression import accepted
from serve.protocol.dataplane import DataPlane, Ran
from serve.protocol.http import STATUS, http_app
from serve.protocol.http_messages import MAX_JSON_BYTES, InferenceBody
from serve.protocol.limits import BodyLimit
from serve.repository import ModelSpec, TensorSpec
from tests.serve.wire import binary_body, element

LIMIT = 20 * 2**20
TYPES = tuple(NUMPY)
SPEC = ModelSpec(
    name="echo",
    inputs=tuple(TensorSpec(f"IN_{kind}", kind, (-1,), optional=True) for kind in TYPES),
    outputs=tuple(TensorSpec(f"OUT_{kind}", kind, (-1,)) for kind in TYPES),
    max_batch_size=4,
    platform="python",
    config_text='name: "echo"',
)


class Echo:
    """Gives inputs back as outputs, as one of two requests of a batch; or raises."""

    error: ModelError | Exception | None = None

    async def infer(self, inputs: Mapping[str, Array], requested: set[str], deadline: float | None) -> Ran:
        del deadline
        if self.error is not None:
            raise self.error
        rows = len(next(iter(inputs.values())))
        empty = {f"OUT_{kind}": np.zeros((rows, 0), NUMPY[kind]) for kind in TYPES}
        given = {name.replace("IN_", "OUT_"): array for name, array in inputs.items()}
        return Ran({name: {**empty, **given}[name] for name in requested}, 0.25, 0.5, rows * 2, 0.5)

    async def catalogue(self) -> Sequence[Mapping[str, Any]]:
        if self.error is not None:
            raise self.error
        return []

    async def asleep(self) -> bool:
        return False


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def client(echo: Echo) -> TestClient:
    app = BodyLimit(http_app(DataPlane({"echo": SPEC}, {"echo": echo}), LIMIT), LIMIT)
    return TestClient(app, headers={"Accept-Encoding": "identity"})


def given(kind: str, shape: Sequence[int], data: Any) -> dict[str, Any]:
    return {"name": f"IN_{kind}", "datatype": kind, "shape": list(shape), "data": data}


def infer(client: TestClient, message: Any, raw: bytes = b"", headers: Mapping[str, str] | None = None) -> Any:
    own, body = binary_body(message, raw) if raw else ({}, json.dumps(message).encode())
    return client.post("/v2/models/echo/infer", content=body, headers={**own, **(headers or {})})


VALUES: dict[str, list[Any]] = {
    "BOOL": [True, False],
    "BYTES": ["né", ""],
    **{kind: [0, 100] for kind in TYPES if "INT" in kind},
    **{kind: [-0.5, 2] for kind in ("FP16", "FP32", "FP64")},
}


@pytest.mark.parametrize("kind", TYPES)
def test_every_datatype_passes_in_json_and_in_binary(client: TestClient, kind: str) -> None:
    values = VALUES[kind]
    output = f"OUT_{kind}"
    in_json = infer(client, {"inputs": [given(kind, (1, 2), values)], "outputs": [{"name": output}]})
    assert in_json.json()["outputs"] == [{"name": output, "datatype": kind, "shape": [1, 2], "data": values}]
    array = np.array([text.encode() for text in values], np.object_) if kind == "BYTES" else np.array(values)
    raw = encode_tensor(array, kind)
    tensor = {key: value for key, value in given(kind, (1, 2), None).items() if key != "data"}
    message = {
        "inputs": [{**tensor, "parameters": {"binary_data_size": len(raw)}}],
        "outputs": [{"name": output, "parameters": {"binary_data": True}}],
    }
    in_binary = infer(client, message, raw)
    head = int(in_binary.headers["Inference-Header-Content-Length"])
    assert in_binary.content[head:] == raw
    assert json.loads(in_binary.content[:head])["outputs"][0]["parameters"] == {"binary_data_size": len(raw)}


def test_json_and_binary_tensors_may_be_mixed_in_any_order(client: TestClient) -> None:
    raw = np.array([[1, 2]], np.int32).tobytes()
    binary = {"name": "IN_INT32", "datatype": "INT32", "shape": [1, 2], "parameters": {"binary_data_size": len(raw)}}
    message = {
        "inputs": [given("FP32", (1, 1), [[0.5]]), binary, given("BOOL", (1, 1), [True])],
        "outputs": [{"name": "OUT_FP32"}, {"name": "OUT_INT32"}, {"name": "OUT_BOOL"}],
    }
    assert [output["data"] for output in infer(client, message, raw).json()["outputs"]] == [[0.5], [1, 2], [True]]


def test_binary_data_output_holds_for_outputs_that_say_nothing_else(client: TestClient) -> None:
    message = {
        "inputs": [given("FP32", (1, 1), [0.5]), given("INT8", (1, 1), [7])],
        "outputs": [{"name": "OUT_FP32"}, {"name": "OUT_INT8", "parameters": {"binary_data": False}}],
        "parameters": {"binary_data_output": True},
    }
    answer = infer(client, message)
    outputs = json.loads(answer.content[: int(answer.headers["Inference-Header-Content-Length"])])["outputs"]
    assert outputs[0]["parameters"] == {"binary_data_size": 4}
    assert outputs[1]["data"] == [7]


def test_bytes_that_json_cannot_carry_have_to_be_asked_for_in_binary(client: TestClient) -> None:
    raw = element(b"\xff\xfe")
    binary = {"name": "IN_BYTES", "datatype": "BYTES", "shape": [1, 1], "parameters": {"binary_data_size": len(raw)}}
    refused = infer(client, {"inputs": [binary], "outputs": [{"name": "OUT_BYTES"}]}, raw)
    assert refused.status_code == 400
    assert "OUT_BYTES holds bytes that are not UTF-8" in refused.json()["error"]


ONE = given("FP32", (1, 1), [0.5])
RAW = {"name": "IN_FP32", "datatype": "FP32", "shape": [1, 1], "parameters": {"binary_data_size": 4}}


def raw_of(size: Any) -> dict[str, Any]:
    return {**RAW, "parameters": {"binary_data_size": size}}


BODIES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "the body is not JSON"),
    "text": (b"hello", "the body is not JSON: Expecting value"),
    "not UTF-8": (b'{"inputs": "\xff"}', "not JSON in UTF-8: invalid start byte at byte 12"),
    "an array": (b"[]", "the body is [], expected a JSON object"),
    "NaN": (json.dumps({"inputs": [given("FP32", (1, 1), [float("nan")])]}).encode(), "holds NaN, which is not JSON"),
    "Infinity": (json.dumps({"inputs": [given("FP32", (1, 1), [float("-inf")])]}).encode(), "holds -Infinity"),
    "a number beyond a float": (
        json.dumps({"inputs": [given("FP32", (1, 1), ["x"])]}).replace('"x"', "1e999").encode(),
        "IN_FP32: holds values that are not finite",
    ),
    "a number of too many digits": (b'{"inputs": ' + b"1" * 5000 + b"}", "the body is not JSON: Exceeds the limit"),
    "nesting without end": (b"[" * 50_000, "nested too deeply"),
    "arrays without end": (b"[" + b"[]," * 100_000 + b"0]", "more than 100000 arrays and objects"),
    "cut off": (b'{"inputs": [{"name"', "the body is not JSON"),
}


@pytest.mark.parametrize("case", BODIES)
def test_a_body_that_is_no_request_is_refused_with_its_reason(client: TestClient, case: str) -> None:
    body, complaint = BODIES[case]
    answer = client.post("/v2/models/echo/infer", content=body)
    assert answer.status_code == 400
    assert complaint in answer.json()["error"]


MESSAGES: dict[str, tuple[Any, str]] = {
    "no inputs": ({}, "the request has no inputs"),
    "inputs that are no array": ({"inputs": {}}, "the request: inputs is {}, expected an array"),
    "an input that is no object": ({"inputs": [1]}, "inputs[0] is 1, expected an object"),
    "an input without a name": ({"inputs": [{}]}, "an input has no name"),
    "a name that is no string": ({"inputs": [{**ONE, "name": None}]}, "an input: name is null, expected a string"),
    "no shape": ({"inputs": [{"name": "IN_FP32", "datatype": "FP32", "data": []}]}, "IN_FP32 has no shape"),
    "a shape of strings": ({"inputs": [{**ONE, "shape": ["1"]}]}, 'IN_FP32: shape ["1"]: expected an array of whole'),
    "a shape of truths": ({"inputs": [{**ONE, "shape": [True, True]}]}, "IN_FP32: shape [true, true]"),
    "a shape beyond 64 bits": ({"inputs": [{**ONE, "shape": [2**70, 1]}]}, "IN_FP32: shape [1180591620717411303424"),
    "no datatype": ({"inputs": [{"name": "IN_FP32", "shape": [1, 1], "data": [1]}]}, "IN_FP32 has no datatype"),
    "no data": ({"inputs": [{"name": "IN_FP32", "datatype": "FP32", "shape": [1, 1]}]}, "IN_FP32 has no data"),
    "too few values": (
        {"inputs": [given("FP32", (1, 2), [0.5])]},
        "IN_FP32: 1 elements were sent, shape [1, 2] needs 2",
    ),
    "ragged nesting": ({"inputs": [given("FP32", (2, 2), [[1, 2], [3]])]}, "not nested as shape [2, 2] is, at depth 1"),
    "mixed nesting": ({"inputs": [given("FP32", (2, 1), [[1], 2])]}, "not nested as shape [2, 1] is, at depth 1"),
    "nesting deeper than the shape": ({"inputs": [given("FP32", (1, 1), [[[1]]])]}, "values of FP32 cannot be list"),
    "text for a number": ({"inputs": [given("FP32", (1, 1), ["1"])]}, "IN_FP32: values of FP32 cannot be str"),
    "a fraction for a whole number": ({"inputs": [given("INT32", (1, 1), [1.5])]}, "INT32 cannot be float"),
    "a truth for a number": ({"inputs": [given("INT32", (1, 1), [True])]}, "IN_INT32: values of INT32 cannot be bool"),
    "a number for a truth": ({"inputs": [given("BOOL", (1, 1), [1])]}, "IN_BOOL: values of BOOL cannot be int"),
    "a number for text": ({"inputs": [given("BYTES", (1, 1), [1])]}, "IN_BYTES: values of BYTES cannot be int"),
    "null for a number": ({"inputs": [given("FP32", (1, 1), [None])]}, "IN_FP32: values of FP32 cannot be NoneType"),
    "a number too large": ({"inputs": [given("INT8", (1, 1), [300])]}, "IN_INT8: the values do not fit INT8"),
    "a negative unsigned number": ({"inputs": [given("UINT8", (1, 1), [-1])]}, "IN_UINT8: the values do not fit UINT8"),
    "a number beyond FP32": ({"inputs": [given("FP32", (1, 1), [1e300])]}, "IN_FP32: holds values that are not finite"),
    "half a character": ({"inputs": [given("BYTES", (1, 1), ["\ud800"])]}, "IN_BYTES: not valid Unicode"),
    "an id that is no string": ({"inputs": [ONE], "id": 7}, "the request: id is 7, expected a string"),
    "half a character in the id": ({"inputs": [ONE], "id": "\udc00"}, "id: not valid Unicode"),
    "parameters that are no object": ({"inputs": [ONE], "parameters": []}, "parameters is [], expected an object"),
    "a wish that is no truth": (
        {"inputs": [ONE], "parameters": {"binary_data_output": 1}},
        "parameters: binary_data_output is 1, expected true or false",
    ),
    "a timeout of truth": ({"inputs": [ONE], "parameters": {"timeout": True}}, "expected microseconds as a whole"),
    "an output without a name": ({"inputs": [ONE], "outputs": [{}]}, "an output has no name"),
    "classification": (
        {"inputs": [ONE], "outputs": [{"name": "OUT_FP32", "parameters": {"classification": 2}}]},
        "OUT_FP32: output parameter classification is not supported",
    ),
    "shared memory for an input": (
        {"inputs": [{**ONE, "parameters": {"shared_memory_region": "r"}}]},
        "IN_FP32: shared memory is not supported",
    ),
    "shared memory for an output": (
        {"inputs": [ONE], "outputs": [{"name": "OUT_FP32", "parameters": {"shared_memory_region": "r"}}]},
        "OUT_FP32: shared memory is not supported",
    ),
    "binary data without the header": ({"inputs": [RAW]}, "binary_data_size without the header"),
}


@pytest.mark.parametrize("case", MESSAGES)
def test_a_json_request_is_refused_by_what_is_wrong_in_it(client: TestClient, case: str) -> None:
    message, complaint = MESSAGES[case]
    answer = infer(client, message)
    assert answer.status_code == 400
    assert complaint in answer.json()["error"]


BINARY: dict[str, tuple[Any, bytes, dict[str, str], str]] = {
    "a size larger than the body": ({"inputs": [raw_of(5)]}, bytes(4), {}, "is 5, but 4 bytes of the body are left"),
    "a size smaller than the data": ({"inputs": [raw_of(3)]}, bytes(4), {}, "1 bytes follow the last binary tensor"),
    "a size that is not the shape's": ({"inputs": [raw_of(3)]}, bytes(3), {}, "3 bytes sent, shape [1, 1] of FP32"),
    "a negative size": ({"inputs": [raw_of(-4)]}, bytes(4), {}, "expected a number of bytes, got -4"),
    "a size of truth": ({"inputs": [raw_of(True)]}, bytes(4), {}, "expected a number of bytes, got true"),
    "a size that is a string": ({"inputs": [raw_of("4")]}, bytes(4), {}, 'expected a number of bytes, got "4"'),
    "data in both places": ({"inputs": [{**RAW, "data": [1]}]}, bytes(4), {}, "both data and binary_data_size"),
    "data nobody declared": ({"inputs": [ONE]}, bytes(4), {}, "4 bytes follow the last binary tensor"),
    "a header that is negative": ({"inputs": [RAW]}, bytes(4), {"l": "-1"}, "expected a number of bytes, got '-1'"),
    "a header larger than the body": ({"inputs": [RAW]}, bytes(4), {"l": "999"}, "999 bytes, but the body has 1"),
    "a header that is no number": ({"inputs": [RAW]}, bytes(4), {"l": "ten"}, "expected a number of bytes, got 'ten'"),
    "a header of far too many digits": ({"inputs": [RAW]}, bytes(4), {"l": "9" * 5000}, "expected a number of bytes"),
    "a header that cuts the JSON": ({"inputs": [RAW]}, bytes(4), {"l": "20"}, "the body is not JSON"),
    "a header of nothing": ({"inputs": [RAW]}, bytes(4), {"l": "0"}, "0 bytes, but echo needs no input in particular"),
}


@pytest.mark.parametrize("case", BINARY)
def test_binary_tensors_that_lie_are_refused_with_their_reason(client: TestClient, case: str) -> None:
    message, raw, lie, complaint = BINARY[case]
    answer = infer(client, message, raw, {"Inference-Header-Content-Length": lie["l"]} if lie else None)
    assert answer.status_code == 400
    assert complaint in answer.json()["error"]


GOOD = json.dumps({"inputs": [ONE]}).encode()


@pytest.mark.parametrize(
    ("coding", "body", "status", "complaint"),
    [
        ("br", GOOD, 415, "Content-Encoding br is not supported; use gzip or deflate"),
        ("gzip", GOOD, 400, "the body is not gzip, as Content-Encoding says"),
        ("deflate", zlib.compress(GOOD)[:-5], 400, "ends in the middle of its deflate data"),
        ("deflate", zlib.compress(GOOD) + b"more", 400, "4 bytes follow the deflate data"),
        ("deflate", zlib.compress(bytes(LIMIT + 1)), 413, f"larger than the {LIMIT} bytes"),
    ],
)
def test_a_body_that_is_not_coded_as_it_says_is_refused(
    client: TestClient, coding: str, body: bytes, status: int, complaint: str
) -> None:
    answer = client.post("/v2/models/echo/infer", content=body, headers={"Content-Encoding": coding})
    assert answer.status_code == status
    assert complaint in answer.json()["error"]


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        ("gzip", "gzip"),
        ("deflate, gzip", "deflate"),
        ("deflate;q=0.3, GZIP;q=0.8", "gzip"),
        ("gzip;q=0", None),
        ("gzip;q=x", None),
        ("br, zstd, *", None),
        ("", None),
    ],
)
def test_the_answers_coding_is_the_one_the_caller_prefers(header: str, coding: str | None) -> None:
    assert accepted(header) == coding


@pytest.mark.parametrize("code", Code)
def test_every_error_has_its_status_and_says_when_to_come_again(client: TestClient, echo: Echo, code: Code) -> None:
    echo.error = ModelError(code, "for a reason", 1.2)
    answer = infer(client, {"inputs": [ONE]})
    assert answer.status_code == STATUS[code]
    assert answer.json() == {"error": "for a reason"}
    assert answer.headers["Retry-After"] == "2"


def test_what_nobody_foresaw_is_our_fault_and_told_without_details(client: TestClient, echo: Echo) -> None:
    echo.error = KeyError("a secret")
    answer = infer(client, {"inputs": [ONE]})
    assert answer.status_code == 500
    assert answer.json() == {"error": "model 'echo' failed; the server's log says why"}


def test_a_model_that_is_starting_is_not_ready(client: TestClient, echo: Echo) -> None:
    assert client.get("/v2/health/ready").json() == {"ready": True}
    echo.error = ModelError(Code.UNAVAILABLE, "starting", 1.0)
    for path in ("/v2/health/ready", "/v2/models/echo/ready"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert client.get("/v2/health/live").status_code == 200
    assert client.post("/v2/repository/index").json() == [{"name": "echo", "version": "1", "state": "UNAVAILABLE"}]
    assert client.post("/v2/repository/index", json={"ready": True}).json() == []


def test_requests_that_share_a_batch_count_as_one_execution(client: TestClient, echo: Echo) -> None:
    for rows in (1, 2, 1, 2):
        assert infer(client, {"inputs": [given("FP32", (rows, 1), [0.5] * rows)]}).status_code == 200
    infer(client, {"inputs": []})
    echo.error = ModelError(Code.UNAVAILABLE, "starting", 1.0)
    infer(client, {"inputs": [ONE]})
    (told,) = client.get("/v2/models/echo/versions/1/stats").json()["model_stats"]
    assert (told["name"], told["version"]) == ("echo", "1")
    assert told["inference_count"] == 6
    assert told["execution_count"] == 2
    assert told["last_inference"] > 1_600_000_000_000
    statistics = told["inference_stats"]
    assert [statistics[name]["count"] for name in ("success", "fail", "queue", "compute_infer")] == [4, 2, 4, 4]
    assert statistics["queue"]["ns"] == 1_000_000_000
    assert statistics["compute_infer"]["ns"] == 2_000_000_000
    batches = {entry["batch_size"]: entry["compute_infer"] for entry in told["batch_stats"]}
    assert batches == {2: {"count": 1, "ns": 500_000_000}, 4: {"count": 1, "ns": 500_000_000}}


def test_a_body_over_the_limit_never_reaches_the_application() -> None:
    reached = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope)
        while (await receive())["type"] == "http.request":
            pass
        await send({"type": "http.response.start", "status": 499, "headers": []})

    left = [{"type": "http.request", "body": bytes(60), "more_body": True}] * 3
    messages = [*left, {"type": "http.request", "body": b"", "more_body": False}]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(BodyLimit(app, 100)({"type": "http", "headers": []}, receive, send))
    assert len(reached) == 1
    assert sent[0]["status"] == 413
    assert not messages
    assert sent[-1].get("more_body", False) is False
    announced = {"type": "http", "headers": [(b"content-length", b"101")]}
    messages.append({"type": "http.disconnect"})
    asyncio.run(BodyLimit(app, 100)(announced, receive, send))
    assert len(reached) == 1


def test_a_body_of_exactly_the_limit_passes(client: TestClient) -> None:
    body = json.dumps({"inputs": [ONE]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(body))}
    for more, reason in ((0, "bytes follow the last binary tensor"), (1, f"larger than the {LIMIT} bytes")):
        padded = body + bytes(LIMIT - len(body) + more)
        assert reason in client.post("/v2/models/echo/infer", content=padded, headers=headers).json()["error"]


def test_json_over_its_own_limit_is_refused_and_binary_data_advised(client: TestClient) -> None:
    answer = infer(client, {"inputs": [given("FP32", (1, 1), [0.5])], "id": "x" * MAX_JSON_BYTES})
    assert answer.status_code == 413
    assert "send larger tensors as binary data" in answer.json()["error"]


@pytest.mark.parametrize(
    ("tensor", "batch", "body", "shape"),
    [
        (TensorSpec("A", "FP32", (-1,)), 0, bytes(12), (3,)),
        (TensorSpec("A", "INT16", (2, -1)), 0, bytes(12), (2, 3)),
        (TensorSpec("A", "FP32", (-1,)), 8, bytes(12), (1, 3)),
        (TensorSpec("A", "BYTES", (1,)), 8, "né".encode(), (1, 1)),
    ],
)
def test_a_body_may_be_the_one_tensor_a_model_needs(
    tensor: TensorSpec, batch: int, body: bytes, shape: tuple[int, ...]
) -> None:
    optional = TensorSpec("B", "INT8", (1,), optional=True)
    spec = replace(SPEC, inputs=(optional, tensor), max_batch_size=batch)
    (sent,) = InferenceBody(spec, body, "0").request().inputs
    assert decode_tensor(sent).shape == shape
    if tensor.datatype == "BYTES":
        assert decode_tensor(sent).tolist() == [["né".encode()]]


def test_a_replica_that_dies_is_told_as_unavailable_in_the_protocols_form() -> None:
    for exception, status, reason in (
        (RayActorError(), 503, "repeating it is safe"),
        (RuntimeError("a secret"), 500, "its log says why"),
    ):
        start, body = proxy._send_http(proxy._status_http(exception, None, "r1"), False)
        assert start["status"] == status
        assert ((b"retry-after", b"1") in start["headers"]) == (status == 503)
        assert json.loads(body["body"])["error"].endswith(reason)
