"""Speaking like a clip, on voices of random weights: a d-vector VITS, XTTS, and a VITS with OpenVoice behind it."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from serve.catalogue import load_catalogue
from serve.errors import Code, ModelError
from serve.licences import admit
from serve.models.base import Tensors
from serve.models.cloning import read_clips
from serve.models.coqui_tts import CoquiTts
from serve.settings import ServeSettings
from serve.weights_errors import LicenceRefusedError
from tests import tiny_voices

Samples = npt.NDArray[np.float32]
CATALOGUE = Path(__file__).parents[2] / "model_repo" / "catalogue.toml"
RATE = 16_000
TEXT = "Hello world, this is a test."
WAYS = {"d_vector_vits": "d_vector", "xtts": "xtts", "vits": "voice_conversion"}


@pytest.fixture(scope="module")
def cloning(tmp_path_factory: pytest.TempPathFactory) -> CoquiTts:
    """Three voices that can clone, each in its way, and one of several speakers."""
    folder = tmp_path_factory.mktemp("voices")
    builders = (tiny_voices.d_vector_vits, tiny_voices.xtts, tiny_voices.vits, tiny_voices.openvoice)
    return opened(CoquiTts({}, [build(folder / build.__name__) for build in builders]))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> CoquiTts:
    """A voice of two speakers that cannot clone, and one that can."""
    folder = tmp_path_factory.mktemp("plain")
    builders = (tiny_voices.speakers_vits, tiny_voices.d_vector_vits)
    return opened(CoquiTts({}, [build(folder / build.__name__) for build in builders]))


HELD: list[object] = []


def opened(model: CoquiTts) -> CoquiTts:
    model.load()
    keys = model.keys()
    HELD.extend(model.open(key) for key in keys)
    return model


def clip(pitch: float, seconds: float = 1.5, rate: int = RATE) -> Samples:
    """Something like a voice: a sawtooth of that pitch in syllables."""
    time = np.arange(round(seconds * rate)) / rate
    sawtooth = 2 * (time * pitch % 1) - 1
    return (0.3 * sawtooth * np.abs(np.sin(2 * np.pi * 2 * time))).astype(np.float32)


def asked(voice: str, *clips: Samples | None, text: str = TEXT, **more: Any) -> Tensors:
    """One row a clip; None for a row without one."""
    rows = max(1, len(clips))
    request: Tensors = {
        "TEXT": np.full((rows, 1), text.encode(), object),
        "VOICE": np.full((rows, 1), voice.encode(), object),
    }
    if clips:
        counts = [0 if each is None else len(each) for each in clips]
        request["REFERENCE"] = np.zeros((rows, max(counts)), np.float32)
        for row, each in enumerate(clips):
            if each is not None:
                request["REFERENCE"][row, : len(each)] = each
        request["NUM_REFERENCE"] = np.array([[count] for count in counts], np.int32)
        request["REFERENCE_RATE"] = np.full((rows, 1), RATE, np.int32)
    return request | more


def spoken(model: CoquiTts, request: Tensors, row: int = 0) -> Samples:
    (answer,) = model.infer([request], [set()])
    assert isinstance(answer, dict), answer
    samples: Samples = answer["AUDIO"][row, : answer["NUM_SAMPLES"][row, 0]]
    return samples


def refused(model: CoquiTts, request: Tensors) -> ModelError:
    (answer,) = model.infer([request], [set()])
    assert isinstance(answer, ModelError)
    return answer


@pytest.mark.parametrize(("voice", "way"), WAYS.items())
def test_the_same_clip_gives_the_same_samples_and_another_clip_others(cloning: CoquiTts, voice: str, way: str) -> None:
    published = {each["name"]: each for each in cloning.catalogue()}
    assert published[voice]["cloning"] == way
    low, high = clip(110), clip(230)
    first = spoken(cloning, asked(voice, low))
    other = spoken(cloning, asked(voice, high))
    again = spoken(cloning, asked(voice, low))
    np.testing.assert_array_equal(first, again)
    assert len(first) != len(other) or not np.array_equal(first, other)
    assert np.isfinite(first).all()
    assert 0 < np.abs(first).max() <= 1


@pytest.mark.parametrize("voice", WAYS)
def test_a_clip_costs_no_promise_of_length(cloning: CoquiTts, voice: str) -> None:
    for speed in (0.8, 1.0, 1.3):
        request = asked(voice, clip(110), SPEED=np.array([[speed]], np.float32))
        (planned,) = cloning.infer([request], [{"SECONDS"}])
        (answer,) = cloning.infer([request], [set()])
        assert isinstance(planned, dict)
        assert isinstance(answer, dict)
        assert planned["SECONDS"] == answer["SECONDS"]
        assert answer["AUDIO"].shape[1] == answer["NUM_SAMPLES"][0, 0]


@pytest.mark.parametrize("voice", WAYS)
def test_a_clip_is_spoken_like_whatever_stands_beside_it(cloning: CoquiTts, voice: str) -> None:
    low, high = clip(110), clip(230, seconds=2.0)
    together = asked(voice, low, high)
    np.testing.assert_array_equal(spoken(cloning, together, 0), spoken(cloning, asked(voice, low)))
    np.testing.assert_array_equal(spoken(cloning, together, 1), spoken(cloning, asked(voice, high)))


@pytest.mark.parametrize("voice", ["d_vector_vits", "vits"])
def test_a_row_without_a_clip_among_rows_with_one_is_spoken_by_the_voice_itself(cloning: CoquiTts, voice: str) -> None:
    mixed = spoken(cloning, asked(voice, clip(110), None), 1)
    np.testing.assert_array_equal(mixed, spoken(cloning, asked(voice)))
    assert not np.array_equal(mixed, spoken(cloning, asked(voice, clip(110))))


def test_text_over_xtts_own_limit_is_split_and_its_length_still_promised(cloning: CoquiTts) -> None:
    long = " ".join([TEXT] * 10)
    request = asked("xtts", clip(110), text=long)
    samples = spoken(cloning, request)
    (planned,) = cloning.infer([request], [{"NUM_SAMPLES"}])
    assert isinstance(planned, dict)
    assert len(long) > 250
    assert planned["NUM_SAMPLES"][0, 0] == len(samples)


def test_xtts_without_speakers_of_its_own_asks_for_a_clip(cloning: CoquiTts) -> None:
    error = refused(cloning, asked("xtts"))
    assert error.code == Code.INVALID_ARGUMENT
    assert error.message == "REFERENCE: this voice has no speaker of its own; send a clip of the one to speak like"


def test_a_language_the_voice_does_not_speak_is_not_found(cloning: CoquiTts) -> None:
    error = refused(cloning, asked("xtts", clip(110), LANGUAGE=np.array([[b"tlh"]], object)))
    assert error.code == Code.NOT_FOUND
    assert "it speaks en, es" in error.message


def test_languages_of_one_voice_sound_different(cloning: CoquiTts) -> None:
    def heard(language: bytes) -> Samples:
        return spoken(cloning, asked("d_vector_vits") | {"LANGUAGE": np.array([[language]], object)})

    english, french, default = heard(b"en"), heard(b"fr"), heard(b"")
    np.testing.assert_array_equal(english, default)
    assert len(english) != len(french) or not np.array_equal(english, french)


def test_a_voice_that_cannot_clone_refuses_the_clip_and_names_those_that_can(plain: CoquiTts) -> None:
    error = refused(plain, asked("speakers_vits", clip(110)))
    assert error.code == Code.INVALID_ARGUMENT
    assert error.message == (
        "REFERENCE row 0: voice 'speakers_vits' cannot speak like a clip; voices that can: d_vector_vits"
    )


@pytest.mark.parametrize("voice", ["speakers_vits", "d_vector_vits"])
def test_speakers_of_a_voice_are_called_by_their_names(plain: CoquiTts, voice: str) -> None:
    published = {each["name"]: each for each in plain.catalogue()}
    assert published[voice]["speakers"] == ["ann", "bob"]
    ann, bob, first = (spoken(plain, asked(name)) for name in (f"{voice}/ann", f"{voice}/bob", voice))
    np.testing.assert_array_equal(ann, first)
    assert len(ann) != len(bob) or not np.array_equal(ann, bob)
    error = refused(plain, asked(f"{voice}/eve"))
    assert error.code == Code.NOT_FOUND
    assert error.message == "VOICE: there is no speaker 'eve'; speakers of this voice: ann, bob"


def test_a_clip_is_analysed_once_however_often_it_is_sent(plain: CoquiTts) -> None:
    first, again, other = (read_clips(asked("", clip(pitch)), 1)[0] for pitch in (110, 110, 120))
    voice = plain.open("d_vector_vits,")
    assert voice.timbre("", first) is voice.timbre("", again)
    assert voice.timbre("", first) is not voice.timbre("", other)


def with_nan() -> Samples:
    sound = clip(110)
    sound[5] = np.nan
    return sound


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"REFERENCE": clip(110, 0.5)[None]}, "REFERENCE row 0: expected 1 to 60 s of speech, got 0.50 s"),
        ({"REFERENCE": clip(110, 61)[None]}, "REFERENCE row 0: expected 1 to 60 s of speech, got 61.00 s"),
        ({"REFERENCE": np.zeros((1, 2 * RATE), np.float32)}, "REFERENCE row 0: is silent"),
        ({"REFERENCE": with_nan()[None]}, "REFERENCE row 0: holds values that are not finite"),
        ({"REFERENCE": 20_000 * clip(110)[None]}, "REFERENCE row 0: expected samples in [-1, 1], got up to"),
        ({"REFERENCE_RATE": np.array([[0]], np.int32)}, "REFERENCE_RATE row 0: expected 8000 to 192000 Hz, got 0"),
        ({"NUM_REFERENCE": np.array([[-1]], np.int32)}, "NUM_REFERENCE row 0: expected 0 to 24000"),
        ({"NUM_REFERENCE": np.array([[24_001]], np.int32)}, "NUM_REFERENCE row 0: expected 0 to 24000"),
        ({"VOICE": np.array([[b"d_vector_vits/ann"]], object)}, "REFERENCE row 0: VOICE names the speaker 'ann'"),
    ],
)
def test_a_clip_in_which_nobody_can_be_heard_is_refused(plain: CoquiTts, change: Tensors, complaint: str) -> None:
    request = asked("d_vector_vits", clip(110)) | change
    if "REFERENCE" in change:
        del request["NUM_REFERENCE"]
    error = refused(plain, request)
    assert error.code == Code.INVALID_ARGUMENT
    assert complaint in error.message


@pytest.mark.parametrize(
    ("left_out", "complaint"),
    [
        ("REFERENCE_RATE", "REFERENCE_RATE: send the sample rate of REFERENCE in Hz"),
        ("REFERENCE", "REFERENCE_RATE: was sent without REFERENCE"),
    ],
)
def test_a_clip_and_its_rate_belong_together(plain: CoquiTts, left_out: str, complaint: str) -> None:
    request = asked("d_vector_vits", clip(110))
    del request[left_out]
    assert refused(plain, request).message == complaint


def test_the_rate_of_a_clip_changes_how_it_is_heard(plain: CoquiTts) -> None:
    sound = clip(110)
    slow = asked("d_vector_vits", sound) | {"REFERENCE_RATE": np.array([[12_000]], np.int32)}
    assert not np.array_equal(spoken(plain, slow), spoken(plain, asked("d_vector_vits", sound)))


@pytest.mark.parametrize("name", ["your-tts", "xtts-v2"])
def test_voices_for_no_paid_use_are_in_no_set_and_refused_when_billing_is_on(name: str) -> None:
    entry = load_catalogue(CATALOGUE).get(name)
    assert entry.sets == ()
    with pytest.raises(LicenceRefusedError, match=name):
        admit(entry, ServeSettings(billing=True))
