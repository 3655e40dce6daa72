"""One protocol, any server: our gRPC, our HTTP and, where OCTAVIA_TRITON_GRPC and OCTAVIA_TRITON_HTTP name it, a real
Triton over the same model repository (`make triton`). All must answer the same, and refuse the same.
"""

import functools
import json
import os
import queue
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from serve.repository import read_repository
from tests.fixtures_model_plane import Plane
from tests.serve.protocol_client import Array, ProtocolClient, column, opened

TRITON = {
    transport: os.environ[f"OCTAVIA_TRITON_{transport.upper()}"]
    for transport in ("grpc", "http")
    if f"OCTAVIA_TRITON_{transport.upper()}" in os.environ
}
SERVERS = ["octavia-grpc", "octavia-http", *(f"triton-{transport}" for transport in TRITON)]
MODELS = ["vad", "opus_mt", "whisper", "coqui_tts", "speech_to_speech"]
ALWAYS = {"vad", "opus_mt"}
"""Models that every server must have; the libraries of the others may be missing in Triton's environment."""

SPECS = read_repository(Path(__file__).parents[2] / "model_repo")
Tensors = Mapping[str, Array]


@pytest.fixture(scope="module")
def addresses(plane: Plane) -> dict[str, str]:
    """Where each server listens."""
    ours = {"octavia-grpc": str(plane.ready["grpc"]), "octavia-http": str(plane.ready["http"])}
    return ours | {f"triton-{transport}": address for transport, address in TRITON.items()}


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, addresses: Mapping[str, str]) -> Iterator[ProtocolClient]:
    """A client of each server in turn."""
    with opened(request.param.split("-")[1], addresses[request.param]) as client:
        yield client


@pytest.fixture(scope="module")
def having(server: ProtocolClient) -> Callable[[str], None]:
    """having(model): skips the test, with the server's own reason, where a server could not load the model."""
    states = server.states()

    def check(model: str) -> None:
        state = states.get(model, "not in the repository's index")
        if state != "READY" and model not in ALWAYS and server.server_metadata()["name"] == "triton":
            pytest.skip(f"Triton could not load {model}: {state}")
        assert state == "READY"

    return check


class Asked(NamedTuple):
    """An inference, and which outputs it asks for: none named, all."""

    model: str
    tensors: Tensors
    outputs: tuple[str, ...] = ()


@pytest.fixture(scope="module")
def asked(librivox: list[Any]) -> dict[str, Asked]:
    """What all servers answer the same."""
    short, other = librivox[1].audio, librivox[4].audio
    both = np.zeros((2, len(other)), np.float32)
    both[0, : len(short)], both[1] = short, other
    sizes = np.array([[len(short)], [len(other)]], np.int32)
    said = column("He was not a young man.", "He might be amiable.")
    number = np.array([[3]], np.int32)
    chosen: Tensors = {
        "SPEED": np.array([[1.1]], np.float32),
        "SEED": np.array([[7]], np.int64),
        "LANGUAGE": column("en"),
    }
    pairs: Tensors = {"SOURCE": column("en", "en", "es"), "TARGET": column("es", "de", "en")}
    sentence: Tensors = {"TEXT": said[:1], "SOURCE": column("en"), "TARGET": column("es")}
    untouched: Tensors = {
        "TEXT": column("¿Qué tal? 日本 ", ""),
        "SOURCE": column("es", ""),
        "TARGET": column("es", "es"),
    }
    return {
        "speech in a recording": Asked("vad", {"AUDIO": short}),
        "a window": Asked("whisper", {"AUDIO": short[None]}),
        "windows of known language": Asked(
            "whisper", {"AUDIO": both, "NUM_SAMPLES": sizes, "LANGUAGE": column("en", "en")}
        ),
        "sentences of several pairs": Asked(
            "opus_mt", {"TEXT": column("Good morning.", "Thank you.", "Gracias."), **pairs}
        ),
        "the three best": Asked("opus_mt", {**sentence, "NUM_HYPOTHESES": number}),
        "one output of two": Asked("opus_mt", sentence, ("SCORES",)),
        "text that stays as it is": Asked("opus_mt", untouched, ("TRANSLATIONS",)),
        "a sentence spoken": Asked("coqui_tts", {"TEXT": said[:1], **chosen}),
        "sentences of different length": Asked("coqui_tts", {"TEXT": said}),
        "length without sound": Asked("coqui_tts", {"TEXT": said[:1]}, ("SECONDS", "SAMPLE_RATE")),
        "speech to speech": Asked(
            "speech_to_speech", {"WINDOW": both, "WINDOW_SAMPLES": sizes, "TARGET": column("es", "de")}
        ),
        "an output of each step": Asked(
            "speech_to_speech",
            {"WINDOW": short[None], "TARGET": column("es")},
            ("TRANSCRIPT", "TRANSLATION", "NUM_SAMPLES"),
        ),
    }


