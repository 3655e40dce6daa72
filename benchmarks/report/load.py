"""What `python -m benchmarks.load --json FILE` writes, as measurements: a run is one round."""

from collections.abc import Mapping

from pydantic import TypeAdapter

from benchmarks.load.stats import LoadResult
from benchmarks.measurements import Measurement

DONE: Mapping[str, str] = {"requests": "answered", "events": "received", "jobs": "ended"}
"""How the rate of a row is called. A stream that was cut has none: it is among what failed."""
RESULTS = TypeAdapter(list[LoadResult])


def read_load(content: bytes) -> list[Measurement]:
    """Of every request, of events and whole jobs the rate, p50, p95 and p99; of every profile all HTTP requests a
    second, and how much failed.

    pydantic.ValidationError where it is something else.
    """
    return [measurement for run in RESULTS.validate_json(content) for measurement in _run(run)]


def _run(run: LoadResult) -> list[Measurement]:
    name = f"{run.profile}, {run.users} users"
    made = [
        _one(f"{name}: all requests", "requests/s", "higher", run.per_second),
        _one(f"{name}: failed", "requests", "lower", run.failures),
        _one(f"{name}: refused and repeated", "requests", "lower", run.repeated),
    ]
    for each in run.requests:
        done = DONE.get(each.counted)
        if each.count and done:
            at = {"table": name, "request": each.name}
            made.append(_one(f"{name}, {each.name}: {done}", f"{each.counted}/s", "higher", each.per_second, at))
            quantiles = (("p50", each.p50_ms), ("p95", each.p95_ms), ("p99", each.p99_ms))
            made += [_one(f"{name}, {each.name}: {which}", "ms", "lower", value, at) for which, value in quantiles]
    return made


def _one(name: str, unit: str, better: str, value: float, at: Mapping[str, str] | None = None) -> Measurement:
    fields = {"name": name, "unit": unit, "better": better, "values": (value,), "section": "requests"}
    where = {**at, "figure": name.rpartition(": ")[2]} if at else {}
    return Measurement.model_validate({**fields, "at": where})
