"""Tensors on the wire: what is sent comes out again, and what lies is refused by name."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from serve.errors import Code, ModelError
from serve.protocol.codec import NUMPY, WireTensor, checked_output, decode_tensor, encode_tensor, validated
from serve.repository import ModelSpec, TensorSpec

SPEC = ModelSpec(
    name="m",
    inputs=(
        TensorSpec("AUDIO", "FP32", (-1,)),
        TensorSpec("PAIR", "INT32", (2,), optional=True),
        TensorSpec("TEXT", "BYTES", (1,), optional=True),
    ),
    outputs=(TensorSpec("OUT", "FP32", (-1, 2)),),
    max_batch_size=4,
    platform="python",
    config_text="",
)


def audio(rows: int = 1, length: int = 3, **changes: Any) -> WireTensor:
    values: dict[str, Any] = {
        "name": "AUDIO",
        "datatype": "FP32",
        "shape": (rows, length),
        "data": np.zeros(rows * length, np.float32).tobytes(),
    }
    return WireTensor(**values | changes)


@given(st.data())
def test_numbers_survive_the_wire(data: st.DataObject) -> None:
    datatype = data.draw(st.sampled_from([name for name in NUMPY if name != "BYTES"]))
    array = data.draw(hnp.arrays(NUMPY[datatype], hnp.array_shapes(max_dims=3, max_side=4, min_side=0)))
    sent = WireTensor("X", datatype, array.shape, encode_tensor(array, datatype))
    np.testing.assert_array_equal(decode_tensor(sent), array)


@given(st.lists(st.binary(max_size=20), max_size=6))
def test_bytes_survive_the_wire(elements: list[bytes]) -> None:
    array = np.empty(len(elements), np.object_)
    array[:] = elements
    sent = WireTensor("X", "BYTES", array.shape, encode_tensor(array, "BYTES"))
    assert decode_tensor(sent).tolist() == elements


@given(st.binary(max_size=60), st.lists(st.integers(0, 5), max_size=3), st.sampled_from(list(NUMPY)))
def test_random_bytes_are_a_tensor_or_an_invalid_argument(data: bytes, shape: list[int], datatype: str) -> None:
    outcome: tuple[int, ...] | ModelError
    try:
        outcome = decode_tensor(WireTensor("X", datatype, tuple(shape), data)).shape
    except ModelError as error:
        outcome = error
    if isinstance(outcome, ModelError):
        assert outcome.code == Code.INVALID_ARGUMENT
        assert outcome.message.startswith("X: ")
    else:
        assert outcome == tuple(shape)


LYING = [
    (b"\x05\x00\x00\x00abc", (1,), "claims 5 bytes"),
    (b"\xff\xff\xff\xffabc", (1,), "claims 4294967295 bytes"),
    (b"\x01\x00\x00\x00a\x01\x00", (2,), "cannot hold|claims"),
    (b"\x01\x00\x00\x00ab", (1,), "1 bytes follow the last"),
    (b"", (1,), "cannot hold the 1 elements"),
    (b"", (2**40, 2**20), "cannot hold"),
]


@pytest.mark.parametrize(("data", "shape", "complaint"), LYING)
def test_a_lying_length_prefix_is_refused(data: bytes, shape: tuple[int, ...], complaint: str) -> None:
    with pytest.raises(ModelError, match=complaint):
        decode_tensor(WireTensor("TEXT", "BYTES", shape, data))


REFUSED: list[tuple[Sequence[WireTensor], str]] = [
    ([], "needs input AUDIO, which is missing"),
    ([audio(), audio()], "AUDIO: given twice"),
    ([audio(), audio(name="EXTRA")], "m has no input 'EXTRA'; its inputs are AUDIO, PAIR, TEXT"),
    ([audio(datatype="FP64", data=b"\0" * 24)], "AUDIO: expected datatype FP32, got FP64"),
    ([audio(datatype="")], "AUDIO: expected datatype FP32, got none"),
    ([audio(shape=(3,))], r"AUDIO: expected shape \[-1, -1\], got \[3\]"),
    ([audio(shape=(1, 4))], r"AUDIO: 12 bytes sent, shape \[1, 4\] of FP32 needs 16"),
    ([audio(data=b"\0" * 11)], "AUDIO: 11 bytes sent"),
    ([audio(shape=(1, -3))], "AUDIO: shape .* negative"),
    ([audio(shape=(-1, 3))], "AUDIO: batch of -1, m takes 1 to 4 rows"),
    ([audio(rows=5)], "AUDIO: batch of 5, m takes 1 to 4 rows"),
    ([audio(rows=0)], "AUDIO: batch of 0"),
    ([audio(), WireTensor("TEXT", "BYTES", (2**24, 1), b"\0" * 2**26)], "TEXT: batch of 16777216, m takes 1 to 4"),
    ([audio(data=np.array([0, np.nan, 0], np.float32).tobytes())], "AUDIO: holds values that are not finite"),
    ([audio(data=[0.0, float("inf"), 0.0])], "AUDIO: holds values that are not finite"),
    ([audio(data=[0.0])], "AUDIO: 1 elements were sent"),
    ([audio(), WireTensor("PAIR", "INT32", (2, 2), b"\0" * 16)], "PAIR: batch of 2, but AUDIO has a batch of 1"),
    ([audio(), WireTensor("PAIR", "INT32", (1, 3), b"\0" * 12)], r"PAIR: expected shape \[-1, 2\], got \[1, 3\]"),
    ([audio(), WireTensor("PAIR", "INT32", (1, 2), [2**40, 0])], "PAIR: the values do not fit INT32"),
]


@pytest.mark.parametrize(("tensors", "complaint"), REFUSED)
def test_a_request_that_breaks_the_configuration_names_tensor_and_expectation(
    tensors: Sequence[WireTensor], complaint: str
) -> None:
    with pytest.raises(ModelError, match=complaint) as caught:
        validated(SPEC, tensors)
    assert caught.value.code == Code.INVALID_ARGUMENT


def test_typed_values_and_raw_bytes_mean_the_same() -> None:
    raw = validated(SPEC, [audio(data=np.array([1, 2, 3], np.float32).tobytes())])
    typed = validated(SPEC, [audio(data=[1.0, 2.0, 3.0])])
    np.testing.assert_array_equal(raw["AUDIO"], typed["AUDIO"])


def test_optional_inputs_may_be_left_out() -> None:
    assert set(validated(SPEC, [audio()])) == {"AUDIO"}


def test_a_model_that_breaks_its_own_configuration_is_our_fault_not_the_callers() -> None:
    with pytest.raises(ModelError, match=r"gave OUT of shape \[1, 2\]") as caught:
        checked_output(SPEC, SPEC.outputs[0], np.zeros((1, 2), np.float32))
    assert caught.value.code == Code.INTERNAL
