"""Tensors on the wire <-> numpy, and their validation against config.pbtxt. Knows no transport."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from serve.errors import internal, invalid
from serve.repository import ModelSpec, TensorSpec

Array = npt.NDArray[Any]

NUMPY: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype(np.object_),
}

VALUES: Mapping[str, frozenset[type]] = {  # numpy's kind of a datatype -> Python types of its values in a message
    "b": frozenset({bool}),
    "i": frozenset({int}),
    "u": frozenset({int}),
    "f": frozenset({int, float}),
    "O": frozenset({bytes}),
}

LENGTH_PREFIX = 4


@dataclass(frozen=True, slots=True)
class WireTensor:
    """A tensor as it was sent: `data` is the raw little-endian bytes, or a flat sequence of values."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: bytes | Sequence[Any]


def decode_tensor(tensor: WireTensor) -> Array:
    """The numpy array of a tensor. INVALID_ARGUMENT when shape, type and data contradict each other."""
    dtype = NUMPY.get(tensor.datatype)
    if dtype is None:
        raise invalid(f"{tensor.name}: unknown datatype '{tensor.datatype}'; known are {', '.join(NUMPY)}")
    if any(length < 0 for length in tensor.shape):
        raise invalid(f"{tensor.name}: shape {list(tensor.shape)} has a negative dimension")
    count = math.prod(tensor.shape)
    if isinstance(tensor.data, bytes):
        read = _from_bytes if tensor.datatype == "BYTES" else _from_raw
        flat = read(tensor, tensor.data, count, dtype)
    else:
        flat = _from_values(tensor, tensor.data, count, dtype)
    try:
        return flat.reshape(tensor.shape)
    except ValueError:
        raise invalid(f"{tensor.name}: shape {list(tensor.shape)} is larger than an array can be") from None


def _from_raw(tensor: WireTensor, data: bytes, count: int, dtype: np.dtype[Any]) -> Array:
    expected = count * dtype.itemsize
    if len(data) != expected:
        raise invalid(
            f"{tensor.name}: {len(data)} bytes sent, shape {list(tensor.shape)} of {tensor.datatype} needs {expected}"
        )
    return np.frombuffer(data, dtype)


def _from_bytes(tensor: WireTensor, data: bytes, count: int, dtype: np.dtype[Any]) -> Array:
    """BYTES elements, each preceded by its length as a little-endian uint32."""
    if count * LENGTH_PREFIX > len(data):
        raise invalid(
            f"{tensor.name}: {len(data)} bytes cannot hold the {count} elements of shape {list(tensor.shape)}"
        )
    elements = np.empty(count, dtype)
    at = 0
    for index in range(count):
        start = at + LENGTH_PREFIX
        end = start + int.from_bytes(data[at:start], "little")
        if start > len(data) or end > len(data):
            raise invalid(
                f"{tensor.name}: element {index} at offset {at} claims {end - start} bytes, {len(data)} were sent"
            )
        elements[index] = data[start:end]
        at = end
    if at != len(data):
        raise invalid(f"{tensor.name}: {len(data) - at} bytes follow the last of {count} elements")
    return elements


def _from_values(tensor: WireTensor, values: Sequence[Any], count: int, dtype: np.dtype[Any]) -> Array:
    if len(values) != count:
        raise invalid(f"{tensor.name}: {len(values)} elements were sent, shape {list(tensor.shape)} needs {count}")
    values = list(values)
    foreign = set(map(type, values)) - VALUES[dtype.kind]
    if foreign:
        found = ", ".join(sorted(each.__name__ for each in foreign))
        raise invalid(f"{tensor.name}: values of {tensor.datatype} cannot be {found}")
    if dtype == np.object_:
        elements = np.empty(count, dtype=np.object_)
        elements[:] = values
        return elements
    try:
        with np.errstate(over="ignore"):  # too large for the datatype is infinite, which is refused where it matters
            return np.array(values, dtype=dtype)
    except (OverflowError, ValueError) as error:
        raise invalid(f"{tensor.name}: the values do not fit {tensor.datatype}: {error}") from None


def encode_tensor(array: Array, datatype: str) -> bytes:
    """Raw bytes of an array, BYTES elements with their length before them."""
    if datatype == "BYTES":
        return b"".join(len(element).to_bytes(LENGTH_PREFIX, "little") + element for element in array.reshape(-1))
    return np.ascontiguousarray(array, NUMPY[datatype]).tobytes()


def validated(spec: ModelSpec, tensors: Iterable[WireTensor]) -> dict[str, Array]:
    """Arrays by name as the model may rely on them: all required there, nothing else, types, shapes and batch as
    config.pbtxt says, floats finite. INVALID_ARGUMENT names the tensor and what was expected.
    """
    known = {tensor.name: tensor for tensor in spec.inputs}
    arrays: dict[str, Array] = {}
    for tensor in tensors:
        if tensor.name not in known:
            raise invalid(f"{spec.name} has no input '{tensor.name}'; its inputs are {', '.join(known)}")
        if tensor.name in arrays:
            raise invalid(f"{tensor.name}: given twice")
        _check_type(spec, known[tensor.name], tensor)
        array = decode_tensor(tensor)
        check_finite(tensor.name, array)
        arrays[tensor.name] = array
    missing = [tensor.name for tensor in spec.inputs if not tensor.optional and tensor.name not in arrays]
    if missing:
        raise invalid(
            f"{spec.name} needs input {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} missing"
        )
    _check_batch(spec, arrays)
    return arrays


def check_finite(name: str, array: Array) -> None:
    """INVALID_ARGUMENT when a float tensor holds NaN or infinity."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise invalid(f"{name}: holds values that are not finite (NaN or infinity)")


def _check_type(spec: ModelSpec, expected: TensorSpec, tensor: WireTensor) -> None:
    """What can be refused before the data is looked at, however much it is."""
    if tensor.datatype != expected.datatype:
        raise invalid(f"{tensor.name}: expected datatype {expected.datatype}, got {tensor.datatype or 'none'}")
    shape = spec.shape(expected)
    fits = len(shape) == len(tensor.shape) and all(a in (-1, b) for a, b in zip(shape, tensor.shape, strict=True))
    if not fits:
        raise invalid(f"{tensor.name}: expected shape {shape}, got {list(tensor.shape)}")
    if spec.max_batch_size and not 0 < tensor.shape[0] <= spec.max_batch_size:
        rows = f"1 to {spec.max_batch_size} rows in a call"
        raise invalid(f"{tensor.name}: batch of {tensor.shape[0]}, {spec.name} takes {rows}")


def _check_batch(spec: ModelSpec, arrays: Mapping[str, Array]) -> None:
    if not spec.max_batch_size:
        return
    batches = {name: array.shape[0] for name, array in arrays.items()}
    first, rows = next(iter(batches.items()))
    for name, count in batches.items():
        if count != rows:
            raise invalid(f"{name}: batch of {count}, but {first} has a batch of {rows}; all inputs need the same")


def checked_output(spec: ModelSpec, tensor: TensorSpec, array: Array) -> Array:
    """An output in its declared type; INTERNAL when the model broke its own contract."""
    shape = spec.shape(tensor)
    if len(shape) != array.ndim or any(a not in (-1, b) for a, b in zip(shape, array.shape, strict=True)):
        raise internal(f"{spec.name} gave {tensor.name} of shape {list(array.shape)}, its configuration says {shape}")
    return array.astype(NUMPY[tensor.datatype], copy=False)
