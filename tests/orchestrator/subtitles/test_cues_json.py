import json

import pytest

from orchestrator.dubbing.timeline import Word
from orchestrator.subtitles import cues_json, reader
from orchestrator.subtitles.check import Violation
from orchestrator.subtitles.cues import Cue
from orchestrator.subtitles.srt import SubtitleFormatError

CUES = [
    Cue(0.5, 2.0, ('Hello "you",', "😀."), "Ann", (Word(" Hello", 0.5, 0.8, 0.9), Word(' "you",', 0.8, 1.0, 1.0)), 0.5),
    Cue(3.0, 4.25, ("مرحبا.",), None, ()),
]


def test_what_is_written_is_read_back_with_words_and_speakers() -> None:
    assert cues_json.loads(cues_json.dumps(CUES, "en")) == CUES
    assert cues_json.loads(cues_json.dumps([], "en")) == []


def test_it_says_by_which_profile_it_was_made_and_what_is_left() -> None:
    left = [Violation(1, "reading_speed", 23.1234, 20.0)]
    content = json.loads(cues_json.dumps(CUES, "en", profile="netflix", left=left))
    assert content["profile"] == "netflix"
    assert content["broken_rules"] == [{"index": 1, "rule": "reading_speed", "value": 23.123, "limit": 20.0}]


def test_it_is_taken_for_a_subtitle_file() -> None:
    found = reader.read(cues_json.dumps(CUES, "en").encode())
    assert found is not None
    assert found.document.format == "json"
    assert [(cue.start, cue.raw, cue.voice) for cue in found.document.cues] == [
        (0.5, 'Hello "you",\n😀.', "Ann"),
        (3.0, "مرحبا.", ""),
    ]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": 2}, "version is not 1"),
        ({"cues": {}}, "'cues' is not a list"),
        ({"cues": [1]}, "cue 1: it is no object"),
        ({"cues": [{"start": 0, "end": 1}]}, "cue 1: 'lines' is missing"),
        ({"cues": [{"start": 0, "end": 1, "lines": "a"}]}, "cue 1: 'lines' is not a list"),
        ({"cues": [{"start": 0, "end": 1, "lines": [1]}]}, "cue 1: 'lines' is not text"),
        ({"cues": [{"start": "0", "end": 1, "lines": ["a"]}]}, "no number of seconds"),
        ({"cues": [{"start": 1e30, "end": 1, "lines": ["a"]}]}, "no number of seconds"),
        ({"cues": [{"start": 0, "end": 1, "lines": ["a"], "words": [7]}]}, "a word is no object"),
        ({"cues": []}, "there is no cue"),
    ],
)
def test_what_is_not_of_its_shape_is_refused_with_the_place(change: dict[str, object], says: str) -> None:
    content = {"type": cues_json.TYPE, "version": 1, "language": "en", "cues": [], **change}
    with pytest.raises(SubtitleFormatError, match=says):
        reader.read(json.dumps(content).encode())


def test_other_json_is_no_subtitles_and_half_a_file_is_refused() -> None:
    assert reader.read(b'{"type": "other", "cues": []}') is None
    with pytest.raises(SubtitleFormatError, match="not valid JSON"):
        reader.read(cues_json.dumps(CUES, "en").encode()[:-20])
    with pytest.raises(SubtitleFormatError, match="not valid JSON"):
        reader.read(b'{"type": "octavia.cues", "cues": ' + b"[" * 100_000)
