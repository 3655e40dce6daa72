"""Forced alignment through WhisperX, with a wav2vec2 model of random weights: all is real but what the model hears."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
import pytest

from serve.errors import Code, ModelError
from serve.models.align import Align
from serve.models.aligner import whisperx
from serve.models.base import Multiplexed, WeightSet, bytes_column
from tests.serve.conftest import SpokenClip
from tests.serve.whisperx_models import write_aligner

RATE = 16_000
SOUND = np.random.default_rng(0).normal(0, 0.1, (1, 3 * RATE)).astype(np.float32)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("aligners")
    return {"en": write_aligner(root / "en"), "zh": write_aligner(root / "zh", "你好吗")}


@pytest.fixture(scope="module")
def align(folders: dict[str, Path]) -> Align:
    sets = [WeightSet(f"align-{code}", folder, {"language": code}) for code, folder in folders.items()]
    model = Align({"max_seconds": "30", "device": "cpu"}, sets)
    model.load()
    return model


@pytest.fixture(scope="module")
def run(align: Align) -> Callable[..., Any]:
    """run(language, SEGMENTS=… or TEXT=…, audio=…) -> segments, or the ModelError."""

    def one(language: str, audio: Any = SOUND, **given: Any) -> Any:
        tensors = {name: bytes_column([v if isinstance(v, str) else json.dumps(v)]) for name, v in given.items()}
        (answer,) = align.infer([{"AUDIO": audio, "LANGUAGE": bytes_column([language]), **tensors}], [set()])
        return answer if isinstance(answer, ModelError) else json.loads(answer["SEGMENTS"][0, 0])

    return one


def test_whispers_segments_get_times_from_the_audio_and_keep_the_rest(
    run: Callable[..., Any], librivox: list[SpokenClip]
) -> None:
    clip = librivox[0]
    words = [{"word": f" {word}", "start": 0.0, "end": 0.1, "probability": 0.9} for word in clip.words.split()]
    segment = {"start": 0.4, "end": len(clip.audio) / RATE, "text": clip.words, "avg_logprob": -0.2, "words": words}
    (aligned,) = run("en-US", clip.audio[None], SEGMENTS=[segment])
    assert aligned.keys() == segment.keys()
    assert (aligned["text"], aligned["avg_logprob"]) == (clip.words, -0.2)
    assert [word["word"] for word in aligned["words"]] == [word["word"] for word in words]
    assert all(word["probability"] == 0.9 and 0 < word["score"] <= 1 for word in aligned["words"])
    edges = [0.4, *(edge for word in aligned["words"] for edge in (word["start"], word["end"])), segment["end"]]
    assert all(before <= after + 1e-3 for before, after in pairwise(edges))
    assert len({word["start"] for word in aligned["words"]}) == len(words)


def test_times_are_those_of_whisperx_itself(run: Callable[..., Any], align: Align) -> None:
    aligner, text = align.open("en"), "nothing but words"
    segment = {"start": 0.5, "end": 2.5, "text": text}
    theirs = whisperx().align([segment], aligner._net, aligner._metadata, SOUND[0], "cpu")["word_segments"]
    (ours,) = run("en", SEGMENTS=[segment])
    assert [(w["word"].strip(), w["start"], w["end"]) for w in ours["words"]] == [
        (w["word"], w["start"], w["end"]) for w in theirs
    ]


def test_numbers_and_symbols_lie_between_their_neighbours(run: Callable[..., Any]) -> None:
    (segment,) = run("en", TEXT="I owe you 20 € today!")
    words = {word["word"]: word for word in segment["words"]}
    assert list(words) == [" I", " owe", " you", " 20", " €", " today!"]
    assert words[" you"]["end"] <= words[" 20"]["start"] <= words[" 20"]["end"] <= words[" €"]["start"]
    assert words[" €"]["end"] <= words[" today!"]["start"]
    assert [word["word"] for word in segment["words"] if word["score"] == 0] == [" 20", " €"]


def test_what_has_no_letters_or_too_many_for_its_time_is_spread_evenly(run: Callable[..., Any]) -> None:
    (numbers,) = run("en", SEGMENTS=[{"start": 1, "end": 2, "text": "1 2 3 4"}])
    assert [(w["start"], w["end"]) for w in numbers["words"]] == [(1, 1.25), (1.25, 1.5), (1.5, 1.75), (1.75, 2)]
    (hasty,) = run("en", SEGMENTS=[{"start": 1, "end": 1.02, "text": "far too much"}])
    assert [word["score"] for word in hasty["words"]] == [0, 0, 0]
    assert (hasty["start"], hasty["end"]) == (1, 1.02)


def test_a_language_without_spaces_is_aligned_by_character(run: Callable[..., Any]) -> None:
    (segment,) = run("zh", TEXT="你好。吗")
    assert [word["word"] for word in segment["words"]] == ["你", "好", "。", "吗"]
    words = [{"word": "你好"}, {"word": "吗"}]
    (segment,) = run("zh", SEGMENTS=[{"start": 0, "end": 3, "text": "你好吗", "words": words}])
    assert [(word["word"], word["score"] > 0) for word in segment["words"]] == [("你好", True), ("吗", True)]


@pytest.mark.parametrize("given", [{"TEXT": ""}, {"TEXT": "  "}, {"SEGMENTS": "[]"}, {"SEGMENTS": ""}])
def test_nothing_said_gives_no_segments(run: Callable[..., Any], given: dict[str, str]) -> None:
    assert run("en", **given) == []


def test_a_segment_without_text_stays_as_it_is(run: Callable[..., Any]) -> None:
    segment = {"start": 0.5, "end": 1.0, "text": ""}
    assert run("en", SEGMENTS=[segment]) == [segment | {"words": []}]


@pytest.mark.parametrize(
    ("language", "given", "code", "complaint"),
    [
        ("de", {"TEXT": "hallo"}, Code.NOT_FOUND, "no alignment model for language 'de'; there is en, zh"),
        ("", {"TEXT": "hello"}, Code.INVALID_ARGUMENT, "LANGUAGE: expected a language code, got an empty string"),
        ("en", {}, Code.INVALID_ARGUMENT, "expected either SEGMENTS or TEXT"),
        ("en", {"TEXT": "a", "SEGMENTS": "[]"}, Code.INVALID_ARGUMENT, "expected either SEGMENTS or TEXT"),
        ("en", {"SEGMENTS": "no"}, Code.INVALID_ARGUMENT, "SEGMENTS row 0: not valid JSON"),
        (
            "en",
            {"SEGMENTS": [{"start": 2, "end": 4, "text": "a"}]},
            Code.INVALID_ARGUMENT,
            "SEGMENTS row 0 segment 0: 2 to 4 s is outside the audio of 3.00 s",
        ),
        (
            "en",
            {"TEXT": "a", "audio": SOUND[:, :300]},
            Code.INVALID_ARGUMENT,
            "AUDIO row 0: 0.019 s of 16 kHz audio, expected 0.025 to 30 s",
        ),
        ("en", {"TEXT": "a", "audio": np.zeros((1, 31 * RATE), np.float32)}, Code.INVALID_ARGUMENT, "AUDIO row 0: 31"),
    ],
)
def test_what_cannot_be_aligned_is_refused_with_its_reason(
    run: Callable[..., Any], language: str, given: dict[str, Any], code: Code, complaint: str
) -> None:
    error = run(language, **given)
    assert isinstance(error, ModelError)
    assert error.code == code
    assert complaint in error.message


def test_rows_have_their_own_length_and_language_and_a_bad_request_harms_no_other(align: Align) -> None:
    good = {
        "AUDIO": np.repeat(SOUND, 2, axis=0),
        "NUM_SAMPLES": np.array([[RATE], [3 * RATE]], np.int32),
        "LANGUAGE": bytes_column(["en", "zh"]),
        "TEXT": bytes_column(["one second", "你好"]),
    }
    bad = good | {"NUM_SAMPLES": np.array([[RATE], [4 * RATE]], np.int32)}
    first, second = align.infer([bad, good], [set(), set()])
    assert isinstance(first, ModelError)
    assert "NUM_SAMPLES row 1: expected 0 to 48000 (the length of AUDIO), got 64000" in first.message
    assert not isinstance(second, ModelError)
    rows = [json.loads(value) for value in second["SEGMENTS"][:, 0]]
    assert rows[0][0]["end"] <= 1.0
    assert [word["word"] for word in rows[1][0]["words"]] == ["你", "好"]


def test_a_language_stays_loaded_as_long_as_somebody_holds_it(align: Align) -> None:
    assert isinstance(align, Multiplexed)
    assert sorted(align.keys()) == ["en", "zh"]
    held = align.open("en-GB")
    assert align.open("en") is held
    gone = ref(held)
    del held
    assert gone() is None
    assert align.open("EN").spaced


def test_weights_are_one_a_language_and_there_must_be_some(folders: dict[str, Path]) -> None:
    twice = [WeightSet(name, folders["en"], {"language": "en"}) for name in ("a", "b")]
    with pytest.raises(ValueError, match=r"two sets of weights for one language: a \(en\), b \(en\)"):
        Align({}, twice)
    with pytest.raises(ValueError, match="OCTAVIA_ALIGN"):
        Align({}, [])


def test_a_folder_that_is_no_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    broken = Align({}, [WeightSet("align-xx", tmp_path, {"language": "xx"})])
    with pytest.raises(ValueError, match=f"align-xx: {tmp_path} is not a wav2vec2 CTC model"):
        broken.open("xx")
