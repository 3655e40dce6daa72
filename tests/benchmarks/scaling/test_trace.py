"""Two minutes of bursts, in real time, on nodes that Ray's autoscaler adds and takes away."""

from pathlib import Path

import pytest

from benchmarks.scaling.report import report
from benchmarks.scaling.trace import traced
from benchmarks.scaling.validation import figures, simulated, starts_of


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_nothing_is_lost_the_fleet_follows_and_the_simulator_agrees(tmp_path: Path) -> None:
    record = traced(2, seed=3)
    assert record.lost == 0
    assert {each.status for each in record.requests} == {"OK"}
    assert record.samples[0].held == 0
    assert record.peak_held() > 1
    assert max(each.replicas for each in record.samples) > 1
    assert (record.samples[-1].held, record.samples[-1].replicas) == (0, 0)
    assert sum(batch.rows for batch in record.batches) == len(record.requests)

    starts = starts_of(record)
    again = figures(simulated(record, starts))
    assert again.answered == len(record.requests)
    assert abs(again.peak_gpus - record.peak_held()) <= 1
    assert abs(figures(record).errors(again)["gpu_hours"]) < 0.5

    report(record, starts, tmp_path, "trace")
    assert (tmp_path / "trace.png").stat().st_size > 10_000
    assert (tmp_path / "trace-fleets.png").stat().st_size > 5_000
