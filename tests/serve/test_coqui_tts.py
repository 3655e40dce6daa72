"""Speaking: a pure function of text, voice, speed and seed, whose length is known before anything is spoken."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyloudnorm
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.utils import InferenceServerException

from serve.errors import Code, ModelError
from serve.models.base import Tensors
from serve.models.coqui_tts import CoquiTts
from serve.models.vits import frames_at_speed
from serve.models.voice_level import LOUDNESS_LUFS

SENTENCES = [
    "The train to the coast leaves at seven in the morning.",
    "She opened the window and looked out over the quiet street.",
    "He walked slowly, as if he had all the time in the world.",
    "If it rains tomorrow, we will stay at home and read.",
]
RATE = 22_050


@pytest.fixture(scope="module")
def coqui(starter_weights: Callable[[str], Any]) -> Iterator[CoquiTts]:
    model = CoquiTts({"max_characters": "400", "split_characters": "80"}, starter_weights("coqui_tts"))
    model.load()
    keys = model.keys()
    held = [model.open(key) for key in keys]
    yield model
    del held


def asked(*texts: str, **more: Any) -> Tensors:
    """A request of the class: TEXT and, by keyword, further columns."""
    request: Tensors = {"TEXT": np.empty((len(texts), 1), np.object_)}
    request["TEXT"][:, 0] = [text.encode() for text in texts]
    for name, values in more.items():
        kind = {"SPEED": np.float32, "SEED": np.int64}.get(name, np.object_)
        request[name] = np.array([[v.encode() if isinstance(v, str) else v] for v in values], kind)
    return request


def answered(model: CoquiTts, request: Tensors, *outputs: str) -> Tensors:
    (answer,) = model.infer([request], [set(outputs)])
    assert isinstance(answer, dict), answer
    return answer


def refused(model: CoquiTts, request: Tensors) -> ModelError:
    (answer,) = model.infer([request], [set()])
    assert isinstance(answer, ModelError)
    return answer


def seconds(model: CoquiTts, speed: float) -> float:
    return float(answered(model, asked(*SENTENCES, SPEED=[speed] * len(SENTENCES)), "SECONDS")["SECONDS"].sum())


def test_the_same_request_gives_identical_samples_alone_and_among_others(
    speak: Callable[..., Any], infer_together: Callable[..., Any]
) -> None:
    def inputs(text: str, seed: int) -> list[tuple[str, Any, str]]:
        return [("TEXT", [[text]], "BYTES"), ("SEED", [[seed]], "INT64"), ("SPEED", [[1.1]], "FP32")]

    calls = [(text, seed) for text in SENTENCES[:3] for seed in (0, 9)]
    alone = [speak(text, 1.1, seed)[0] for text, seed in calls]
    together = infer_together("coqui_tts", [inputs(*call) for call in calls])
    for one, answer in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, answer["AUDIO"][0])


def test_rows_of_one_request_are_spoken_like_requests_of_their_own_and_padded_with_zeros(coqui: CoquiTts) -> None:
    rows = answered(coqui, asked("Hello.", SENTENCES[0], SEED=[3, 4]))
    counts = rows["NUM_SAMPLES"][:, 0]
    for row, (text, seed) in enumerate((("Hello.", 3), (SENTENCES[0], 4))):
        alone = answered(coqui, asked(text, SEED=[seed]))["AUDIO"][0]
        np.testing.assert_array_equal(rows["AUDIO"][row, : counts[row]], alone)
        assert not rows["AUDIO"][row, counts[row] :].any()


def test_another_seed_speaks_differently(coqui: CoquiTts) -> None:
    first, second = (answered(coqui, asked(SENTENCES[0], SEED=[seed]))["AUDIO"] for seed in (1, 2))
    assert first.shape != second.shape or not np.array_equal(first, second)


@pytest.mark.parametrize("speed", [0.5, 0.85, 1.0, 1.2, 2.0])
def test_seconds_alone_are_exactly_the_length_of_the_real_audio(infer: Callable[..., Any], speed: float) -> None:
    inputs = [("TEXT", [[SENTENCES[1]]], "BYTES"), ("SPEED", [[speed]], "FP32"), ("SEED", [[5]], "INT64")]
    planned = infer("coqui_tts", inputs, ["SECONDS"])
    spoken = infer("coqui_tts", inputs)
    assert list(planned) == ["SECONDS"]
    assert planned["SECONDS"] == spoken["SECONDS"]
    assert spoken["AUDIO"].shape == (1, int(spoken["NUM_SAMPLES"][0, 0]))
    assert float(planned["SECONDS"][0, 0]) == pytest.approx(spoken["AUDIO"].shape[1] / RATE, abs=1e-4)


def test_a_clip_reaches_the_voice_through_the_protocol_and_is_refused_where_it_cannot_be_used(
    infer: Callable[..., Any],
) -> None:
    sound = np.sin(np.arange(32_000) / 20)[None]
    clip = [("REFERENCE", sound, "FP32"), ("REFERENCE_RATE", [[16_000]], "INT32")]
    with pytest.raises(
        InferenceServerException, match="voice 'en-joe' cannot speak like a clip; voices that can: none"
    ):
        infer("coqui_tts", [("TEXT", [["Hello."]], "BYTES"), *clip])


def test_numbers_without_sound_cost_no_decoder(coqui: CoquiTts) -> None:
    answer = answered(coqui, asked(SENTENCES[0]), "SECONDS", "NUM_SAMPLES")
    assert "AUDIO" not in answer


@pytest.mark.parametrize("speed", [0.5, 0.7, 0.85, 1.1, 1.2, 1.5, 2.0])
def test_speed_is_real_speed(coqui: CoquiTts, speed: float) -> None:
    assert seconds(coqui, 1.0) / seconds(coqui, speed) == pytest.approx(speed, rel=0.03)


@given(st.lists(st.floats(0.01, 30), min_size=1, max_size=80), st.floats(0.5, 2.0))
def test_frames_are_whole_and_their_sum_follows_the_speed(widths: list[float], speed: float) -> None:
    natural = frames_at_speed(torch.tensor(widths), 1.0)
    frames = frames_at_speed(torch.tensor(widths), speed)
    assert (frames >= 1).all()
    wanted = max(float(natural.sum()) / speed, len(widths))
    assert float(frames.sum()) == pytest.approx(wanted, abs=len(widths) + 1)


def test_faster_is_never_longer(coqui: CoquiTts) -> None:
    lengths = [seconds(coqui, speed) for speed in np.linspace(0.5, 2.0, 16)]
    assert lengths == sorted(lengths, reverse=True)


def test_speech_is_neither_silent_nor_clipped(speak: Callable[..., Any]) -> None:
    samples, rate = speak(SENTENCES[2])
    assert rate == RATE
    assert samples.dtype == np.float32
    assert 0.02 < float(np.sqrt(np.mean(samples**2))) < 0.5
    assert float(np.abs(samples).max()) <= 1.0


def test_every_sentence_is_equally_loud_alone_and_within_a_long_text(coqui: CoquiTts) -> None:
    meter = pyloudnorm.Meter(RATE)
    alone = [answered(coqui, asked(text, SEED=[3]))["AUDIO"][0] for text in SENTENCES]
    together = answered(coqui, asked(" ".join(SENTENCES), SEED=[3]))["AUDIO"][0]
    found = [meter.integrated_loudness(samples) for samples in (*alone, together)]
    assert found == pytest.approx([LOUDNESS_LUFS] * len(found), abs=0.3)


@pytest.mark.parametrize("text", ["", "...", "♪ ♪ ♪", "¿?", "\n"])
def test_what_cannot_be_spoken_is_a_tenth_of_a_second_of_silence(coqui: CoquiTts, text: str) -> None:
    answer = answered(coqui, asked(text))
    assert answer["NUM_SAMPLES"].tolist() == [[RATE // 10]]
    assert not answer["AUDIO"].any()
    assert answered(coqui, asked(text), "SECONDS")["SECONDS"] == answer["SECONDS"]


def test_long_text_is_spoken_in_pieces_whose_length_is_still_known(coqui: CoquiTts) -> None:
    text = " ".join(SENTENCES)
    spoken = answered(coqui, asked(text))
    planned = answered(coqui, asked(text), "SECONDS")
    assert spoken["SECONDS"] == planned["SECONDS"]
    assert spoken["AUDIO"].shape[1] / RATE == pytest.approx(seconds(coqui, 1.0), rel=0.1)


@pytest.mark.parametrize(
    "text",
    [
        "$(touch hacked); `touch hacked` | touch hacked",
        "--help -w out.wav",
        "<speak><break time='10s'/>hi</speak>",
        "[[hello]] %n%s \\x00",
        "a" * 300,
        "\x07\x1b[31mred",
        "日本語のテキスト and more",
    ],
)
def test_hostile_text_is_only_spoken(
    coqui: CoquiTts, text: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert answered(coqui, asked(text))["AUDIO"].shape[1] > 1000
    assert list(tmp_path.iterdir()) == []


def test_the_voice_is_the_one_named_or_that_of_the_language_or_its_stand_in(coqui: CoquiTts) -> None:
    name = coqui.catalogue()[0]["name"]
    named = answered(coqui, asked("Hello there.", VOICE=[name]))["AUDIO"]
    for language in ("en", "en-GB", "es", ""):
        np.testing.assert_array_equal(answered(coqui, asked("Hello there.", LANGUAGE=[language]))["AUDIO"], named)


@pytest.mark.parametrize(
    ("request_", "code", "complaint"),
    [
        (asked("Hi.", VOICE=["nobody"]), Code.NOT_FOUND, "there is no voice 'nobody'; loaded voices: en-joe (en)"),
        (asked("Hi.", SPEED=[0.4]), Code.INVALID_ARGUMENT, "SPEED row 0: expected 0.5 to 2.0, got 0.4"),
        (asked("Hi.", SPEED=[0.0]), Code.INVALID_ARGUMENT, "SPEED row 0: expected 0.5 to 2.0, got 0"),
        (asked("x" * 401), Code.INVALID_ARGUMENT, "TEXT row 0: 401 characters, at most 400 are spoken at once"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(
    coqui: CoquiTts, request_: Tensors, code: Code, complaint: str
) -> None:
    error = refused(coqui, request_)
    assert error.code == code
    assert complaint in error.message


def test_a_refused_request_harms_no_neighbour(coqui: CoquiTts) -> None:
    first, second, third = coqui.infer([asked("One."), asked("Two.", SPEED=[9.0]), asked("Three.")], [set()] * 3)
    assert isinstance(first, dict)
    assert isinstance(second, ModelError)
    assert isinstance(third, dict)


def test_without_voices_every_language_is_not_found() -> None:
    model = CoquiTts({}, [])
    model.load()
    error = refused(model, asked("Hello.", LANGUAGE=["en"]))
    assert error.code == Code.NOT_FOUND
    assert error.message == "there is no voice for language 'en'; loaded voices: none"
