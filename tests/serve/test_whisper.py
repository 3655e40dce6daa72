"""Hearing: right words, sane times, nothing made up, and never a trace of a neighbour in the batch."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from serve.models import whisper_text as rules
from serve.models.base import Tensors
from serve.models.whisper import Whisper, Window

Samples = npt.NDArray[np.float32]
RATE = 16_000


@pytest.fixture(scope="module")
def whisper(starter_weights: Callable[[str], Any]) -> Whisper:
    model = Whisper({"workers": "2"}, starter_weights("whisper"))
    model.load()
    return model


def padded(clips: list[Samples]) -> Tensors:
    """Windows of several lengths as one request of several rows."""
    longest = max(len(clip) for clip in clips)
    return {
        "AUDIO": np.stack([np.pad(clip, (0, longest - len(clip))) for clip in clips]),
        "NUM_SAMPLES": np.array([[len(clip)] for clip in clips], np.int32),
    }


def noise(level_db: float, seconds: float = 5.0) -> Samples:
    generator = np.random.default_rng(7)
    return (generator.normal(size=int(seconds * RATE)) * 10 ** (level_db / 20)).astype(np.float32)


def tone(hertz: float, seconds: float = 5.0) -> Samples:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def test_the_librivox_clips_are_heard_almost_word_for_word(
    hear: Callable[..., Any], librivox: list[Any], word_error_rate: Callable[..., float]
) -> None:
    heard = [hear(clip.audio, "en") for clip in librivox]
    assert word_error_rate([clip.words for clip in librivox], [window.text for window in heard]) <= 0.05


def test_words_are_monotone_inside_their_segment_and_make_up_the_text(
    hear: Callable[..., Any], librivox: list[Any]
) -> None:
    for clip in librivox:
        heard = hear(clip.audio)
        (segment,) = heard.segments
        times = [time for word in segment["words"] for time in (word["start"], word["end"])]
        assert times == sorted(times)
        assert segment["start"] == times[0]
        assert segment["end"] == times[-1] <= len(clip.audio) / RATE
        assert "".join(word["word"] for word in segment["words"]).strip() == segment["text"] == heard.text
        assert all(word["end"] - word["start"] < 1.5 for word in segment["words"])
        assert all(0 <= word["probability"] <= 1 for word in segment["words"])


def test_words_are_where_they_are_said(hear: Callable[..., Any], librivox: list[Any]) -> None:
    early, late = (np.concatenate([np.zeros(int(pause * RATE), np.float32), librivox[4].audio]) for pause in (0.5, 2.5))
    first, second = (hear(audio, "en").segments[0]["words"] for audio in (early, late))
    assert [word["word"] for word in first] == [word["word"] for word in second]
    shifts = [b["end"] - a["end"] for a, b in zip(first, second, strict=True)]
    assert np.median(shifts) == pytest.approx(2.0, abs=0.1)


def test_the_language_is_detected_or_obeyed(hear: Callable[..., Any], librivox: list[Any]) -> None:
    detected = hear(librivox[0].audio)
    assert detected.language == "en"
    assert detected.probability > 0.9
    forced = hear(librivox[0].audio, "en-GB")
    assert (forced.language, forced.probability) == ("en", 1.0)
    assert forced.text == detected.text
    assert hear(librivox[0].audio, "es").text != detected.text


def test_translating_is_another_task_with_the_same_words_for_english(
    hear: Callable[..., Any], librivox: list[Any]
) -> None:
    assert hear(librivox[4].audio, "en", "translate").text == hear(librivox[4].audio, "en", "transcribe").text


@pytest.mark.parametrize(
    "sound",
    [np.zeros(5 * RATE, np.float32), noise(-50), noise(-20), tone(440), np.zeros(160, np.float32), tone(50, 29)],
    ids=["silence", "faint noise", "loud noise", "tone", "10 ms", "29 s hum"],
)
def test_what_is_no_speech_gives_no_text(hear: Callable[..., Any], sound: Samples) -> None:
    heard = hear(sound)
    assert heard.text == ""
    assert heard.segments == []


def test_concurrent_windows_give_what_each_gives_alone(
    hear: Callable[..., Any], infer_together: Callable[..., Any], librivox: list[Any]
) -> None:
    windows = [clip.audio for clip in librivox] + [
        np.concatenate([librivox[a].audio, librivox[b].audio]) for a, b in ((1, 4), (4, 1), (2, 3))
    ]
    alone = [hear(audio) for audio in windows]
    together = infer_together("whisper", [[("AUDIO", [audio], "FP32")] for audio in windows])
    for one, answer in zip(alone, together, strict=True):
        assert answer["TEXT"][0, 0].decode() == one.text
        segments = json.loads(answer["SEGMENTS"][0, 0])
        assert [w["word"] for s in segments for w in s["words"]] == [
            w["word"] for s in one.segments for w in s["words"]
        ]
        np.testing.assert_array_equal(
            [(w["start"], w["end"]) for s in segments for w in s["words"]],
            [(w["start"], w["end"]) for s in one.segments for w in s["words"]],
        )
        np.testing.assert_allclose(
            [w["probability"] for s in segments for w in s["words"]],
            [w["probability"] for s in one.segments for w in s["words"]],
            atol=1e-3,
        )


def test_rows_of_one_request_are_heard_like_requests_of_their_own(whisper: Whisper, librivox: list[Any]) -> None:
    clips = [clip.audio for clip in librivox]
    (rows,) = whisper.infer([padded(clips)], [set()])
    alone = whisper.infer([{"AUDIO": clip[np.newaxis]} for clip in clips], [set()] * len(clips))
    assert isinstance(rows, dict)
    for index, one in enumerate(alone):
        assert isinstance(one, dict)
        assert rows["TEXT"][index, 0] == one["TEXT"][0, 0]
        assert rows["SEGMENTS"][index, 0] == one["SEGMENTS"][0, 0]


def test_each_row_obeys_its_own_language_and_a_bad_one_harms_no_neighbour(
    whisper: Whisper, librivox: list[Any]
) -> None:
    clip = librivox[4].audio[np.newaxis]

    def asked(language: bytes) -> Tensors:
        code = np.empty((1, 1), np.object_)
        code[0, 0] = language
        return {"AUDIO": clip, "LANGUAGE": code}

    english, spanish, refused, again = whisper.infer([asked(c) for c in (b"en", b"es", b"xx", b"")], [set()] * 4)
    assert isinstance(english, dict)
    assert isinstance(spanish, dict)
    assert isinstance(again, dict)
    assert [answer["LANGUAGE"][0, 0] for answer in (english, spanish, again)] == [b"en", b"es", b"en"]
    assert english["TEXT"][0, 0] == again["TEXT"][0, 0] != spanish["TEXT"][0, 0]
    assert not isinstance(refused, dict)
    assert "'xx'" in refused.message


def test_speech_cut_off_at_30_s_ends_and_repeats_nothing(hear: Callable[..., Any], librivox: list[Any]) -> None:
    long = np.concatenate([clip.audio for clip in librivox] + [librivox[0].audio])[: 30 * RATE]
    heard = hear(long, "en")
    words = heard.text.lower().split()
    assert 70 <= len(words) <= 110
    assert "dashwood" in heard.text.lower()


def test_the_voices_own_sentences_are_heard_back(
    infer_together: Callable[..., Any],
    at_16_khz: Callable[..., Samples],
    word_error_rate: Callable[..., float],
) -> None:
    spoken = infer_together("coqui_tts", [[("TEXT", [[sentence]], "BYTES")] for sentence in SENTENCES])
    sounds = [at_16_khz(answer["AUDIO"][0], 22_050) for answer in spoken]
    answers = infer_together("whisper", [[("AUDIO", [s], "FP32"), ("LANGUAGE", [["en"]], "BYTES")] for s in sounds])
    heard = [answer["TEXT"][0, 0].decode() for answer in answers]
    assert len(SENTENCES) >= 20
    assert word_error_rate(SENTENCES, heard) <= 0.12


SENTENCES = [
    "The train to the coast leaves at seven in the morning.",
    "She opened the window and looked out over the quiet street.",
    "How much of this do you really need?",
    "Nobody had expected the answer to be so simple.",
    "If it rains tomorrow, we will stay at home and read.",
    "Thank you very much for your help.",
    "The old bridge was closed for repairs during the summer.",
    "He walked slowly, as if he had all the time in the world.",
    "Please write your name and address on both sides of the form.",
    "In the end, the two brothers agreed to share the house.",
    "The library opens at nine and closes at six.",
    "We bought fresh bread and a bottle of milk.",
    "My sister plays the piano every evening after dinner.",
    "The engineers tested the new machine for three weeks.",
    "There was a strong wind, but the sky was clear.",
    "Could you tell me the way to the railway station?",
    "The children were playing in the garden behind the church.",
    "Water boils at one hundred degrees.",
    "After a long discussion, the committee accepted the plan.",
    "It is never too late to learn something new.",
]


def test_the_text_alone_is_the_one_that_comes_with_word_times(whisper: Whisper, librivox: list[Any]) -> None:
    rows = padded([clip.audio for clip in librivox])
    timed, untimed = whisper.infer([rows, rows], [set(), {"TEXT", "LANGUAGE"}])
    assert isinstance(timed, dict)
    assert isinstance(untimed, dict)
    assert timed["TEXT"].tolist() == untimed["TEXT"].tolist()
    assert all(json.loads(each) for each in timed["SEGMENTS"][:, 0])
    assert [json.loads(each) for each in untimed["SEGMENTS"][:, 0]] == [[]] * len(librivox), "nothing was aligned"


def test_the_decoder_may_say_all_that_fits_the_cap(
    whisper: Whisper, librivox: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """CTranslate2 halves the length it is given: languages of many tokens a second were cut short."""
    monkeypatch.setattr(whisper, "_suppressed", [*whisper._suppressed, 50_257])  # the end of the text
    window = Window(librivox[1].audio, "en", "transcribe", timed=False)
    (heard,) = whisper._hear([window], 8)
    assert heard.decoded is not None
    assert heard.decoded.capped
    assert len(heard.decoded.tokens) == pytest.approx(rules.token_cap(8), abs=2)
