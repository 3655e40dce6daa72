"""A report as data: what `report.json` holds and `--compare` reads."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmarks.measurements import Measurement
from benchmarks.report.environment import Environment


class PartResult(BaseModel):
    """What came of one part."""

    model_config = ConfigDict(frozen=True)

    name: str
    about: str
    command: str
    seconds: float
    measurements: tuple[Measurement, ...] = ()
    failure: str = ""
    """Why it failed, and its last lines; empty where it did not."""


class Report(BaseModel):
    """All parts of a run."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    began: str
    """UTC, ISO 8601."""
    seconds: float
    command: str
    environment: Environment
    parts: tuple[PartResult, ...]
    left_out: tuple[str, ...] = ()

    def measured(self) -> Iterator[tuple[str, Measurement]]:
        """Each measurement with the name of its part."""
        for part in self.parts:
            for measurement in part.measurements:
                yield part.name, measurement


class UnreadableReportError(ValueError):
    """A file that is no report."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path} is no report of `python -m benchmarks.report`: {why}. Name its report.json.")


def read_report(path: Path) -> Report:
    """The report of that file. UnreadableReportError where it is none."""
    try:
        return Report.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UnreadableReportError(path, error.strerror or str(error)) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(each) for each in first["loc"])
        raise UnreadableReportError(path, f"{where}: {first['msg']}" if where else first["msg"]) from error
