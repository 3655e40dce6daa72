"""What `python -m benchmarks.load --json FILE` writes, as measurements: a run is one round."""

from collections.abc import Mapping

from pydantic import TypeAdapter

from benchmarks.load.stats import LoadResult
from benchmarks.measurements import Measurement

RESULTS = TypeAdapter(list[LoadResult])


def read_load(content: bytes) -> list[Measurement]:
    """Of every request its rate, p50, p95 and p99; of every profile all requests a second, and how many failed.

    pydantic.ValidationError where it is something else.
    """
    return [measurement for run in RESULTS.validate_json(content) for measurement in _run(run)]


def _run(run: LoadResult) -> list[Measurement]:
    name = f"{run.profile}, {run.users} users"
    made = [
        _one(f"{name}: all requests", "requests/s", "higher", sum(each.per_second for each in run.requests)),
        _one(f"{name}: failed", "requests", "lower", sum(each.failures for each in run.requests)),
        _one(f"{name}: refused and repeated", "requests", "lower", sum(each.repeated for each in run.requests)),
    ]
    for each in run.requests:
        if each.count:
            at = {"table": name, "request": each.name}
            made.append(_one(f"{name}, {each.name}: answered", "requests/s", "higher", each.per_second, at))
            quantiles = (("p50", each.p50_ms), ("p95", each.p95_ms), ("p99", each.p99_ms))
            made += [_one(f"{name}, {each.name}: {which}", "ms", "lower", value, at) for which, value in quantiles]
    return made


def _one(name: str, unit: str, better: str, value: float, at: Mapping[str, str] | None = None) -> Measurement:
    fields = {"name": name, "unit": unit, "better": better, "values": (value,), "section": "requests"}
    where = {**at, "figure": name.rpartition(": ")[2]} if at else {}
    return Measurement.model_validate({**fields, "at": where})
