"""One inference request as both transports send it, and the refusals they share."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2

from serve.errors import Code

INVALID, NOT_FOUND = Code.INVALID_ARGUMENT, Code.NOT_FOUND


@dataclass(frozen=True)
class Tensor:
    """An input with its raw bytes."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: bytes


@dataclass(frozen=True)
class Call:
    """An inference without its transport."""

    model: str
    tensors: tuple[Tensor, ...] = ()
    outputs: tuple[str, ...] = ()
    version: str = ""
    id: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def replaced(self, name: str, **changes: Any) -> "Call":
        """The same with one tensor changed."""
        changed = [replace(each, **changes) if each.name == name else each for each in self.tensors]
        return replace(self, tensors=tuple(changed))

    def message(self) -> Any:
        """The ModelInferRequest with raw contents."""
        message = service_pb2.ModelInferRequest(model_name=self.model, model_version=self.version, id=self.id)
        for key, value in self.parameters.items():
            kind = {bool: "bool_param", int: "int64_param", float: "double_param"}.get(type(value), "string_param")
            setattr(message.parameters[key], kind, value)
        for tensor in self.tensors:
            message.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
            message.raw_input_contents.append(tensor.data)
        for name in self.outputs:
            message.outputs.add(name=name)
        return message

    @property
    def path(self) -> str:
        """Where it goes over HTTP."""
        return f"/v2/models/{self.model}{f'/versions/{self.version}' if self.version else ''}/infer"

    def described(self) -> dict[str, Any]:
        """The JSON of a binary request."""
        inputs = [
            {
                "name": each.name,
                "datatype": each.datatype,
                "shape": list(each.shape),
                "parameters": {"binary_data_size": len(each.data)},
            }
            for each in self.tensors
        ]
        outputs = {"outputs": [{"name": name} for name in self.outputs]} if self.outputs else {}
        named = {"id": self.id} if self.id else {}
        return {**named, "inputs": inputs, **outputs, "parameters": {"binary_data_output": True, **self.parameters}}

    def body(self) -> tuple[dict[str, str], bytes]:
        """Headers and body of the binary request."""
        return binary_body(self.described(), b"".join(each.data for each in self.tensors))


def binary_body(described: Any, raw: bytes) -> tuple[dict[str, str], bytes]:
    """Headers and body of a JSON with raw tensors behind it."""
    head = json.dumps(described).encode()
    return {"Inference-Header-Content-Length": str(len(head))}, head + raw


def element(text: bytes) -> bytes:
    """A BYTES element."""
    return len(text).to_bytes(4, "little") + text


def word(name: str, *texts: bytes) -> Tensor:
    """A BYTES tensor of one text a row."""
    return Tensor(name, "BYTES", (len(texts), 1), b"".join(map(element, texts)))


def floats(name: str, *values: float) -> Tensor:
    """A vector."""
    return Tensor(name, "FP32", (len(values),), np.array(values, np.float32).tobytes())


def recording(samples: int) -> Call:
    """A vad request of silence."""
    return Call("vad", (Tensor("AUDIO", "FP32", (samples,), bytes(4 * samples)),))


def window(rows: int, samples: int, *more: Tensor) -> Call:
    """A whisper request of silence."""
    return Call("whisper", (Tensor("AUDIO", "FP32", (rows, samples), bytes(4 * rows * samples)), *more))


def sentence(**changes: Tensor) -> Call:
    """A good opus_mt request with some tensors replaced or added."""
    good = {"TEXT": word("TEXT", b"Hello."), "SOURCE": word("SOURCE", b"en"), "TARGET": word("TARGET", b"es")}
    return Call("opus_mt", tuple({**good, **changes}.values()))


def spoken(*more: Tensor, text: bytes = b"Hi.") -> Call:
    """A coqui_tts request that asks for the length only."""
    return Call("coqui_tts", (word("TEXT", text), *more), ("SECONDS",))


def _number(name: str, datatype: str, value: Any, dtype: Callable[[Any], Any]) -> Tensor:
    return Tensor(name, datatype, (1, 1), dtype(value).tobytes())


NO_OTHER = "there is no model 'nope'; this server has "

