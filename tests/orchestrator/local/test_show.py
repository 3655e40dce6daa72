"""What a user sees of a job: bars while it runs, and at the end files, figures and warnings as they are."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.local.show import BARS, StageBars, results


def shown(*steps: tuple[str, list[float] | None]) -> dict[str, str]:
    """The last state of each bar, by the stage's title, after these steps (None: begun)."""
    console = Console(file=io.StringIO(), width=100, force_terminal=False)
    with StageBars(console, tuple(BARS)) as bars:
        for stage, count in steps:
            if count is None:
                bars.begin(stage)
            else:
                bars.counts({stage: count})
    assert isinstance(console.file, io.StringIO)
    return {line[:18].strip(): line[18:].strip() for line in console.file.getvalue().splitlines() if line.strip()}


@pytest.mark.parametrize(
    ("stage", "count", "note"),
    [
        ("transcribing", [3, 12], "3 / 12"),
        ("merging", [60, 100], "60%"),
        ("uploading", [2**20, 2**21], "1.0 MiB"),
    ],
)
def test_a_bar_says_how_far_its_stage_is(stage: str, count: list[float], note: str) -> None:
    line = shown((stage, count))[BARS[stage]]
    assert note in line
    assert line.endswith("0:00:00")


def test_a_stage_that_has_begun_shows_its_time_though_nothing_is_counted_yet() -> None:
    lines = shown(("extracting", None))
    assert lines["Extracting audio"].endswith("0:00:00")
    assert lines["Merging"].endswith("-:--:--")


def test_an_expected_number_of_zero_and_an_unknown_stage_change_nothing() -> None:
    assert shown(("transcribing", [0, 0]), ("dreaming", [1, 2]), ("dreaming", None)) == shown()


def test_a_finished_bar_stays_finished() -> None:
    assert "3 / 3" in shown(("transcribing", [3, 3]), ("transcribing", [2, 3]))["Transcribing"]


def test_paths_and_warnings_are_shown_as_they_are_though_they_look_like_markup() -> None:
    console = Console(file=io.StringIO(), width=60)
    warning = "Nobody speaks [red]here[/red] [/]"
    results(console, {"es.mp4": Path("out/[bold]a[/nothing].mp4")}, [], {"warnings": [{"message": warning}]})
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "out/[bold]a[/nothing].mp4" in text
    assert warning in text
