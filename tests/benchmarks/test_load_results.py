"""What locust's runs say, as measurements."""

import json

import pytest
from pydantic import ValidationError

from benchmarks.report.load import read_load


def run(**changes: object) -> bytes:
    request = {"count": 9, "failures": 1, "repeated": 2, "per_second": 3.0, "p50_ms": 4, "p95_ms": 5, "p99_ms": 6}
    requests = [{"name": "GET /v1/jobs", **request}, {"name": "POST /v1/jobs", **request, "count": 0, "per_second": 0}]
    told = {"profile": "browse", "users": 2, "seconds": 5, "think_s": 0, "errors": [["POST /v1/jobs: 500", 2]]}
    return json.dumps([{**told, "machine": "one", "requests": requests, **changes}]).encode()


def test_a_run_becomes_rates_and_quantiles_by_request_and_what_failed() -> None:
    found = {each.name: each.values for each in read_load(run())}
    assert found == {
        "browse, 2 users: all requests": (3.0,),
        "browse, 2 users: failed": (2.0,),
        "browse, 2 users: refused and repeated": (4.0,),
        "browse, 2 users, GET /v1/jobs: answered": (3.0,),
        "browse, 2 users, GET /v1/jobs: p50": (4.0,),
        "browse, 2 users, GET /v1/jobs: p95": (5.0,),
        "browse, 2 users, GET /v1/jobs: p99": (6.0,),
    }


def test_events_jobs_and_cut_streams_are_no_requests_and_have_rates_of_their_own() -> None:
    times = {"repeated": 0, "p50_ms": 4.0, "p95_ms": 5.0, "p99_ms": 6.0}
    rates = {
        "GET /v1/jobs": 3.0,
        "POST /v1/media": 2.0,
        "EVENT event": 70.0,
        "JOB upload to download": 0.5,
        "STREAM x": 1,
    }
    requests = [
        {"name": name, "count": 9, "failures": int(name in ("JOB upload to download", "STREAM x")), **times}
        | {"per_second": rate}
        for name, rate in rates.items()
    ]
    found = {each.name: (each.values[0], each.unit) for each in read_load(run(requests=requests))}
    assert found["browse, 2 users: all requests"] == (5.0, "requests/s")
    assert found["browse, 2 users: failed"] == (2.0, "requests")
    assert found["browse, 2 users, EVENT event: received"] == (70.0, "events/s")
    assert found["browse, 2 users, JOB upload to download: ended"] == (0.5, "jobs/s")
    assert found["browse, 2 users, JOB upload to download: p50"] == (4.0, "ms")
    assert not any("STREAM" in name for name in found)


@pytest.mark.parametrize("content", [b"", b"{}", run(requests=[{"name": "x"}])])
def test_something_else_is_refused(content: bytes) -> None:
    with pytest.raises(ValidationError):
        read_load(content)