ASKED = [
    "speech in a recording",
    "a window",
    "windows of known language",
    "sentences of several pairs",
    "the three best",
    "one output of two",
    "text that stays as it is",
    "a sentence spoken",
    "sentences of different length",
    "length without sound",
    "speech to speech",
    "an output of each step",
]


def remembering(client: ProtocolClient, asked: Mapping[str, Asked]) -> Callable[[str], Tensors]:
    """The client's answer to each case, asked once."""
    return functools.cache(lambda case: client.infer(*asked[case]))


@pytest.fixture(scope="module")
def expected(addresses: Mapping[str, str], asked: Mapping[str, Asked]) -> Iterator[Callable[[str], Tensors]]:
    """expected(case): what our gRPC answers."""
    with opened("grpc", addresses["octavia-grpc"]) as client:
        yield remembering(client, asked)


@pytest.fixture(scope="module")
def answered(server: ProtocolClient, asked: Mapping[str, Asked]) -> Callable[[str], Tensors]:
    """answered(case): what the server answers."""
    return remembering(server, asked)


def same(name: str, one: Array, other: Array) -> None:
    """Text and whole numbers are equal; probabilities, scores, seconds and samples within a thousandth."""
    assert (one.shape, one.dtype) == (other.shape, other.dtype)
    if name == "SEGMENTS":
        for a, b in zip(one.reshape(-1), other.reshape(-1), strict=True):
            assert json.loads(a) == nearly(json.loads(b))
    elif one.dtype.kind == "f":
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-3, err_msg=name)
    else:
        np.testing.assert_array_equal(one, other, err_msg=name)


def nearly(value: Any) -> Any:
    """The same JSON with its probabilities approximate; times are exact."""
    if isinstance(value, list):
        return [nearly(each) for each in value]
    if isinstance(value, dict):
        loose = ("probability", "avg_logprob", "no_speech_prob", "compression_ratio")
        return {key: pytest.approx(each, abs=1e-3) if key in loose else nearly(each) for key, each in value.items()}
    return value


def test_the_server_is_live_ready_and_says_who_it_is(server: ProtocolClient) -> None:
    assert server.raw.is_server_live()
    told = server.server_metadata()
    assert told["name"] in ("octavia", "triton")
    assert {"model_repository", "model_configuration", "statistics", "binary_tensor_data"} <= set(told["extensions"])
    assert server.raw.is_server_ready()


@pytest.mark.parametrize("model", MODELS)
def test_a_model_is_ready_and_described_as_its_configuration_has_it(
    server: ProtocolClient, having: Callable[[str], None], model: str
) -> None:
    having(model)
    spec = SPECS[model]
    assert server.raw.is_model_ready(model)
    assert server.raw.is_model_ready(model, "1")
    assert server.metadata(model) == {
        "name": model,
        "versions": ["1"],
        "inputs": [(each.name, each.datatype, spec.shape(each)) for each in spec.inputs],
        "outputs": [(each.name, each.datatype, spec.shape(each)) for each in spec.outputs],
    }


