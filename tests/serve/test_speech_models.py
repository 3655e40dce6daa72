"""The models that quality reports measure with, on the weights their packages carry."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import numpy.typing as npt
import pytest

from serve.app import missing, without_weights
from serve.errors import Code, ModelError
from serve.models import CLASSES, create
from serve.models.base import Model, Tensors
from serve.models.mel import decibels, mel_power
from serve.published import weight_set
from serve.settings import ServeSettings
from serve.weights import ensure, selection, settings_catalogue
from serve.weights_errors import CatalogueError

RATE = 16_000
Samples = npt.NDArray[np.float32]


def loaded(name: str) -> Model:
    settings = ServeSettings(weights="starter")
    entry = settings_catalogue(settings).get(name)
    model = create(entry.model, {"max_seconds": "20"}, [weight_set(ensure(entry, settings))])
    model.load()
    return model


@pytest.fixture(scope="module")
def rater() -> Model:
    return loaded("dnsmos")


@pytest.fixture(scope="module")
def encoder() -> Model:
    return loaded("resemblyzer")


def answer(model: Model, audio: Samples) -> Tensors:
    (found,) = model.infer([{"AUDIO": audio}], [set()])
    assert isinstance(found, dict), found
    return found


def rated(model: Model, audio: Samples) -> dict[str, float]:
    return {name: float(value[0]) for name, value in answer(model, audio).items()}


def test_ratings_are_those_of_microsofts_own_package(rater: Model, librivox: Sequence[Any]) -> None:
    """What speechmos 0.0.1.1 gives for this clip of 5.3 s."""
    clip = next(clip for clip in librivox if clip.name.endswith("0890"))
    assert rated(rater, clip.audio) == pytest.approx(
        {"SIGNAL": 3.4758, "BACKGROUND": 3.1695, "OVERALL": 2.7929, "P808": 3.6001}, abs=0.002
    )


def test_noise_and_distortion_are_rated_worse(rater: Model, librivox: Sequence[Any]) -> None:
    clean = librivox[0].audio
    noise = np.random.default_rng(0).standard_normal(len(clean)).astype(np.float32)
    good, noisy, clipped = (rated(rater, each) for each in (clean, clean + 0.05 * noise, np.clip(30 * clean, -1, 1)))
    assert noisy["BACKGROUND"] < good["BACKGROUND"] - 1
    assert clipped["SIGNAL"] < good["SIGNAL"]
    assert max(noisy["OVERALL"], clipped["OVERALL"]) < good["OVERALL"]
    assert all(1 <= value <= 5 for value in good.values())


def test_every_second_of_a_long_recording_is_rated(rater: Model, librivox: Sequence[Any]) -> None:
    long = np.concatenate([clip.audio for clip in librivox])[: 11 * RATE]
    parts = [rated(rater, long[at * RATE : at * RATE + round(9.01 * RATE)]) for at in (0, 1)]
    for name, value in rated(rater, long).items():
        assert value == pytest.approx(np.mean([part[name] for part in parts]), abs=1e-4)


def test_silence_has_ratings_too(rater: Model) -> None:
    assert all(np.isfinite(value) for value in rated(rater, np.zeros(RATE, np.float32)).values())


def test_one_voice_is_like_itself_and_unlike_another(encoder: Model, librivox: Sequence[Any]) -> None:
    first, second = (answer(encoder, librivox[at].audio)["EMBEDDING"] for at in (0, 2))
    lower = librosa.effects.pitch_shift(librivox[2].audio, sr=RATE, n_steps=-7)
    other = answer(encoder, lower)["EMBEDDING"]
    assert np.linalg.norm(first) == pytest.approx(1, abs=1e-5)
    assert first @ second > 0.8
    assert first @ other < first @ second - 0.1
    quiet = answer(encoder, librivox[0].audio * np.float32(0.01))["EMBEDDING"]
    assert first @ quiet > 0.99


def test_who_says_nothing_has_no_voice(encoder: Model) -> None:
    (refused,) = encoder.infer([{"AUDIO": np.zeros(RATE, np.float32)}], [set()])
    assert isinstance(refused, ModelError)
    assert refused.code == Code.INVALID_ARGUMENT
    assert "nothing is heard" in refused.message


@pytest.mark.parametrize("audio", [np.zeros(0), np.zeros(1000), np.zeros(20 * RATE + 1), np.full(RATE, np.nan)])
def test_what_is_no_recording_is_refused_beside_a_good_one(
    rater: Model, encoder: Model, audio: Samples, librivox: Sequence[Any]
) -> None:
    for model in (rater, encoder):
        refused, answered = model.infer([{"AUDIO": audio.astype("f4")}, {"AUDIO": librivox[1].audio}], [set(), set()])
        assert isinstance(refused, ModelError)
        assert refused.code == Code.INVALID_ARGUMENT
        assert "AUDIO" in refused.message
        assert isinstance(answered, dict)


@pytest.mark.parametrize(("size", "bands"), [(321, 120), (400, 40)])
def test_mel_spectrograms_are_librosas(size: int, bands: int, librivox: Sequence[Any]) -> None:
    audio = librivox[1].audio
    theirs = librosa.feature.melspectrogram(y=audio, sr=RATE, n_fft=size, hop_length=160, n_mels=bands)
    ours = mel_power(audio, RATE, size, 160, bands)
    np.testing.assert_allclose(ours, theirs.T, rtol=1e-3, atol=1e-7)
    np.testing.assert_allclose(decibels(ours), librosa.power_to_db(theirs, ref=np.max).T, atol=0.01)


def test_they_are_chosen_by_name_and_else_absent(tmp_path: Path) -> None:
    def settings(**changes: Any) -> ServeSettings:
        return ServeSettings(weights="starter", weights_dir=tmp_path, **changes)

    assert {"speech_quality", "speaker_embedding"} <= set(without_weights(CLASSES, selection(settings())))
    assert "set OCTAVIA_SPEECH_QUALITY" in missing(settings(), "speech_quality")
    chosen = selection(settings(speech_quality="dnsmos", speaker_embedding="resemblyzer", billing=False))
    assert [entry.name for entry in chosen][-2:] == ["dnsmos", "resemblyzer"]
    with pytest.raises(CatalogueError, match="OCTAVIA_SPEECH_QUALITY names 'resemblyzer', which is weights of speaker"):
        selection(settings(speech_quality="resemblyzer"))
