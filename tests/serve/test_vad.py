"""Where somebody speaks."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.errors import Code, ModelError
from serve.models.vad import Vad, speech_stretches

RULES = {"threshold": 0.5, "min_silence_s": 0.2, "min_speech_s": 0.1, "pad_s": 0.05}


@pytest.fixture(scope="module")
def vad() -> Vad:
    model = Vad({"max_seconds": "20"})
    model.load()
    return model


def stretches(pattern: str, **changes: float) -> list[tuple[float, float]]:
    """One character is a frame of 32 ms: # speech, ~ perhaps, . silence."""
    probability = [{"#": 0.9, "~": 0.4, ".": 0.05}[frame] for frame in pattern]
    return [
        (round(start / 0.032, 1), round(end / 0.032, 1))
        for start, end in speech_stretches(probability, len(pattern) * 0.032, **{**RULES, "pad_s": 0.0} | changes)
    ]


def test_a_stretch_begins_with_speech_and_ends_with_silence() -> None:
    assert stretches("....#####........######") == [(4, 9), (17, 23)]


def test_a_short_silence_does_not_end_a_stretch_and_doubt_goes_on() -> None:
    assert stretches("####...####~~~~~~~~~~~~####.......") == [(0, 27)]


def test_a_click_is_no_speech() -> None:
    assert stretches("......##..........") == []


def test_padding_ends_in_the_middle_of_the_gap_and_at_the_recordings_ends() -> None:
    assert stretches("####.......####", pad_s=1.0) == [(0, 7.5), (7.5, 15)]


@given(st.lists(st.floats(0, 1, width=32), max_size=200), st.floats(0, 0.5))
def test_stretches_ascend_are_disjoint_and_lie_inside_the_recording(probability: list[float], pad_s: float) -> None:
    seconds = len(probability) * 0.032
    found = speech_stretches(probability, seconds, 0.5, 0.2, 0.1, pad_s)
    times = [time for stretch in found for time in stretch]
    assert times == sorted(times)
    assert all(0 <= time <= seconds for time in times)


def test_speech_between_silences_is_found_where_it_is(vad: Vad, librivox: list[Any]) -> None:
    silence = np.zeros(32_000, np.float32)
    clip = librivox[1].audio
    (answer,) = vad.infer([{"AUDIO": np.concatenate([silence, clip, silence])}], [set()])
    assert isinstance(answer, dict)
    assert answer["SPEECH"].shape == (1, 2)
    start, end = answer["SPEECH"][0]
    assert 2.0 < start < 2.5
    assert 4.6 < end < 5.1


@pytest.mark.parametrize("length", [0, 1, 511, 512, 513, 16_000])
def test_there_is_a_probability_for_every_begun_frame(vad: Vad, length: int) -> None:
    (answer,) = vad.infer([{"AUDIO": np.zeros(length, np.float32)}], [set()])
    assert isinstance(answer, dict)
    assert answer["PROBABILITY"].shape == (-(-length // 512),)
    assert answer["SPEECH"].shape == (0, 2)


def test_too_much_audio_is_refused_beside_a_good_request(vad: Vad) -> None:
    refused, answered = vad.infer([{"AUDIO": np.zeros(n, np.float32)} for n in (320_001, 320_000)], [set(), set()])
    assert isinstance(refused, ModelError)
    assert refused.code == Code.INVALID_ARGUMENT
    assert isinstance(answered, dict)


def test_the_plane_finds_the_same_as_the_class(infer: Callable[..., Any], librivox: list[Any], vad: Vad) -> None:
    audio = librivox[0].audio
    served = infer("vad", [("AUDIO", audio, "FP32")])
    (plain,) = vad.infer([{"AUDIO": audio}], [set()])
    assert isinstance(plain, dict)
    np.testing.assert_allclose(served["SPEECH"], plain["SPEECH"], atol=1e-5)
    np.testing.assert_allclose(served["PROBABILITY"], plain["PROBABILITY"], atol=1e-5)
