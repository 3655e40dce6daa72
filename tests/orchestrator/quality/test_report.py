import json
import math

import pytest

from orchestrator.dubbing.loudness import Loudness
from orchestrator.dubbing.timeline import Placement, Slot
from orchestrator.quality.report import Measured, Spoken, quality_report, summary
from tests.orchestrator.quality.made import bad, good, measured

SPOKEN = [
    Spoken(0, 1.0, 2.0, 0.0, Placement(1.0, 3.0, 0.0, 0.0), Slot(1.0, 3.0, 3.9)),
    Spoken(1, 1.2, 4.5, 0.5, Placement(4.0, 8.5, 0.0, 0.0), Slot(4.0, 7.0, 8.0)),
    Spoken(2, 0.9, 2.0, 0.0, Placement(8.5, 10.5, 0.5, 0.5), Slot(8.0, 10.0, 10.0)),
]
SILENCE = Measured(media_seconds=3.0, output_seconds=3.0, goal=-16.0, loudness=Loudness(-70.0, -math.inf))


def test_the_report_says_how_the_speech_fits() -> None:
    report = quality_report("es", SPOKEN, measured(media_seconds=10.0, output_seconds=10.023))
    assert report["segments"][1] == {
        "index": 1,
        "start_s": 4.0,
        "speech_end_s": 7.0,
        "slot_end_s": 8.0,
        "onset_s": 4.0,
        "onset_error_s": 0.0,
        "speed": 1.2,
        "seconds": 4.5,
        "overflow_s": 0.5,
        "beyond_end_s": 0.0,
    }
    assert report["fit"] == {
        "segments": 3,
        "inside_slot_percent": 66.7,
        "max_speed": 1.2,
        "min_speed": 0.9,
        "speeds": report["fit"]["speeds"],
        "overflow_s": 0.5,
        "overlaps": 0,
        "mean_onset_error_s": 0.167,
        "p95_onset_error_s": 0.5,
        "max_onset_error_s": 0.5,
        "beyond_end_s": 0.5,
        "duration_compliance": 0.889,
        "share_off_percent": 33.3,
        "silence_added_s": 0.0,
        "silence_added_percent": 0.0,
    }
    assert sum(each["count"] for each in report["fit"]["speeds"]) == 3
    assert report["duration"] == {"media_s": 10.0, "output_s": 10.023, "difference_s": 0.023, "off_s": 0.023}


def test_loudness_is_told_beside_what_it_should_be() -> None:
    loudness = good()["loudness"]
    assert loudness | {"short_term": None} == {
        "integrated_lufs": -16.04,
        "true_peak_dbtp": -1.52,
        "range_lu": 5.0,
        "silent": False,
        "target_lufs": -16.0,
        "off_target_lu": 0.04,
        "short_term": None,
    }
    assert loudness["short_term"]["step_s"] == 1.0
    assert loudness["short_term"]["lufs"][:2] == [None, -30.0]


def test_what_was_not_measured_is_null_with_its_reason_and_no_warning_is_made_of_it() -> None:
    report = good()
    assert report["read_back"] is report["speech_quality"] is report["speaker_similarity"] is None
    assert report["not_measured"] == {
        "read_back": "it was not asked for",
        "speech_quality": "no model for it is installed",
        "speaker_similarity": "no voice was cloned",
    }
    assert report["warnings"] == []


def test_a_bad_dub_is_warned_of_in_words() -> None:
    codes = [warning["code"] for warning in bad()["warnings"]]
    assert codes == [
        "out_of_slot",
        "late",
        "fast",
        "beyond_end",
        "other_length",
        "unsure_transcript",
        "hard_to_understand",
        "poor_speech",
        "noisy",
        "unlike_voice",
        "off_loudness",
        "clipping",
        "fast_subtitles",
    ]
    assert all("{" not in warning["message"] and len(warning["message"]) > 20 for warning in bad()["warnings"])


@pytest.mark.parametrize("report", [good(), bad(), quality_report("es", [], SILENCE)], ids=["good", "bad", "silent"])
def test_a_report_is_json_without_infinities_and_the_same_each_time(report: dict[str, object]) -> None:
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert good() == good()


def test_a_dub_in_which_nobody_speaks_has_a_report_too() -> None:
    report = quality_report("es", [], SILENCE)
    assert report["fit"]["inside_slot_percent"] is None
    assert report["fit"]["duration_compliance"] is None
    assert report["loudness"]["silent"] is True
    assert [warning["code"] for warning in report["warnings"]] == ["silent"]


def test_the_original_taken_over_has_no_loudness_of_ours() -> None:
    kept = Measured(media_seconds=3.0, output_seconds=3.0, goal=-16.0, reasons={"loudness": "own_sound"})
    report = quality_report("es", [], kept)
    assert report["loudness"] is None
    assert report["not_measured"] == {"loudness": "the original's sound was kept as it is"}
    assert report["warnings"] == []


def test_a_subtitle_file_read_aloud_is_not_compared_with_speech_there_is_none_of() -> None:
    read = [Spoken(0, 1.0, 2.0, 0.0, Placement(1.0, 3.0, 0.0, 0.0), Slot(1.0, 1.0, 3.9))]
    fit = quality_report("en", read, SILENCE)["fit"]
    assert (fit["duration_compliance"], fit["share_off_percent"], fit["silence_added_s"]) == (None, None, None)


def test_the_summary_holds_a_handful_of_figures_and_the_warnings() -> None:
    assert summary(good()) == {
        "segments": 3,
        "inside_slot_percent": 100.0,
        "p95_onset_error_s": 0.0,
        "max_speed": 1.1,
        "duration_compliance": 0.983,
        "transcript_confidence": 0.78,
        "read_back_error_percent": None,
        "integrated_lufs": -16.04,
        "true_peak_dbtp": -1.52,
        "speech_quality": None,
        "speaker_similarity": None,
        "subtitle_violations": 0,
        "not_measured": good()["not_measured"],
        "warnings": [],
    }
    assert summary(bad())["speaker_similarity"] == 0.55
    assert summary(bad())["subtitle_violations"] == 3
