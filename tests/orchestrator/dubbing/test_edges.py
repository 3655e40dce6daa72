import numpy as np

from orchestrator.dubbing.edges import LEAD_S, QUIET_S, TAIL_S, audible, heard

RATE = 48_000


def speech(before: float, seconds: float, behind: float) -> np.ndarray:
    parts = [np.full(round(length * RATE), level) for length, level in ((before, 0.001), (seconds, 0.2), (behind, 0.0))]
    return np.concatenate(parts).astype(np.float32)


def test_the_quiet_around_speech_is_left_out_but_a_moment() -> None:
    cut = heard(speech(0.06, 1.0, 0.3), RATE)
    assert len(cut) == round((LEAD_S + 1.0 + TAIL_S) * RATE)
    assert np.flatnonzero(np.abs(cut) > 0.1)[0] == round(LEAD_S * RATE)


def test_speech_that_fills_its_sound_is_left_whole() -> None:
    whole = speech(0.0, 1.0, 0.01)
    assert len(heard(whole, RATE)) == len(whole)


def test_silence_stays_as_it_is() -> None:
    silence = np.zeros(4800, np.float32)
    assert len(heard(silence, RATE)) == 4800
    assert len(heard(silence[:0], RATE)) == 0


def test_what_is_heard_of_speech_is_predicted_without_some_of_the_quiet() -> None:
    assert audible(2.0) == 2.0 - QUIET_S
    assert audible(0.05) == 0.0
