"""What becomes of locust's counts, and what a client does with a refusal."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.load.policy import MOST, pause_after
from benchmarks.load.stats import REPEATED, LoadResult, quantile, read_errors, read_notes, rows_of
from benchmarks.upgrades.outcome import Asked, Clock, Upgrade, row, table
from benchmarks.upgrades.outcome import rows_of as rows_of_upgrade


def entry(name: str, method: str, times: dict[str, int], failures: int = 0, end: float = 110.0) -> dict[str, Any]:
    """As `locust --json-file` writes one."""
    count = sum(times.values())
    return {
        "name": name,
        "method": method,
        "num_requests": count,
        "num_failures": failures,
        "response_times": times,
        "start_time": 100.0,
        "last_request_timestamp": end,
    }


def test_rows_are_of_locusts_histograms() -> None:
    (credits, jobs) = rows_of(
        [
            entry("/v1/jobs", "GET", {"10": 50, "20": 45, "300": 5}, failures=2),
            entry("/v1/jobs", REPEATED, {"1": 3}),
            entry("/v1/credits", "GET", {"7": 1}, end=105.0),
        ]
    )
    assert (jobs.name, jobs.count, jobs.failures, jobs.repeated) == ("GET /v1/jobs", 100, 2, 3)
    assert (jobs.p50_ms, jobs.p95_ms, jobs.p99_ms) == (10.0, 20.0, 300.0)
    assert (jobs.per_second, credits.per_second) == (10.0, 0.1), "both over the ten seconds of the run"


def test_what_was_only_ever_refused_is_shown_too() -> None:
    (only,) = rows_of([entry("/v1/jobs", REPEATED, {"1": 3})])
    assert (only.name, only.count, only.repeated) == ("/v1/jobs", 0, 3)


@given(st.lists(st.integers(0, 50), min_size=1), st.sampled_from([0.01, 0.5, 0.95, 0.99, 1.0]))
def test_a_quantile_is_the_least_value_that_so_many_do_not_exceed(values: list[int], share: float) -> None:
    histogram: dict[float, int] = {float(value): values.count(value) for value in values}
    found = quantile(histogram, share)
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
    assert found == min(values) or sum(value < found for value in values) < share * len(values)


def test_the_table_says_what_failed_and_on_which_machine(tmp_path: Path) -> None:
    (tmp_path / "failures.csv").write_text(
        'Method,Name,Error,Occurrences\nGET,/v1/me,"500: oh, no",4\nGET,/v1/me,cut,9\n'
    )
    errors = read_errors(tmp_path / "failures.csv")
    assert errors == (("GET /v1/me: cut", 9), ("GET /v1/me: 500: oh, no", 4))
    result = LoadResult("browse", 2, 10, 0, rows_of([entry("/v1/me", "GET", {"7": 14}, 13)]), errors, "a machine")
    assert (result.count, result.failures, result.repeated) == (14, 13, 0)
    shown = result.table()
    assert "GET /v1/me" in shown
    assert "FAILED 4 times: GET /v1/me: 500: oh, no" in shown
    assert shown.endswith("a machine")


def test_a_run_counts_its_http_requests_but_fails_by_whatever_failed() -> None:
    rows = [
        entry("/v1/me", "GET", {"7": 14}, 3),
        entry("event", "EVENT", {"2": 900}),
        entry("whole", "JOB", {"9": 2}, 1),
    ]
    rows += [entry("/v1/jobs/{id}/events", "STREAM", {"0": 5}, 5), entry("/v1/jobs", REPEATED, {"1": 3})]
    result = LoadResult("translate", 2, 10, 0, rows_of(rows), (), "a machine")
    assert (result.count, result.per_second, result.failures, result.repeated) == (14, 1.4, 9, 3)


@pytest.mark.parametrize(
    ("status", "headers", "attempts", "pause"),
    [
        (429, {"Retry-After": "2"}, 1, 2.0),
        (503, {"retry-after": "5"}, MOST, 5.0),
        (503, {"Retry-After": "5"}, MOST + 1, None),
        (503, {}, 1, None),
        (503, {"Retry-After": "Fri, 27 Nov 2026 12:00:00 GMT"}, 1, None),
        (500, {"Retry-After": "1"}, 1, None),
        (502, {"Retry-After": "1"}, 1, None),
        (0, {}, 1, None),
    ],
)
def test_what_is_asked_for_again(status: int, headers: dict[str, str], attempts: int, pause: float | None) -> None:
    assert pause_after(status, headers, attempts) == pause


def test_an_upgrade_is_told_by_phases_and_by_what_failed(tmp_path: Path) -> None:
    lines = ["10.0\tGET\t/v1/me\t20.0\t", "31.0\tGET\t/v1/me\t900.0\t", "12.0\tREPEATED\t/v1/me\t1.0\t"]
    lines += ["31.5\tPOST\t/v1/media\t2000.0\t502: gone", "9.0\tJOB\tupload to download\t30000.0\t"]
    (tmp_path / "notes").write_text("\n".join(lines) + "\n")
    clock = Clock({"before": (0.0, 30.0), "during": (30.0, 40.0), "after": (40.0, 50.0)})
    http, _, jobs = rows_of_upgrade("api", read_notes(tmp_path / "notes"), clock)
    assert (http.requests, http.repeated, http.failed) == (3, 1, ("POST /v1/media: 502: gone",))
    assert http.p95_ms == (20.0, 900.0, None)
    assert jobs.p95_ms == (30_000.0, 30_000.0, None), "it was under way in both"
    assert not Upgrade((http,), (), ()).is_good
    assert Upgrade((jobs,), (), ()).is_good
    assert not Upgrade((jobs,), (), ("a process is the one it was",)).is_good
    assert "900 ms" in table([Upgrade((http, jobs), (), ())])


def test_a_row_counts_what_failed_among_the_requests() -> None:
    clock = Clock({"before": (0.0, 1.0), "during": (1.0, 2.0), "after": (2.0, 3.0)})
    found = row("models", "calls", [Asked(0.5, 100.0)], 2, ["INTERNAL: oh"], clock)
    assert (found.requests, found.repeated, found.failed) == (2, 2, ("INTERNAL: oh",))
