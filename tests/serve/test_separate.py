"""Source separation by torchaudio's Hybrid Demucs with random weights: its parts mean nothing, all else is real."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from serve.errors import Code, ModelError
from serve.models.base import WeightSet
from serve.models.demucs_folder import load_demucs
from serve.models.separate import Separate

RATE = 44_100
SMALL = {"sources": ["drums", "vocals", "other"], "channels": 4}
ENTRY = """
[[weights]]
name = "small-demucs"
model = "separate"
source = "file:{folder}"
licence = "CC0-1.0"
licence_chain = "CC0-1.0: ours"
paid_use = true
"""

Run = Callable[..., Any]


def write_demucs(folder: Path, **description: Any) -> Path:
    """Hybrid Demucs with few channels, saved as torchaudio's published ones are: a state dict alone."""
    from torchaudio.models import HDemucs  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    torch.save(HDemucs(**SMALL).state_dict(), folder / "hdemucs_high_trained.pt")
    (folder / "demucs.json").write_text(json.dumps(SMALL | description))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demucs(tmp_path_factory.mktemp("demucs"))


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    """run(audio, rate) -> its answer."""
    model = Separate({"max_seconds": "5", "device": "cpu"}, [WeightSet("small", folder, {"name": "small"})])
    model.load()
    assert model.catalogue() == [{"name": "small"}]

    def one(audio: Any, rate: int | None = None) -> Any:
        given = {} if rate is None else {"SAMPLE_RATE": np.array([rate], np.int32)}
        (answer,) = model.infer([{"AUDIO": audio, **given}], [set()])
        return answer

    return one


def noise(seconds: float, rate: int = RATE) -> Any:
    return np.random.default_rng(0).normal(0, 0.1, (2, round(seconds * rate))).astype(np.float32)


@pytest.mark.parametrize("rate", [None, 44_100, 48_000])
@pytest.mark.parametrize("seconds", [0.1, 1.2345])
def test_both_parts_are_as_long_as_the_sound_and_at_its_rate(run: Run, seconds: float, rate: int | None) -> None:
    sound = noise(seconds, rate or RATE)
    answer = run(sound, rate)
    for name in ("VOCALS", "BACKGROUND"):
        assert (answer[name].shape, answer[name].dtype) == (sound.shape, np.float32)
        assert np.isfinite(answer[name]).all()


def test_the_same_sound_always_gives_the_same_parts(run: Run) -> None:
    first, again = run(noise(1.0)), run(noise(1.0))
    assert np.array_equal(first["BACKGROUND"], again["BACKGROUND"])


def test_a_louder_sound_gives_louder_parts(run: Run) -> None:
    quiet, loud = run(noise(1.0)), run(noise(1.0) * 4)
    assert np.allclose(loud["VOCALS"], quiet["VOCALS"] * 4, atol=1e-4)
    assert np.allclose(loud["BACKGROUND"], quiet["BACKGROUND"] * 4, atol=1e-4)


def test_silence_and_a_constant_have_no_voices(run: Run) -> None:
    constant = np.full((2, RATE), 0.25, np.float32)
    for sound in (np.zeros_like(constant), constant):
        answer = run(sound)
        assert not answer["VOCALS"].any()
        assert np.array_equal(answer["BACKGROUND"], sound)


def test_sound_without_a_middle_is_not_blown_up(run: Run) -> None:
    side = noise(1.0)[:1]
    answer = run(np.concatenate([side, -side]))
    assert max(np.abs(part).max() for part in answer.values()) < 10


@pytest.mark.parametrize(
    ("seconds", "rate", "says"),
    [
        (0.05, 44_100, "AUDIO: 0.05 s of sound at 44100 Hz, expected 0.1 to 5 s"),
        (0.0, 44_100, "AUDIO: 0.00 s"),
        (6.0, 44_100, "AUDIO: 6.00 s"),
        (1.0, 1_000, "SAMPLE_RATE: expected 8000 to 192000 Hz, got 1000"),
        (1.0, -1, "SAMPLE_RATE"),
    ],
)
def test_what_cannot_be_taken_apart_is_refused_with_its_reason(run: Run, seconds: float, rate: int, says: str) -> None:
    answer = run(noise(seconds), rate)
    assert isinstance(answer, ModelError)
    assert answer.code == Code.INVALID_ARGUMENT
    assert says in answer.message


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"demucs.json": b"{"}, "not valid JSON"),
        ({"demucs.json": b"[]"}, "sources among which are vocals"),
        ({"demucs.json": b'{"sources": ["drums"]}'}, "sources among which are vocals"),
        ({"demucs.json": b'{"sample_rate": "fast"}'}, "a whole sample_rate"),
        ({"demucs.json": b'{"colour": "red"}'}, "not the weights of a Hybrid Demucs"),
        ({"demucs.json": b'{"channels": 8}'}, "not the weights of a Hybrid Demucs"),
        ({"another.pt": b""}, r"expected one \*\.pt file"),
        ({"hdemucs_high_trained.pt": b"nothing"}, "not the weights of a Hybrid Demucs"),
    ],
)
def test_a_folder_that_is_none_is_refused_with_its_reason(
    folder: Path, tmp_path: Path, change: dict[str, bytes], says: str
) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    for name, content in change.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=says):
        load_demucs(tmp_path, "cpu")


def test_a_checkpoint_that_runs_code_is_not_loaded(tmp_path: Path) -> None:
    write_demucs(tmp_path)
    torch.save({"evil": Evil()}, tmp_path / "hdemucs_high_trained.pt")
    with pytest.raises(ValueError, match="not the weights"):
        load_demucs(tmp_path, "cpu")
    assert not (tmp_path / "evil").exists()


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (open, ("evil", "w"))


def test_one_set_of_weights_is_loaded(folder: Path) -> None:
    with pytest.raises(ValueError, match="OCTAVIA_SEPARATE"):
        Separate({}, [WeightSet(name, folder, {}) for name in ("a", "b")])
