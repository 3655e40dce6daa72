"""Bodies of an inference over HTTP <-> the data plane's request and response.

A body is a JSON object, or, in the protocol's binary tensor extension, a JSON object of
`Inference-Header-Content-Length` bytes with the raw tensors behind it, in the order in which they are described. Where
that length is 0, the whole body is the one tensor the model needs, a text without length prefix.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from serve.errors import ModelError, internal, invalid
from serve.protocol.codec import LENGTH_PREFIX, NUMPY, Array, WireTensor, encode_tensor
from serve.protocol.dataplane import InferenceRequest, InferenceResponse, timeout
from serve.protocol.json_text import encoded, parsed, shown
from serve.protocol.limits import oversize
from serve.repository import VERSION, ModelSpec, TensorSpec

MAX_JSON_BYTES = 16 * 2**20
"""Reading JSON holds up everybody else, so more than this (half a minute of samples) has to be sent as binary data."""

LARGEST_DIMENSION = 2**63 - 1
KINDS: Mapping[type, str] = {str: "a string", list: "an array", dict: "an object", bool: "true or false"}


class InferenceBody:
    """One inference over HTTP: `request` reads its body, `answer` writes the one that goes back."""

    def __init__(self, spec: ModelSpec, body: bytes, header_length: str | None) -> None:
        self._spec = spec
        self._body = body
        self._header_length = header_length
        self._binary = False
        self._binary_of: dict[str, bool] = {}

    def request(self) -> InferenceRequest:
        """INVALID_ARGUMENT when the body is not one of the protocol's."""
        length = self._json_length()
        if length > MAX_JSON_BYTES:
            raise oversize(f"{length} bytes of JSON, at most {MAX_JSON_BYTES}; send larger tensors as binary data")
        if self._header_length is not None and not length:
            return InferenceRequest(self._spec.name, VERSION, "", [raw_tensor(self._spec, self._body)])
        message = parsed(self._body[:length])
        parameters = _get(message, "parameters", dict, "the request", default={})
        self._binary = _get(parameters, "binary_data_output", bool, "parameters", default=False)
        inputs = self._inputs(message, length)
        outputs = tuple(self._output(output) for output in _entries(message, "outputs"))
        identifier = _text(_get(message, "id", str, "the request", default=""), "id")
        timeout_s = timeout(parameters["timeout"]) if "timeout" in parameters else None
        return InferenceRequest(self._spec.name, VERSION, identifier, inputs, outputs, timeout_s)

    def answer(self, response: InferenceResponse) -> tuple[bytes, int | None]:
        """The body, and the length of its JSON where raw tensors follow."""
        described: list[dict[str, Any]] = []
        raw: list[bytes] = []
        for tensor, array in response.outputs:
            entry: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(array.shape)}
            if self._binary_of.get(tensor.name, self._binary):
                raw.append(encode_tensor(array, tensor.datatype))
                entry["parameters"] = {"binary_data_size": len(raw[-1])}
            else:
                entry["data"] = _values(tensor, array)
            described.append(entry)
        named = {"id": response.id} if response.id else {}
        head = encoded({**named, "model_name": response.model, "model_version": VERSION, "outputs": described})
        return b"".join([head, *raw]), len(head) if raw else None

    def _json_length(self) -> int:
        """Bytes of the body that are JSON."""
        if self._header_length is None:
            return len(self._body)
        text = self._header_length.strip()
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            raise invalid(f"Inference-Header-Content-Length: expected a number of bytes, got '{text}'")
        if int(text) > len(self._body):
            raise invalid(f"Inference-Header-Content-Length: {text} bytes, but the body has {len(self._body)}")
        return int(text)

    def _inputs(self, message: Mapping[str, Any], at: int) -> list[WireTensor]:
        """The inputs, of which the raw ones follow each other in the body from offset `at`."""
        inputs = []
        for entry in _entries(message, "inputs", needed=True):
            name = _text(_get(entry, "name", str, "an input"), "an input's name")
            parameters = _tensor_parameters(entry, name)
            size = parameters.get("binary_data_size")
            if size is None:
                inputs.append(_json_tensor(entry, name))
                continue
            inputs.append(self._raw_tensor(entry, name, size, at))
            at += size
        if at != len(self._body):
            raise invalid(
                f"{len(self._body) - at} bytes follow the last binary tensor: no binary_data_size accounts for them"
            )
        return inputs

    def _raw_tensor(self, entry: Mapping[str, Any], name: str, size: Any, at: int) -> WireTensor:
        if self._header_length is None:
            raise invalid(f"{name}: binary_data_size without the header Inference-Header-Content-Length")
        if type(size) is not int or size < 0:
            raise invalid(f"{name}: binary_data_size: expected a number of bytes, got {shown(size)}")
        if "data" in entry:
            raise invalid(f"{name}: both data and binary_data_size; send one of them")
        if at + size > len(self._body):
            raise invalid(f"{name}: binary_data_size is {size}, but {len(self._body) - at} bytes of the body are left")
        return WireTensor(name, _datatype(entry, name), _shape(entry, name), self._body[at : at + size])

    def _output(self, entry: Mapping[str, Any]) -> str:
        name = _text(_get(entry, "name", str, "an output"), "an output's name")
        parameters = _tensor_parameters(entry, name)
        if "classification" in parameters:
            raise invalid(f"{name}: output parameter classification is not supported")
        if "binary_data" in parameters:
            self._binary_of[name] = _get(parameters, "binary_data", bool, name)
        return name


