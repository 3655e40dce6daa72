"""Figures of a trace, from what was seen."""

import math
from pathlib import Path

import pytest

from benchmarks.scaling.record import Batch, Record, Request, Sample, area, percentile, read, with_queue
from benchmarks.scaling.trace import samples_of
from benchmarks.scaling.validation import starting_times


def raw(
    at: float, up: int, launching: int = 0, pending: int = 0, running: int = 0, starting: int = 0
) -> dict[str, object]:
    nodes = {"active": up, "idle": 0, "pending": pending, "launching": launching}
    return {"at": at, "nodes": nodes, "replicas": {"RUNNING": running, "STARTING": starting}}


def test_the_area_beneath_steps() -> None:
    assert area([(0, 2), (3, 5), (4, 0), (9, 7)]) == 2 * 3 + 5 * 1
    assert area([]) == 0


@pytest.mark.parametrize(("share", "value"), [(0.5, 5), (0.95, 10), (0.9, 9), (0.0, 1), (1.0, 10)])
def test_percentiles_are_by_nearest_rank(share: float, value: float) -> None:
    assert percentile(list(range(1, 11)), share) == value


def test_there_is_no_percentile_of_nothing() -> None:
    assert math.isnan(percentile([], 0.5))


def test_latency_counts_from_when_a_request_was_due() -> None:
    assert Request(at=10, seconds=1, asked=10.5, answered=12).latency == 2
    assert Request(at=10, seconds=1, asked=10.5, answered=None).latency is None


def test_what_waits_is_asked_and_neither_answered_nor_in_a_batch() -> None:
    samples = [Sample(at, 1, 0, 1, 0) for at in (0.0, 1.5, 2.5, 9.0)]
    requests = [Request(1, 1, 1, 4), Request(1, 1, 1, 5), Request(2, 1, 2, None)]
    seen = with_queue(samples, requests, [Batch(2, 4, 2, 7)])
    assert [(each.waiting, each.computing) for each in seen] == [(0, 0), (2, 0), (1, 2), (1, 0)]


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = Record(
        {"seed": 1}, [Request(0, 1, 0, 2), Request(1, 1, 1, None, "UNAVAILABLE", 3)], [Sample(0, 1, 1, 1, 0)]
    )
    record.write(tmp_path / "a" / "record.json")
    again = read(tmp_path / "a" / "record.json")
    assert again.requests == record.requests
    assert again.samples == record.samples
    assert again.lost == 1
    assert again.peak_held() == 2


def test_a_node_that_ray_tells_of_twice_is_held_once() -> None:
    lines = [
        raw(0, 0),
        raw(1, 0, launching=2, starting=2),
        raw(5, 1, launching=2, starting=2),  # up, and still told as launching
        raw(6, 1, launching=1, pending=1, starting=2),
        raw(7, 2, pending=1, running=1, starting=1),
        raw(8, 2, running=2),
        raw(9, 2, launching=1, running=2, starting=1),
        raw(12, 3, running=3),
        raw(20, 1, running=1),
        raw(21, 0),
    ]
    seen = samples_of(lines, 0.0)
    assert [each.held for each in seen] == [0, 2, 2, 2, 2, 2, 3, 3, 1, 0]
    assert [each.nodes for each in seen] == [0, 0, 1, 1, 2, 2, 2, 3, 1, 0]


def test_start_times_are_read_off_the_samples() -> None:
    shapes = [(0, 0, 0, 0), (1, 0, 2, 0), (6, 1, 1, 0), (8, 2, 0, 0), (9, 2, 0, 1), (12, 2, 0, 2)]
    nodes, spacings, replicas = starting_times([Sample(at, up, coming, there, 0) for at, up, coming, there in shapes])
    assert nodes == [5]
    assert spacings == [2]
    assert replicas == [3, 4]