BAD: dict[str, tuple[Call, Code, str]] = {
    "unknown model": (Call("nope"), NOT_FOUND, NO_OTHER),
    "unknown version": (Call("vad", version="7"), NOT_FOUND, "no version '7', only 1"),
    "no input": (Call("vad"), INVALID, "vad needs input AUDIO"),
    "missing input": (Call("opus_mt", (word("TEXT", b"a"),)), INVALID, "SOURCE, TARGET"),
    "extra input": (Call("vad", (floats("NOISE", 0),)), INVALID, "no input 'NOISE'"),
    "input given twice": (Call("vad", (floats("AUDIO", 0),) * 2), INVALID, "AUDIO: given twice"),
    "wrong datatype": (
        Call("vad", (Tensor("AUDIO", "INT16", (2,), bytes(4)),)),
        INVALID,
        "expected datatype FP32, got INT16",
    ),
    "unknown datatype": (Call("vad", (Tensor("AUDIO", "FP99", (1,), bytes(4)),)), INVALID, "got FP99"),
    "wrong rank": (recording(1).replaced("AUDIO", shape=(1, 1)), INVALID, "expected shape [-1], got [1, 1]"),
    "negative shape": (recording(1).replaced("AUDIO", shape=(-4,)), INVALID, "negative"),
    "huge shape": (recording(1).replaced("AUDIO", shape=(2**60,)), INVALID, "4 bytes sent"),
    "truncated raw bytes": (
        recording(4).replaced("AUDIO", data=bytes(15)),
        INVALID,
        "15 bytes sent, shape [4] of FP32 needs 16",
    ),
    "lying length": (
        sentence(TEXT=Tensor("TEXT", "BYTES", (1, 1), b"\xff\0\0\0abc")),
        INVALID,
        "TEXT: element 0 at offset 0 claims 255",
    ),
    "bytes after the last element": (
        sentence(TEXT=Tensor("TEXT", "BYTES", (1, 1), element(b"a") + b"xx")),
        INVALID,
        "2 bytes follow",
    ),
    "not UTF-8": (sentence(TEXT=word("TEXT", b"\xc3(")), INVALID, "TEXT row 0: not valid UTF-8"),
    "unequal batches": (sentence(TEXT=word("TEXT", b"a", b"b")), INVALID, "SOURCE: batch of 1, but TEXT"),
    "batch too large": (window(9, 10), INVALID, "batch of 9, whisper takes 1 to 8"),
    "empty batch": (window(0, 10), INVALID, "batch of 0"),
    "not a number": (Call("vad", (floats("AUDIO", 0, float("nan")),)), INVALID, "AUDIO: holds values that are not"),
    "infinite speed": (
        spoken(_number("SPEED", "FP32", float("inf"), np.float32)),
        INVALID,
        "SPEED: holds values that are not finite",
    ),
    "unknown output": (Call("vad", outputs=("NOPE",)), INVALID, "vad has no output 'NOPE'"),
    "output asked for twice": (Call("vad", outputs=("SPEECH", "SPEECH")), INVALID, "asked for twice"),
    "timeout that is no number": (
        replace(recording(1), parameters={"timeout": "soon"}),
        INVALID,
        "parameter timeout: expected microseconds",
    ),
    "negative timeout": (
        replace(recording(1), parameters={"timeout": -1}),
        INVALID,
        "as a whole number from 0, got -1",
    ),
    "time that has run out": (replace(recording(1), parameters={"timeout": 1}), Code.DEADLINE_EXCEEDED, "ran out"),
    "window over 30 s": (window(1, 481_600), INVALID, "AUDIO row 0: 30.10 s of 16 kHz audio, at most 30 s"),
    "recording over 600 s": (recording(9_600_001), INVALID, "at most 600 s"),
    "unknown pair": (
        sentence(TARGET=word("TARGET", b"zz")),
        NOT_FOUND,
        "from 'en' to 'zz'; loaded pairs: en→de, en→es",
    ),
    "empty language": (
        sentence(SOURCE=word("SOURCE", b"")),
        INVALID,
        "SOURCE row 0: expected a language code",
    ),
    "no hypotheses": (
        sentence(NUM=_number("NUM_HYPOTHESES", "INT32", 0, np.int32)),
        INVALID,
        "NUM_HYPOTHESES: expected 1 to 8, got 0",
    ),
    "sentence too long": (sentence(TEXT=word("TEXT", b"word " * 2000)), INVALID, "TEXT row 0: "),
    "unknown voice": (spoken(word("VOICE", b"nobody")), NOT_FOUND, "no voice 'nobody'; loaded voices: "),
    "speed too high": (
        spoken(_number("SPEED", "FP32", 3, np.float32)),
        INVALID,
        "SPEED row 0: expected 0.5 to 2.0, got 3",
    ),
    "text too long": (spoken(text=b"word " * 2000), INVALID, "TEXT row 0: 10000 characters"),
    "unknown language of a window": (
        window(1, 16, word("LANGUAGE", b"tlh")),
        INVALID,
        "LANGUAGE row 0: Whisper does not know 'tlh'; it knows af, ",
    ),
    "unknown task": (
        window(1, 16, word("TASK", b"sing")),
        INVALID,
        "TASK row 0: expected transcribe or translate, got 'sing'",
    ),
    "samples that are not there": (
        window(1, 16, _number("NUM_SAMPLES", "INT32", 17, np.int32)),
        INVALID,
        "NUM_SAMPLES row 0: expected 0 to 16",
    ),
}
