import json
import math

from orchestrator.dubbing.loudness import Loudness
from orchestrator.dubbing.report import Spoken, quality_report
from orchestrator.dubbing.timeline import Placement

SPOKEN = [
    Spoken(0, 1.0, 2.0, 0.0, Placement(1.0, 3.0, 0.0, 0.0)),
    Spoken(1, 1.2, 4.5, 0.5, Placement(4.0, 8.5, 0.0, 0.0)),
    Spoken(2, 0.9, 2.0, 0.0, Placement(8.5, 10.5, 0.5, 0.5)),
]


def test_the_report_says_how_the_speech_fits() -> None:
    report = quality_report(
        SPOKEN,
        loudness=Loudness(-16.04, -1.52, 5.0),
        media_seconds=10.0,
        output_seconds=10.023,
        subtitle_violations={"reading_speed": 2, "gap": 1},
        flags=["stand_in_voice"],
    )
    assert report["segments"][1] == {
        "index": 1,
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
        "overflow_s": 0.5,
        "max_onset_error_s": 0.5,
        "p95_onset_error_s": 0.5,
        "beyond_end_s": 0.5,
    }
    assert report["loudness"] == {
        "integrated_lufs": -16.04,
        "true_peak_dbtp": -1.52,
        "range_lu": 5.0,
        "silent": False,
    }
    assert report["duration"] == {"media_s": 10.0, "output_s": 10.023, "difference_s": 0.023}
    assert report["subtitle_violations"] == {"total": 3, "reading_speed": 2, "gap": 1}
    assert report["flags"] == ["stand_in_voice"]


def test_a_dub_in_which_nobody_speaks_has_a_report_too() -> None:
    report = quality_report(
        [],
        loudness=Loudness(-70.0, -math.inf),
        media_seconds=3.0,
        output_seconds=3.0,
        subtitle_violations={},
    )
    assert report["fit"]["inside_slot_percent"] is None
    assert report["loudness"]["silent"] is True
    json.dumps(report, allow_nan=False)


def test_the_original_taken_over_has_no_loudness_of_ours() -> None:
    report = quality_report([], loudness=None, media_seconds=3.0, output_seconds=3.0, subtitle_violations={})
    assert report["loudness"] is None