@pytest.mark.parametrize("model", MODELS)
def test_batching_steps_and_parameters_of_a_model_are_those_of_its_file(
    server: ProtocolClient, having: Callable[[str], None], model: str
) -> None:
    having(model)
    told, written = server.config(model), SPECS[model].config()
    assert told.max_batch_size == written.max_batch_size
    assert list(told.input) == list(written.input)
    assert list(told.dynamic_batching.preferred_batch_size) == list(written.dynamic_batching.preferred_batch_size)
    delay = "max_queue_delay_microseconds"
    assert getattr(told.dynamic_batching, delay) == getattr(written.dynamic_batching, delay)
    assert told.dynamic_batching.default_queue_policy == written.dynamic_batching.default_queue_policy
    assert [step.model_name for step in told.ensemble_scheduling.step] == [step.model for step in SPECS[model].steps]
    assert {key: told.parameters[key].string_value for key in SPECS[model].parameters} == SPECS[model].parameters


@pytest.mark.parametrize("case", ASKED)
def test_every_server_answers_the_same(
    having: Callable[[str], None],
    asked: Mapping[str, Asked],
    answered: Callable[[str], Tensors],
    expected: Callable[[str], Tensors],
    case: str,
) -> None:
    having(asked[case].model)
    answer, wanted = answered(case), expected(case)
    names = list(asked[case].outputs) or [each.name for each in SPECS[asked[case].model].outputs]
    assert sorted(answer) == sorted(names) == sorted(wanted)
    for name in names:
        same(name, answer[name], wanted[name])


def test_what_was_heard_translated_and_spoken_is_what_was_meant(
    having: Callable[[str], None], answered: Callable[[str], Tensors]
) -> None:
    having("speech_to_speech")
    answer = answered("speech to speech")
    heard = [text.decode().lower() for text in answer["TRANSCRIPT"][:, 0]]
    assert "young man" in heard[0]
    assert "amiable" in heard[1]
    assert list(answer["LANGUAGE"][:, 0]) == [b"en", b"en"]
    assert all(answer["TRANSLATION"][:, 0] != answer["TRANSCRIPT"][:, 0])
    assert (answer["NUM_SAMPLES"][:, 0] > 10_000).all()
    assert answer["AUDIO"].shape == (2, answer["NUM_SAMPLES"].max())


def test_an_answer_carries_the_request_s_id_and_the_model_s_version(server: ProtocolClient) -> None:
    told, _ = server.answer("vad", {"AUDIO": np.zeros(512, np.float32)}, request_id="a1", model_version="1")
    assert told == {"model": "vad", "version": "1", "id": "a1"}


def test_statistics_count_rows_and_requests(server: ProtocolClient) -> None:
    rows = {"TEXT": column("Yes.", "No.", "Why?"), "SOURCE": column(*["en"] * 3), "TARGET": column(*["es"] * 3)}
    inferences, requests = server.counted("opus_mt")
    server.infer("opus_mt", rows)
    assert server.counted("opus_mt") == (inferences + 3, requests + 1)


@pytest.mark.parametrize("server", [name for name in SERVERS if name.endswith("grpc")], indirect=True)
def test_a_stream_is_answered_in_order_and_goes_on_after_a_refusal(
    server: ProtocolClient, having: Callable[[str], None], librivox: list[Any]
) -> None:
    having("whisper")
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    server.raw.start_stream(lambda result, error: answers.put((result, error)))
    stream = {"first": ("whisper", librivox[1].audio[None]), "second": ("vad", np.zeros((1, 1), np.float32))}
    for name, (model, audio) in {**stream, "third": ("vad", librivox[1].audio)}.items():
        server.raw.async_stream_infer(model, server.inputs({"AUDIO": audio}), request_id=name)
    (first, _), (_, refusal), (third, _) = (answers.get(timeout=60) for _ in range(3))
    server.raw.stop_stream()
    assert (first.get_response().id, third.get_response().id) == ("first", "third")
    assert "AUDIO" in refusal.message()


