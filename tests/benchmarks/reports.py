"""Made-up results with known answers."""

from typing import Any

from benchmarks.measurements import Measurement
from benchmarks.report.environment import Environment
from benchmarks.report.results import PartResult, Report

DEVICE = {"processor": "Abacus 9", "cores": "2", "memory": "4 GiB", "GPU": "none"}


def measurement(name: str = "speed", *values: float, **changes: Any) -> Measurement:
    """Three rounds of something of which more is better, unless told otherwise."""
    fields = {"name": name, "unit": "rows/s", "better": "higher", "values": values or (10.0, 11.0, 12.0)}
    return Measurement.model_validate(fields | changes)


def part(name: str = "one", *measurements: Measurement, failure: str = "") -> PartResult:
    command = f"python -m benchmarks.{name}"
    return PartResult(
        name=name, about=f"About {name}.", command=command, seconds=3, measurements=measurements, failure=failure
    )


def report(*parts: PartResult, device: dict[str, str] | None = None, **changes: Any) -> Report:
    surroundings = {
        "device": device or DEVICE,
        "system": {"operating system": "Debian", "kernel": "6"},
        "versions": {"Python": "3.11"},
        "variables": {"OMP_NUM_THREADS": "1"},
        "revision": "abc",
        "load": 0.0,
    } | changes
    return Report(
        began="2026-01-01T00:00:00+00:00",
        seconds=60,
        command="python -m benchmarks.report",
        environment=Environment.model_validate(surroundings),
        parts=parts or (part("one", measurement()),),
    )
