"""The sweep over a running plane, as a part of the report."""

from pathlib import Path

import pytest

from benchmarks.report.parts import Part
from benchmarks.report.running import run_part
from benchmarks.sweep import MOST_ROWS, Point, Seen, measurements, points


def test_points_with_too_many_rows_in_flight_and_rows_where_there_are_none_are_left_out() -> None:
    found = points(["opus_mt", "vad"], [1, 16], [1, 4])
    assert {(point.model, point.batch, point.concurrency) for point in found} == {
        ("opus_mt", 1, 1),
        ("opus_mt", 1, 16),
        ("opus_mt", 4, 1),
        ("vad", 1, 1),
        ("vad", 1, 16),
    }
    assert all(point.batch * point.concurrency <= MOST_ROWS for point in found)


def test_a_point_tells_throughput_by_round_and_latency_by_request() -> None:
    seen = Seen(rows_per_s=[4, 5, 6], work_per_s=[36, 45, 54], rows_an_execution=[1, 2, 2], latencies=[0.1, 0.3])
    found = {each.at["figure"]: each for each in measurements({Point("whisper", 1, 4): seen})}
    assert found["audio s/s"].values == (36, 45, 54)
    assert found["rows/execution"].values == (1, 2, 2)
    assert (found["p99"].values, found["p99"].unit, found["p99"].of) == ((100, 300), "ms", "requests")
    assert {each.at["in flight"] for each in found.values()} == {"4"}


@pytest.mark.soak
def test_a_sweep_of_a_real_model_is_measured(model_plane: str, tmp_path: Path) -> None:
    command = [
        "benchmarks.sweep",
        "--models",
        "vad,opus_mt",
        "--concurrency",
        "1,2",
        "--batch",
        "1",
        "--seconds",
        "0.2",
    ]
    part = Part(name="sweep", about="", command=[*command, "--address", model_plane], seconds=60)
    result = run_part(part, quick=False, log=tmp_path / "log")
    assert not result.failure
    assert {each.at["table"] for each in result.measurements} == {"vad", "opus_mt"}
    assert all(len(each.values) == 3 for each in result.measurements if each.of == "rounds")
    executed = [each for each in result.measurements if each.unit == "rows/execution"]
    assert len(executed) == 4
    assert min(min(each.values) for each in executed) >= 1
