"""model_repo/<model>/1/model.py under Triton's python backend interface (a stand-in for the module Triton provides)."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

from serve.settings import get_settings
from serve.triton_backend import PythonModel
from tests.serve.test_separate import ENTRY, write_demucs

REPO = Path(__file__).parents[2] / "model_repo"


class TritonError(Exception):
    INVALID_ARG, NOT_FOUND, UNAVAILABLE, UNSUPPORTED, INTERNAL = range(5)

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Tensor:
    named: str
    array: Any

    def name(self) -> str:
        return self.named

    def as_numpy(self) -> Any:
        return self.array


@dataclass
class InferenceResponse:
    output_tensors: list[Tensor] = field(default_factory=list)
    error: TritonError | None = None


@dataclass
class Request:
    given: dict[str, Any]
    wanted: ClassVar[list[str]] = []

    def inputs(self) -> list[Tensor]:
        return [Tensor(name, array) for name, array in self.given.items()]

    def requested_output_names(self) -> list[str]:
        return self.wanted


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """load(model): its TritonPythonModel, initialised as Triton does it."""
    utils = ModuleType("triton_python_backend_utils")
    for each in (TritonError, Tensor, InferenceResponse):
        setattr(utils, each.__name__, each)
    monkeypatch.setitem(sys.modules, utils.__name__, utils)
    monkeypatch.setenv("OCTAVIA_WEIGHTS", "starter")
    get_settings.cache_clear()

    def initialised(model: str) -> Any:
        spec = importlib.util.spec_from_file_location(f"triton_{model}", REPO / model / "1" / "model.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        instance = module.TritonPythonModel()
        instance.initialize({"model_repository": str(REPO / model), "model_name": model})
        return instance

    yield initialised
    get_settings.cache_clear()


@pytest.mark.parametrize("model", ["vad", "whisper", "opus_mt", "coqui_tts", "align", "diarize", "separate"])
def test_every_model_of_the_repository_has_its_adapter(model: str) -> None:
    assert f'model = "{model}"' in (REPO / model / "1" / "model.py").read_text()


def test_vad_answers_good_requests_beside_bad_ones(load: Callable[[str], Any]) -> None:
    vad = load("vad")
    sounds = [np.zeros(512), np.full(512, np.nan), np.zeros(9_600_001), np.zeros(1024)]
    first, broken, long, last = vad.execute([Request({"AUDIO": sound.astype(np.float32)}) for sound in sounds])
    assert [tensor.name() for tensor in first.output_tensors] == ["SPEECH", "PROBABILITY"]
    assert last.output_tensors[1].as_numpy().shape == (2,)
    assert broken.error.code == long.error.code == TritonError.INVALID_ARG
    assert "AUDIO: holds values that are not finite" in str(broken.error)
    vad.finalize()


def test_opus_mt_translates_and_names_the_pairs_it_has(load: Callable[[str], Any]) -> None:
    def row(target: bytes) -> Request:
        values = {"TEXT": b"Good morning.", "SOURCE": b"en", "TARGET": target}
        return Request({name: np.array([[value]], np.object_) for name, value in values.items()})

    good, unknown = load("opus_mt").execute([row(b"es"), row(b"xx")])
    assert good.output_tensors[0].as_numpy()[0, 0].decode()
    assert unknown.error.code == TritonError.NOT_FOUND


def test_separate_takes_sound_apart_with_the_weights_that_are_named(
    load: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_demucs(tmp_path / "weights")
    (tmp_path / "catalogue.toml").write_text(ENTRY.format(folder=tmp_path / "weights"))
    monkeypatch.setenv("OCTAVIA_MODEL_REPO", str(tmp_path))
    monkeypatch.setenv("OCTAVIA_SEPARATE", "small-demucs")
    get_settings.cache_clear()
    sound = np.random.default_rng(0).normal(0, 0.1, (2, 48_000)).astype(np.float32)
    rate = np.array([48_000], np.int32)
    good, long = load("separate").execute(
        [Request({"AUDIO": each, "SAMPLE_RATE": rate}) for each in (sound, np.tile(sound, 31))]
    )
    assert {tensor.name(): tensor.as_numpy().shape for tensor in good.output_tensors} == {
        "VOCALS": (2, 48_000),
        "BACKGROUND": (2, 48_000),
    }
    assert "31.00 s of sound" in str(long.error)


MANY = """
name: "many" backend: "python" max_batch_size: 4
input [ { name: "X", data_type: TYPE_STRING, dims: [ 1 ] } ]
output [ { name: "Y", data_type: TYPE_INT32, dims: [ 1 ] } ]
parameters { key: "class" value: { string_value: "tests.serve.fixture_models:Many" } }
parameters { key: "keys" value: { string_value: "a,b" } }
"""


def test_every_set_of_weights_of_a_multiplexed_model_is_open_until_the_end(
    load: Callable[[str], Any], tmp_path: Path
) -> None:
    del load
    (tmp_path / "many").mkdir()
    (tmp_path / "many" / "config.pbtxt").write_text(MANY)

    class Many(PythonModel):
        model = "many"

    many = Many()
    many.initialize({"model_repository": str(tmp_path / "many"), "model_name": "many"})
    opened = many._loaded.opened  # type: ignore[attr-defined]  # a Many of the fixture models
    (answer,) = many.execute([Request({"X": np.array([[b"b"], [b"a"]], np.object_)})])
    assert answer.output_tensors[0].as_numpy().tolist() == [[1], [0]]
    assert sorted(opened) == ["a", "b"]
    many.finalize()
    assert not opened