def raw_tensor(spec: ModelSpec, body: bytes) -> WireTensor:
    """The only tensor a model needs, from a body that is nothing else. At most one of its lengths may be open."""
    needed = [tensor for tensor in spec.inputs if not tensor.optional]
    if len(needed) != 1:
        names = ", ".join(tensor.name for tensor in needed) or "no input in particular"
        raise invalid(f"Inference-Header-Content-Length: 0 bytes, but {spec.name} needs {names}; describe them in JSON")
    (tensor,) = needed
    if tensor.datatype == "BYTES":
        count, data = 1, len(body).to_bytes(LENGTH_PREFIX, "little") + body
    else:
        count, data = len(body) // NUMPY[tensor.datatype].itemsize, body
    fixed = math.prod(length for length in tensor.dims if length > 0)
    dims = tuple(length if length > 0 else count // fixed for length in tensor.dims)
    return WireTensor(tensor.name, tensor.datatype, ((1, *dims) if spec.max_batch_size else dims), data)


def _get(entry: Mapping[str, Any], key: str, kind: type, where: str, **default: Any) -> Any:
    """entry[key], which must be of that kind; INVALID_ARGUMENT names both and where."""
    if key not in entry and "default" in default:
        return default["default"]
    if key not in entry:
        raise invalid(f"{where} has no {key}")
    if type(entry[key]) is not kind:
        raise invalid(f"{where}: {key} is {shown(entry[key])}, expected {KINDS[kind]}")
    return entry[key]


def _entries(message: Mapping[str, Any], key: str, *, needed: bool = False) -> Sequence[Mapping[str, Any]]:
    default: Mapping[str, Any] = {} if needed else {"default": []}
    entries = _get(message, key, list, "the request", **default)
    for index, entry in enumerate(entries):
        if type(entry) is not dict:
            raise invalid(f"{key}[{index}] is {shown(entry)}, expected an object")
    return list(entries)


def _tensor_parameters(entry: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    parameters: Mapping[str, Any] = _get(entry, "parameters", dict, name, default={})
    if "shared_memory_region" in parameters:
        raise invalid(f"{name}: shared memory is not supported; send the data in the request")
    return parameters


def _shape(entry: Mapping[str, Any], name: str) -> tuple[int, ...]:
    shape = _get(entry, "shape", list, name)
    if any(type(each) is not int or abs(each) > LARGEST_DIMENSION for each in shape):
        raise invalid(f"{name}: shape {shown(shape)}: expected an array of whole numbers")
    return tuple(shape)


def _datatype(entry: Mapping[str, Any], name: str) -> str:
    return str(_get(entry, "datatype", str, name))


def _json_tensor(entry: Mapping[str, Any], name: str) -> WireTensor:
    """A tensor whose values stand in the JSON, flat or nested as its shape is."""
    datatype, shape = _datatype(entry, name), _shape(entry, name)
    values = _get(entry, "data", list, name)
    if values and type(values[0]) is list:
        values = _flat(values, shape, name)
    if datatype == "BYTES":
        values = [_text(value, name).encode() if type(value) is str else value for value in values]
    return WireTensor(name, datatype, shape, values)


def _flat(values: Sequence[Any], shape: Sequence[int], name: str) -> list[Any]:
    """Nested arrays in row-major order; INVALID_ARGUMENT where they are not of the shape."""
    level: list[Any] = [values]
    for depth, length in enumerate(shape):
        if any(type(each) is not list or len(each) != length for each in level):
            raise invalid(f"{name}: data is not nested as shape {list(shape)} is, at depth {depth}")
        level = [value for each in level for value in each]
    return level


def _text(value: str, where: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise invalid(f"{where}: not valid Unicode (a surrogate stands alone)") from None
    return value


def _values(tensor: TensorSpec, array: Array) -> list[Any]:
    """An output's values as JSON has them, in row-major order. What JSON cannot carry has to be asked for in binary."""
    flat: list[Any] = array.reshape(-1).tolist()
    try:
        if tensor.datatype == "BYTES":
            return [value.decode("utf-8") for value in flat]
    except UnicodeDecodeError:
        raise _needs_binary(tensor, invalid, "bytes that are not UTF-8") from None
    if array.dtype.kind == "f" and not all(map(math.isfinite, flat)):
        raise _needs_binary(tensor, internal, "values that are not finite")
    return flat


def _needs_binary(tensor: TensorSpec, error: Callable[[str], ModelError], holds: str) -> ModelError:
    return error(f"{tensor.name} holds {holds}, which JSON cannot carry; ask for it with binary_data")
