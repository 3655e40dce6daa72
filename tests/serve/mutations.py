"""Good requests of every model, broken at random: structure first (names, types, shapes, counts), then their bytes."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from serve.protocol.codec import NUMPY
from serve.protocol.grpc import CONTENTS
from tests.serve.wire import Call, Tensor, element, recording, sentence, spoken, window, word

GOOD: dict[str, Call] = {
    "vad": recording(1024),
    "whisper": window(1, 3200, word("LANGUAGE", b"en"), Tensor("NUM_SAMPLES", "INT32", (1, 1), b"\x80\x0c\0\0")),
    "opus_mt": sentence(NUM_HYPOTHESES=Tensor("NUM_HYPOTHESES", "INT32", (1, 1), b"\x02\0\0\0")),
    "coqui_tts": spoken(word("LANGUAGE", b"en"), Tensor("SEED", "INT64", (1, 1), bytes(8))),
}
NAMES = ("", "AUDIO", "TEXT", "NUM_SAMPLES", "audio", "N" * 5000, "é\u0000\n", "SPEED", "SECONDS", "../../etc", "stats")
TEXTS = (
    b"",
    b"\xff\xfe",
    b"\0",
    b"?!",
    "🙂 ñ".encode(),
    b"<pad></s>",
    b">>es<<",
    b"x" * 200,
    b"1" * 60,
    b"a b " * 40,
    b"\n\t",
)
LENGTHS = (-(2**63), -1, 0, 1, 2, 7, 9, 65, 2**31, 2**32, 2**60, 2**63 - 1)
NUMBERS = (0.0, -0.0, -1.0, 1e-40, 1e10, 3.4e38, float("nan"), float("inf"), float("-inf"))
JUNK: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**63,
    1e308,
    "",
    "AUDIO",
    "\ud800",
    [],
    [[]],
    [[1], 2],
    {},
    {"name": 1},
    [None] * 50,
)

Mutation = Callable[[random.Random, Call], Call]


def _tensor(chosen: random.Random, call: Call, change: Callable[[Tensor], Tensor]) -> Call:
    if not call.tensors:
        return call
    at = chosen.randrange(len(call.tensors))
    tensors = list(call.tensors)
    tensors[at] = change(tensors[at])
    return replace(call, tensors=tuple(tensors))


def datatype(chosen: random.Random, call: Call) -> Call:
    """Another datatype, or one that does not exist."""
    return _tensor(chosen, call, lambda t: replace(t, datatype=chosen.choice([*NUMPY, "", "FP8", "bytes"])))


def shape(chosen: random.Random, call: Call) -> Call:
    """A dimension more, less or of another length."""

    def change(tensor: Tensor) -> Tensor:
        lengths = list(tensor.shape)
        at = chosen.randrange(len(lengths) + 1)
        kind = chosen.choice(("insert", "remove", "replace"))
        lengths[at : at + (kind != "insert")] = [] if kind == "remove" else [chosen.choice(LENGTHS)]
        return replace(tensor, shape=tuple(lengths))

    return _tensor(chosen, call, change)


def rows(chosen: random.Random, call: Call) -> Call:
    """Each tensor, or one of them, as many times as many rows."""
    times = chosen.choice((0, 2, 3, 9))

    def change(tensor: Tensor) -> Tensor:
        return replace(tensor, shape=(times, *tensor.shape[1:]), data=tensor.data * times)

    if chosen.random() < 0.5:
        return _tensor(chosen, call, change)
    return replace(call, tensors=tuple(change(tensor) for tensor in call.tensors))


def name(chosen: random.Random, call: Call) -> Call:
    """Another name."""
    return _tensor(chosen, call, lambda tensor: replace(tensor, name=chosen.choice(NAMES)))


def tensors(chosen: random.Random, call: Call) -> Call:
    """A tensor left out, sent twice, or taken from another model; or all in another order."""
    mixed = list(call.tensors)
    kind = chosen.choice(("drop", "repeat", "foreign", "shuffle"))
    if kind == "drop" and mixed:
        mixed.pop(chosen.randrange(len(mixed)))
    elif kind == "repeat" and mixed:
        mixed.append(chosen.choice(mixed))
    elif kind == "foreign":
        mixed.append(chosen.choice(GOOD[chosen.choice(list(GOOD))].tensors))
    else:
        chosen.shuffle(mixed)
    return replace(call, tensors=tuple(mixed))


def text(chosen: random.Random, call: Call) -> Call:
    """Strange text, or a length prefix that lies."""

    def change(tensor: Tensor) -> Tensor:
        if tensor.datatype != "BYTES":
            return tensor
        lie = chosen.choice((b"\xff\xff\xff\xff", b"\0\0\0\x80", b"\x01\0\0\0", b""))
        data = element(chosen.choice(TEXTS)) if chosen.random() < 0.7 else lie + tensor.data[4:]
        return replace(tensor, data=data)

    return _tensor(chosen, call, change)


def number(chosen: random.Random, call: Call) -> Call:
    """A number that no model expects."""

    def change(tensor: Tensor) -> Tensor:
        if tensor.datatype == "FP32" and len(tensor.data) >= 4:
            at = 4 * chosen.randrange(len(tensor.data) // 4)
            value = np.float32(chosen.choice(NUMBERS)).tobytes()
            return replace(tensor, data=tensor.data[:at] + value + tensor.data[at + 4 :])
        if tensor.datatype in ("INT32", "INT64"):
            return replace(tensor, data=chosen.randbytes(len(tensor.data)))
        return tensor

    return _tensor(chosen, call, change)


def flips(chosen: random.Random, call: Call) -> Call:
    """Bytes changed, cut off or added."""
    return _tensor(chosen, call, lambda tensor: replace(tensor, data=flipped(chosen, tensor.data)))


def outputs(chosen: random.Random, call: Call) -> Call:
    """Outputs that are not there, or asked for twice, or all of them."""
    wanted = [*call.outputs, chosen.choice([*NAMES, "SPEECH", "TRANSLATIONS"])] * chosen.choice((0, 1, 2))
    return replace(call, outputs=tuple(wanted))


def fields(chosen: random.Random, call: Call) -> Call:
    """Another model, version, id or parameter."""
    parameters = {
        chosen.choice(("timeout", "priority", "sequence_id", "x")): chosen.choice((0, 1, -1, 2**62, "1", 0.5, True))
    }
    return chosen.choice(
        (
            replace(call, model=chosen.choice([*GOOD, "", "VAD", "stats", "a/b", "%2e%ff", "é", "N" * 500])),
            replace(call, version=chosen.choice(("1", "2", "-1", "one"))),
            replace(call, id=chosen.choice(("1", "é" * 500, "\n"))),
            replace(call, parameters=parameters),
        )
    )


MUTATIONS: tuple[Mutation, ...] = (datatype, shape, rows, name, tensors, text, number, flips, outputs, fields)


def flipped(chosen: random.Random, data: bytes) -> bytes:
    """The bytes with some of them changed, cut off or added."""
    changed = bytearray(data)
    for _ in range(chosen.randint(1, 4)):
        at = chosen.randrange(len(changed) + 1)
        kind = chosen.choice(("change", "cut", "add"))
        if kind == "cut":
            del changed[at:]
        else:
            changed[at : at + (kind == "change")] = chosen.randbytes(1)
    return bytes(changed)


def broken_call(chosen: random.Random) -> Call:
    """A good request with one to three things wrong, or nothing."""
    call = GOOD[chosen.choice(list(GOOD))]
    for _ in range(chosen.choice((0, 1, 1, 1, 2, 3))):
        call = chosen.choice(MUTATIONS)(chosen, call)
    return call


def broken_message(chosen: random.Random) -> bytes:
    """A serialised ModelInferRequest: a broken call, perhaps in typed contents, perhaps with its own bytes broken."""
    message = broken_call(chosen).message()
    kind = chosen.choice(("call", "call", "typed", "raw", "bytes"))
    if kind == "typed":
        _typed(chosen, message)
    elif kind == "raw":
        message.raw_input_contents.append(chosen.randbytes(3))
    data: bytes = message.SerializeToString()
    return flipped(chosen, data) if kind == "bytes" else data


def _typed(chosen: random.Random, message: Any) -> None:
    """Values move into typed contents, mostly of the right field, mostly of all tensors."""
    for tensor, data in zip(message.inputs, message.raw_input_contents, strict=True):
        field = CONTENTS.get(tensor.datatype, "fp32_contents")
        if chosen.random() < 0.1:
            field = chosen.choice(list(CONTENTS.values()))
        contents = getattr(tensor.contents, field)
        contents.extend(
            [data[4:]] if field == "bytes_contents" else [chosen.choice((0, 1))] * min(len(data) // 4, 2000)
        )
    if chosen.random() < 0.9:
        message.ClearField("raw_input_contents")


def broken_post(chosen: random.Random) -> tuple[str, dict[str, str], bytes]:
    """Path, headers and body of an inference over HTTP: a broken call, perhaps in JSON, perhaps broken further."""
    call = broken_call(chosen)
    described, raw = call.described(), b"".join(tensor.data for tensor in call.tensors)
    kind = chosen.choice(("call", "call", "json", "tree", "tree", "bytes", "header", "coding"))
    if kind in ("json", "tree") and chosen.random() < 0.5:
        _in_json(chosen, described)
        raw = b""
    if kind == "tree":
        _graft(chosen, described)
    head = json.dumps(described).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))} if raw or chosen.random() < 0.5 else {}
    body = head + raw
    if kind == "bytes":
        body = flipped(chosen, body)
    elif kind == "header":
        headers["Inference-Header-Content-Length"] = chosen.choice(("", "-1", "1", "9" * 30, "x", str(len(head) - 1)))
    elif kind == "coding":
        headers["Content-Encoding"] = chosen.choice(("gzip", "deflate", "br", "identity", ""))
    return call.path, headers, body


def _in_json(chosen: random.Random, described: dict[str, Any]) -> None:
    for entry in described["inputs"]:
        size = entry.pop("parameters")["binary_data_size"]
        values: Any = (
            ["en"] if entry["datatype"] == "BYTES" else [chosen.choice((0, 1, 0.5, 1e39))] * min(size // 4, 2000)
        )
        entry["data"] = [values] if chosen.random() < 0.5 else values


def _graft(chosen: random.Random, node: Any) -> None:
    """Somewhere in the tree, something else."""
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return
        key = chosen.choice(keys)
        if not isinstance(node[key], dict | list) or not node[key] or chosen.random() < 0.3:
            break
        node = node[key]
    if chosen.random() < 0.25:
        del node[key]
    else:
        node[key] = chosen.choice(JUNK)
