"""Utterances with a clip to speak like, sent as the control plane sends them, to Coqui's own code with tiny weights."""

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from orchestrator.inference import Inference, ModelRefusedError, Reference, Utterance
from serve.models.coqui_tts import CoquiTts
from tests import tiny_voices
from tests.standins.models import serving_models

pytestmark = pytest.mark.anyio

RATE = 24_000
PLAIN = Utterance("Good morning, and how are you?", "en", "parrot")


def humming(note: float, seconds: float) -> Reference:
    """Somebody who hums a note in syllables."""
    clock = np.arange(round(seconds * RATE)) / RATE
    sound = 0.3 * np.sin(2 * np.pi * note * clock) * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * clock))
    return Reference(sound.astype(np.float32), RATE)


LOW = dataclasses.replace(PLAIN, like=humming(150, 6.0))
HIGH = dataclasses.replace(PLAIN, like=humming(900, 9.0))


@pytest.fixture
async def models(tmp_path: Path) -> AsyncIterator[Inference]:
    """One voice that clones."""
    parrot = tiny_voices.d_vector_vits(tmp_path / "parrot")
    model = CoquiTts({"device": "cpu"}, [parrot])
    model.load()
    async with serving_models({"coqui_tts": model}, {}) as address, Inference(address, wait_s=30) as client:
        yield client


async def test_the_same_words_sound_different_like_another_clip_and_the_same_like_the_same(models: Inference) -> None:
    low, high, again, own = [(await models.synthesize(each)).samples for each in (LOW, HIGH, LOW, PLAIN)]
    assert np.array_equal(low, again)
    for one, other in ((low, high), (low, own), (high, own)):
        assert len(one) != len(other) or np.abs(one - other).max() > 0.01


async def test_clips_of_different_lengths_in_one_call_stay_with_their_rows(models: Inference) -> None:
    each = [(await models.seconds([utterance]))[0] for utterance in (PLAIN, LOW, HIGH)]
    assert await models.seconds([PLAIN, LOW, HIGH]) == pytest.approx(each)
    spoken = await models.synthesize(HIGH)
    assert len(spoken.samples) / spoken.sample_rate == pytest.approx(each[2], abs=1e-3)


@pytest.mark.parametrize(
    ("clip", "says"),
    [
        (Reference(np.zeros(6 * RATE, np.float32), RATE), "is silent; nobody can be heard in it"),
        (humming(150, 0.5), "expected 1 to 60 s of speech"),
    ],
)
async def test_a_clip_in_which_nobody_can_be_heard_is_refused(models: Inference, clip: Reference, says: str) -> None:
    with pytest.raises(ModelRefusedError, match=says):
        await models.synthesize(dataclasses.replace(PLAIN, like=clip))
