"""Speaker diarization through WhisperX and pyannote, with a pipeline of random weights: one who speaks all the time."""

import json
import re
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from serve.errors import Code, ModelError
from serve.models.base import WeightSet
from serve.models.diarization_folder import check_folder
from serve.models.diarize import Diarize, _numbered
from tests.serve.whisperx_models import write_diarizer

RATE = 16_000
SECONDS = 8
SOUND = np.random.default_rng(0).normal(0, 0.1, SECONDS * RATE).astype(np.float32)

ASKING = {"socket.connect": 1, "socket.getaddrinfo": 0, "socket.sendto": 1}
"""Events of Python's audit hooks, and which of their arguments says who is asked."""

asked: list[Any] = []


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook, which Python never takes off again."""
    if event in ASKING:
        asked.append(arguments[ASKING[event]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_diarizer(tmp_path_factory.mktemp("diarizer") / "pipeline")


@pytest.fixture(scope="module")
def diarize(folder: Path) -> Diarize:
    sys.addaudithook(watch)
    model = Diarize({"max_seconds": "60", "device": "cpu"}, [WeightSet("diarize-x", folder, {"name": "diarize-x"})])
    model.load()
    return model


@pytest.fixture(scope="module")
def run(diarize: Diarize) -> Callable[..., Any]:
    """run(audio, NUM_SPEAKERS=…, SEGMENTS=…) -> (turns with speakers, segments), or the ModelError."""

    def one(audio: Any = SOUND, **given: Any) -> Any:
        tensors = {
            name: np.array([value if isinstance(value, bytes) else json.dumps(value).encode()], np.object_)
            if name == "SEGMENTS"
            else np.array([value], np.int32)
            for name, value in given.items()
        }
        (answer,) = diarize.infer([{"AUDIO": audio, **tensors}], [set()])
        if isinstance(answer, ModelError):
            return answer
        speakers = [speaker.decode() for speaker in answer["SPEAKERS"]]
        turns = [(start, end, who) for (start, end), who in zip(answer["TURNS"].tolist(), speakers, strict=True)]
        return turns, json.loads(answer["SEGMENTS"][0])

    return one


def test_turns_lie_in_the_recording_and_speakers_are_numbered_as_they_come(run: Callable[..., Any]) -> None:
    turns, segments = run(NUM_SPEAKERS=2)
    assert {who for _, _, who in turns} == {"SPEAKER_00", "SPEAKER_01"}
    assert turns[0][2] == "SPEAKER_00"
    assert turns == sorted(turns)
    assert all(0 <= start < end <= SECONDS for start, end, _ in turns)
    assert segments == []
    assert run(NUM_SPEAKERS=2)[0] == turns


def test_speakers_are_numbered_by_their_first_turn() -> None:
    turns = [(0.0, 1.0, "SPEAKER_01"), (1.0, 2.0, "SPEAKER_00"), (2.0, 3.0, "SPEAKER_01")]
    assert [who for _, _, who in _numbered(turns)] == ["SPEAKER_00", "SPEAKER_01", "SPEAKER_00"]


def test_how_many_speak_can_be_bounded(run: Callable[..., Any]) -> None:
    assert {who for _, _, who in run(MAX_SPEAKERS=1)[0]} == {"SPEAKER_00"}
    assert {who for _, _, who in run(MIN_SPEAKERS=2, MAX_SPEAKERS=2)[0]} == {"SPEAKER_00", "SPEAKER_01"}


def test_segments_and_words_get_the_speaker_who_speaks_most_of_them(run: Callable[..., Any]) -> None:
    turns, _ = run(NUM_SPEAKERS=2)
    start, end, who = max(turns, key=lambda turn: turn[1] - turn[0])
    word = {"word": " hello", "start": start, "end": end, "score": 0.5}
    segment = {"start": start, "end": end, "text": "hello", "words": [word, {"word": " there"}], "kept": True}
    _, (assigned,) = run(NUM_SPEAKERS=2, SEGMENTS=[segment])
    assert assigned == segment | {"speaker": who, "words": [word | {"speaker": who}, {"word": " there"}]}


@pytest.mark.parametrize(
    ("audio", "given", "complaint"),
    [
        (SOUND[:1000], {}, "AUDIO: 0.06 s of 16 kHz audio, expected 0.1 to 60 s"),
        (SOUND[:0], {}, "AUDIO: 0.00 s"),
        (np.zeros(61 * RATE, np.float32), {}, "AUDIO: 61.00 s"),
        (SOUND, {"NUM_SPEAKERS": 0}, "NUM_SPEAKERS: expected 1 to 20, got 0"),
        (SOUND, {"MAX_SPEAKERS": 21}, "MAX_SPEAKERS: expected 1 to 20, got 21"),
        (SOUND, {"NUM_SPEAKERS": 2, "MIN_SPEAKERS": 1}, "NUM_SPEAKERS: expected without MIN_SPEAKERS and MAX_SPEAKERS"),
        (SOUND, {"MIN_SPEAKERS": 3, "MAX_SPEAKERS": 2}, "MIN_SPEAKERS: 3 is more than MAX_SPEAKERS, 2"),
        (SOUND, {"NUM_SPEAKERS": 20}, "NUM_SPEAKERS: too little is said in 8.0 s of AUDIO to tell so many"),
        (SOUND, {"SEGMENTS": b"\xff"}, "SEGMENTS row 0: not valid UTF-8"),
        (SOUND, {"SEGMENTS": b"nothing"}, "SEGMENTS: not valid JSON"),
        (SOUND, {"SEGMENTS": [{"start": 9, "end": 10, "text": "a"}]}, "9 to 10 s is outside the audio of 8.00 s"),
    ],
)
def test_what_cannot_be_diarized_is_refused_with_its_reason(
    run: Callable[..., Any], audio: Any, given: dict[str, Any], complaint: str
) -> None:
    error = run(audio, **given)
    assert isinstance(error, ModelError)
    assert error.code == Code.INVALID_ARGUMENT
    assert complaint in error.message


def test_the_shortest_recording_is_answered(run: Callable[..., Any]) -> None:
    turns, _ = run(SOUND[: RATE // 10])
    assert all(end <= 0.1 + 1e-6 for _, end, _ in turns)


def test_nobody_is_asked_over_the_network(run: Callable[..., Any]) -> None:
    run()
    socket.getaddrinfo("127.0.0.1", 80)
    assert asked
    assert [address for address in asked if "127.0.0.1" not in str(address)] == []
    from pyannote.audio.telemetry.metrics import is_metrics_enabled  # noqa: PLC0415

    assert not is_metrics_enabled()


def test_there_is_one_set_of_weights() -> None:
    with pytest.raises(ValueError, match="OCTAVIA_DIARIZE"):
        Diarize({}, [])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"name": "os.system"}, "the pipeline is 'os.system', expected pyannote.audio.pipelines.SpeakerDiarization"),
        ({"segmentation": "pyannote/segmentation-3.0"}, "segmentation is 'pyannote/segmentation-3.0', expected a sub"),
        ({"embedding": "$model/../embedding"}, "expected a subfolder"),
        ({"plda": None}, "plda is None"),
        ({"plda": "$model/elsewhere"}, "elsewhere/plda.npz is missing"),
    ],
)
def test_a_pipeline_that_would_load_from_elsewhere_is_refused(
    folder: Path, tmp_path: Path, change: dict[str, Any], complaint: str
) -> None:
    for part in ("segmentation", "embedding", "plda"):
        (tmp_path / part).symlink_to(folder / part)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["pipeline"]["params"] |= {part: value for part, value in change.items() if part != "name"}
    config["pipeline"]["name"] = change.get("name", config["pipeline"]["name"])
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(ValueError, match=re.escape(complaint)):
        check_folder(tmp_path)


@pytest.mark.parametrize(
    ("text", "complaint"), [("a: [", "not valid YAML"), ("[]", "has no pipeline"), (None, "has no")]
)
def test_a_folder_without_a_pipeline_is_refused(tmp_path: Path, text: str | None, complaint: str) -> None:
    if text is not None:
        (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match=complaint):
        check_folder(tmp_path)