SENTENCE: Tensors = {"TEXT": column("Good morning."), "SOURCE": column("en"), "TARGET": column("es")}
SOUND: Tensors = {"AUDIO": np.zeros(512, np.float32)}
TWO_TEXTS: Tensors = {"TEXT": np.array([[b"a", b"b"]], np.object_)}
WINDOW: Tensors = {"WINDOW": np.zeros((1, 16), np.float32), "TARGET": column("es")}


class Refusal(NamedTuple):
    """What is refused, with which status, and what the message must name."""

    asked: Asked
    status: str
    names: tuple[str, ...]


INVALID, NOT_FOUND = "INVALID_ARGUMENT", "NOT_FOUND"
REFUSED = {
    "unknown model": Refusal(Asked("nope", SOUND), NOT_FOUND, ("nope",)),
    "wrong type": Refusal(Asked("vad", {"AUDIO": np.zeros(512)}), INVALID, ("AUDIO", "FP32", "FP64")),
    "wrong rank": Refusal(Asked("vad", {"AUDIO": np.zeros((1, 9), np.float32)}), INVALID, ("AUDIO", "[-1]")),
    "wrong length": Refusal(Asked("opus_mt", {**SENTENCE, **TWO_TEXTS}), INVALID, ("TEXT", "[-1")),
    "missing input": Refusal(Asked("opus_mt", {"TEXT": column("Hi."), "SOURCE": column("en")}), INVALID, ("TARGET",)),
    "unknown input": Refusal(Asked("opus_mt", {**SENTENCE, "NOPE": column("x")}), INVALID, ("NOPE", "opus_mt")),
    "unknown output": Refusal(Asked("opus_mt", SENTENCE, ("NOPE",)), INVALID, ("NOPE", "opus_mt")),
    "batch too large": Refusal(Asked("whisper", {"AUDIO": np.zeros((9, 16), np.float32)}), INVALID, ("whisper", "8")),
    "unequal batches": Refusal(Asked("opus_mt", {**SENTENCE, "TEXT": column("a", "b")}), INVALID, ("TEXT",)),
    "not a number": Refusal(Asked("vad", {"AUDIO": np.full(9, np.nan, np.float32)}), INVALID, ("AUDIO", "not finite")),
    "window over 30 s": Refusal(
        Asked("whisper", {"AUDIO": np.zeros((1, 496_000), np.float32)}), INVALID, ("AUDIO row 0", "31.00 s")
    ),
    "not UTF-8": Refusal(
        Asked("opus_mt", {**SENTENCE, "TEXT": np.array([[b"\xff\xfe"]], np.object_)}), INVALID, ("TEXT row 0", "UTF-8")
    ),
    "unknown pair": Refusal(Asked("opus_mt", {**SENTENCE, "TARGET": column("zz")}), NOT_FOUND, ("'en' to 'zz'",)),
    "unknown voice": Refusal(
        Asked("coqui_tts", {"TEXT": column("Hi."), "VOICE": column("nobody")}), NOT_FOUND, ("'nobody'",)
    ),
    "a step that refuses": Refusal(
        Asked("speech_to_speech", {**WINDOW, "VOICE": column("nobody")}), NOT_FOUND, ("speech_to_speech", "'nobody'")
    ),
    "ensemble without its input": Refusal(Asked("speech_to_speech", {"TARGET": column("es")}), INVALID, ("WINDOW",)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_every_server_refuses_the_same_and_names_what_is_wrong(
    server: ProtocolClient, having: Callable[[str], None], case: str
) -> None:
    refusal = REFUSED[case]
    if refusal.asked.model in SPECS:
        having(refusal.asked.model)
    status, message = server.refused(*refusal.asked)
    assert status == refusal.status
    assert all(name in message for name in refusal.names), message


def test_a_model_that_is_not_there_is_not_ready(server: ProtocolClient) -> None:
    assert not server.raw.is_model_ready("nope")
    assert not server.raw.is_model_ready("vad", "7")
