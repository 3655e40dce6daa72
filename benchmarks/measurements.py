"""What every benchmark measures, in one shape: its option `--json FILE` writes a list of it for `benchmarks.report`."""

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, TypeAdapter

Section = Literal["requests", "models", "end to end", "peers", "where the time goes"]
Statistic = Literal["median", "p50", "p95", "p99"]


class Measurement(BaseModel):
    """One quantity, measured several times.

    `values` are of rounds, or of single requests where `of` says so; `statistic` is what they are summed up by.
    `at` says where in a table or a picture it is: "table", "figure" (its column) and what else names its row; or
    "picture", "bar" and "step".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    unit: str
    better: Literal["higher", "lower"]
    values: Annotated[tuple[FiniteFloat, ...], Field(min_length=1)]
    of: Literal["rounds", "requests"] = "rounds"
    statistic: Statistic = "median"
    section: Section = "models"
    command: str = ""
    note: str = ""
    at: Mapping[str, str] = Field(default_factory=dict)

    def count(self) -> str:
        """How many values, of what: `3 rounds`."""
        count = len(self.values)
        return f"{count:,} {self.of if count != 1 else self.of.removesuffix('s')}"


MEASUREMENTS = TypeAdapter(list[Measurement])


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """The option `--json FILE`."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the measurements there as well")


def write(path: Path | None, measurements: Sequence[Measurement]) -> None:
    """Write them, each with the command this process was called by; nothing where no file was named."""
    if path is None:
        return
    command = called()
    named = [each.model_copy(update={"command": each.command or command}) for each in measurements]
    path.write_bytes(MEASUREMENTS.dump_json(named, indent=1, exclude_defaults=True))


def called() -> str:
    """The command of this process, without `--json FILE`, which says nothing of what was measured."""
    spec = sys.modules["__main__"].__spec__
    module = spec.name.removesuffix(".__main__") if spec else sys.argv[0]
    arguments = sys.argv[1:]
    if "--json" in arguments:
        at = arguments.index("--json")
        arguments = arguments[:at] + arguments[at + 2 :]
    return shlex.join(["python", "-m", module, *arguments])


def latencies(
    name: str, seconds: Sequence[float], section: Section, at: Mapping[str, str] | None = None
) -> list[Measurement]:
    """p50, p95 and p99 of requests, in milliseconds."""
    values = tuple(round(each * 1e3, 3) for each in seconds)
    statistics: tuple[Statistic, ...] = ("p50", "p95", "p99")
    return [
        Measurement(
            name=f"{name}: {statistic}",
            unit="ms",
            better="lower",
            values=values,
            of="requests",
            statistic=statistic,
            section=section,
            at={**at, "figure": statistic} if at else {},
        )
        for statistic in statistics
    ]


def times_faster(name: str, slow: Sequence[float], fast: Sequence[float], note: str = "") -> Measurement:
    """How many times faster than a peer, round by round: both ran in turn on the same machine."""
    ratios = tuple(a / b for a, b in zip(slow, fast, strict=True))
    return Measurement(name=name, unit="times faster", better="higher", values=ratios, section="peers", note=note)
