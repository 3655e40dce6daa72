"""Known text, spoken by the English voice and heard again: voice activity, windows and Whisper through the protocol."""

import asyncio
from pathlib import Path

import jiwer
import numpy as np
import numpy.typing as npt
import pytest
import soxr
from whisper_normalizer.english import EnglishTextNormalizer

from orchestrator.dubbing.timeline import Interval
from orchestrator.dubbing.windows import cut_windows
from orchestrator.inference import SPEECH_RATE, Heard, Inference, Utterance

TEXT = (Path(__file__).parents[1] / "data" / "five_minutes.txt").read_text().splitlines()
PAUSE_S = 0.6
Samples = npt.NDArray[np.float32]


async def speak(models: Inference, sentences: list[str]) -> Samples:
    """The sentences one after the other with pauses, 16 kHz."""
    spoken = await asyncio.gather(*(models.synthesize(Utterance(each, "en", "en-joe")) for each in sentences))
    pause = np.zeros(round(PAUSE_S * SPEECH_RATE), np.float32)
    parts = [pause]
    for speech in spoken:
        parts += [soxr.resample(speech.samples, speech.sample_rate, SPEECH_RATE).astype(np.float32), pause]
    return np.concatenate(parts)


async def hear(models: Inference, audio: Samples) -> list[tuple[float, float, Heard]]:
    """What is heard in each window, with the window's edges in seconds."""
    activity = await models.speech_activity(audio)
    speech = [Interval(float(start), float(end)) for start, end in activity.stretches]
    windows = cut_windows(speech, activity.probability, len(audio) / SPEECH_RATE)
    pieces = [audio[round(each.start * SPEECH_RATE) : round(each.end * SPEECH_RATE)] for each in windows]
    heard = await asyncio.gather(*(models.transcribe(piece) for piece in pieces))
    return [(each.start, each.end, result) for each, result in zip(windows, heard, strict=True)]


def word_error_rate(sentences: list[str], heard: list[tuple[float, float, Heard]]) -> float:
    normalise = EnglishTextNormalizer()
    return jiwer.wer(normalise(" ".join(sentences)), normalise(" ".join(result.text for _, _, result in heard)))


@pytest.mark.parametrize("count", [11, pytest.param(len(TEXT), marks=pytest.mark.soak)])
def test_known_text_is_heard_again_word_for_word_or_nearly(model_plane: str, count: int) -> None:
    """The first minute here; all five minutes in the soak."""

    async def scenario() -> tuple[float, list[tuple[float, float, Heard]], float]:
        async with Inference(model_plane) as models:
            audio = await speak(models, TEXT[:count])
            heard = await hear(models, audio)
            return word_error_rate(TEXT[:count], heard), heard, len(audio) / SPEECH_RATE

    rate, heard, seconds = asyncio.run(scenario())
    print(f"WER {rate:.3f} over {seconds:.0f} s in {len(heard)} windows")
    assert rate <= 0.10
    for start, end, result in heard:
        assert result.language == "en"
        times = [time for word in result.words for time in (word.start, word.end)]
        assert times == sorted(times)
        assert not times or (times[0] >= 0 and times[-1] <= end - start + 0.05)
