"""What two reports say of each other."""

from pathlib import Path
from typing import Literal

import pytest

from benchmarks.report.comparison import compare
from benchmarks.report.document import document
from benchmarks.report.results import UnreadableReportError, read_report
from tests.benchmarks.reports import DEVICE, measurement, part, report


@pytest.mark.parametrize(
    ("better", "new", "verdict"),
    [
        ("higher", (20, 22, 24), "better"),
        ("higher", (5, 5.5, 6), "worse"),
        ("lower", (20, 22, 24), "worse"),
        ("lower", (5, 5.5, 6), "better"),
        ("higher", (9, 11.5, 14), "unclear"),
        ("higher", (20, 22), "no interval"),
    ],
)
def test_a_change_is_called_what_its_interval_allows(
    better: Literal["higher", "lower"], new: tuple[float, ...], verdict: str
) -> None:
    old, now = (report(part("one", measurement("x", *values, better=better))) for values in ((10, 11, 12), new))
    (change,) = compare(old, now).changes
    assert change.verdict == verdict
    assert change.new.value / change.old.value == pytest.approx(change.ratio.value)


def test_what_only_one_report_measured_is_listed() -> None:
    old = report(part("one", measurement("both"), measurement("gone")), part("two", measurement("both")))
    new = report(part("one", measurement("both"), measurement("fresh")))
    found = compare(old, new)
    assert [(change.part, change.measurement.name) for change in found.changes] == [("one", "both")]
    assert found.only_old == (("one", "gone"), ("two", "both"))
    assert found.only_new == (("one", "fresh"),)
    text = document(new, [], found)
    assert "- one: gone" in text
    assert "- one: fresh" in text


def test_another_machine_is_said_loudly_and_other_versions_are_listed() -> None:
    old = report(device=DEVICE | {"cores": "64"}, versions={"Python": "3.10"})
    new = report()
    found = compare(old, new)
    assert found.other_machine
    assert found.differences == {"cores": ("64", "2"), "Python": ("3.10", "3.11")}
    assert "**The two reports are of different machines**" in document(new, [], found)
    assert "different machines" not in document(new, [], compare(new, new))


def test_a_measurement_by_another_command_says_so() -> None:
    old, new = (report(part("one", measurement("x", command=f"run --rounds {rounds}"))) for rounds in (3, 5))
    assert "x (another command)" in document(new, [], compare(old, new))
    assert "(another command)" not in document(new, [], compare(new, new))


def test_a_measurement_whose_unit_changed_has_no_ratio() -> None:
    old, new = (report(part("one", measurement("x", unit=unit))) for unit in ("s", "ms"))
    (change,) = compare(old, new).changes
    assert change.verdict == "no interval"
    assert "was median in s" in document(new, [], compare(old, new))


def test_a_report_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(report().model_dump_json())
    assert read_report(path) == report()


@pytest.mark.parametrize("content", ["", "[]", '{"format": 2}', '{"format": 1, "began": '])
def test_a_file_that_is_no_report_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "old.json"
    path.write_text(content)
    with pytest.raises(UnreadableReportError, match=r"old\.json is no report"):
        read_report(path)
    with pytest.raises(UnreadableReportError, match="No such file"):
        read_report(tmp_path / "missing.json")
