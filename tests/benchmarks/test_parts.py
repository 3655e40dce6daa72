"""Parts as processes: what they write, how they fail."""

import argparse
import json
import sys
from pathlib import Path

import pytest

from benchmarks import measurements
from benchmarks.report import running
from benchmarks.report.parts import PARTS, Part, UnreadableResultError, merged
from benchmarks.report.running import run_part
from tests.benchmarks.reports import measurement

GOOD = json.dumps([{"name": "x", "unit": "s", "better": "lower", "values": [1.0]}])


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose modules a part can be."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def part_of(folder: Path, body: str, seconds: int = 10, runs: int = 1) -> Part:
    """A part that runs so much code; `out` is where its result goes."""
    (folder / "tiny.py").write_text(f"import pathlib, sys, time\nout = pathlib.Path(sys.argv[-1])\n{body}\n")
    return Part(name="tiny", about="Tiny.", command=("tiny",), seconds=seconds, runs=runs)


def test_a_part_is_run_as_often_as_it_wants_and_its_values_stand_in_a_row(made: Path) -> None:
    result = run_part(part_of(made, f"out.write_text({GOOD!r})", runs=2), quick=False, log=made / "log")
    assert not result.failure
    assert [each.values for each in result.measurements] == [(1.0, 1.0)]
    assert result.command == "python -m tiny"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("print('last words')\nsys.exit(3)", "ended with status 3\nlast words"),
        ("print('nothing')", "wrote no result\nnothing"),
        ("out.write_text('[{')", "the result of tiny cannot be read"),
        ("out.write_text('[]')", "the result of tiny holds no measurement"),
        (f"out.write_text({GOOD!r}.replace('1.0', 'NaN'))", "the result of tiny cannot be read"),
        (f"out.write_text({GOOD!r}.replace('1.0', ''))", "the result of tiny cannot be read"),
        (f"out.write_text({GOOD!r}[:-1] + ', ' + {GOOD!r}[1:])", "the result of tiny says twice: x"),
    ],
)
def test_a_part_that_goes_wrong_is_a_failure_with_its_reason(made: Path, body: str, why: str) -> None:
    result = run_part(part_of(made, body), quick=False, log=made / "log")
    assert result.failure.startswith(why)
    assert result.measurements == ()


def test_a_part_that_does_not_end_is_stopped_and_can_clean_up(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "START_S", 1)
    monkeypatch.setattr(running, "PATIENCE", 1)
    body = f"try:\n    time.sleep(60)\nfinally:\n    pathlib.Path({str(made / 'cleaned')!r}).touch()"
    result = run_part(part_of(made, body, seconds=1), quick=False, log=made / "log")
    assert result.failure.startswith("not done after 2 s, stopped")
    assert (made / "cleaned").exists()


def test_a_quick_run_takes_the_quick_command(made: Path) -> None:
    part = Part(name="x", about="", command=("a", "--long"), seconds=9, quick=("a",), quick_seconds=2, runs=3)
    assert (part.argv(False), part.argv(True)) == (("a", "--long"), ("a",))
    assert (part.times(False), part.times(True), part.expected_s(True)) == (3, 1, 2)


def test_the_table_keeps_its_promises_of_time_and_names_its_parts_once() -> None:
    names = [part.name for part in PARTS]
    assert len(set(names)) == len(names)
    assert sum(part.runs * part.seconds for part in PARTS) <= 45 * 60
    assert sum(part.quick_runs * part.quick_seconds for part in PARTS if part.quick) <= 10 * 60


def test_runs_are_merged_by_name() -> None:
    found = merged([[measurement("a", 1), measurement("b", 5)], [measurement("a", 2)]])
    assert {each.name: each.values for each in found} == {"a": (1.0, 2.0), "b": (5.0,)}


def test_a_benchmark_writes_its_measurements_with_its_own_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds")
    measurements.add_json_option(parser)
    path = tmp_path / "r.json"
    monkeypatch.setattr(sys, "argv", ["x", "--json", str(path), "--rounds", "3"])
    measurements.write(parser.parse_args().json, [measurement("a", 1)])
    (found,) = Part(name="a", about="", command=(), seconds=1).measurements(path.read_bytes())
    assert found.command.endswith("--rounds 3")
    assert "--json" not in found.command
    measurements.write(None, [measurement("a", 1)])


def test_a_reader_of_its_own_that_meets_something_else_says_so() -> None:
    part = Part(name="a", about="", command=(), seconds=1, read=lambda content: [json.loads(content)["missing"]])
    with pytest.raises(UnreadableResultError, match="the result of a cannot be read"):
        part.measurements(b"{}")
