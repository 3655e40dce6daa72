"""What the command line shows: a live bar per stage, and at the end where the results are and what they measure."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

BARS = {
    "uploading": "Uploading",
    "extracting": "Extracting audio",
    "transcribing": "Transcribing",
    "translating": "Translating",
    "synthesizing": "Speaking",
    "merging": "Merging",
}

NOTES = {"uploading": "{mib:.1f} MiB", "extracting": "", "merging": "{share:.0%}"}
"""What stands beside a bar; for the other stages how many of how many."""


class StageBars:
    """One bar per stage, fed with the counts of a job's progress events ({"transcribing": [3, 12], …})."""

    def __init__(self, console: Console, stages: tuple[str, ...]) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<18}"),
            BarColumn(bar_width=40),
            TextColumn("{task.fields[note]:>12}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._bars: dict[str, TaskID] = {
            stage: self._progress.add_task(BARS[stage], total=None, start=False, note="") for stage in stages
        }

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def update(self, stage: str, done: float, total: float) -> None:
        bar = self._bars.get(stage)
        if bar is None or not total:
            return
        task = self._progress.tasks[bar]
        if task.finished:
            return
        if not task.started:
            self._progress.start_task(bar)
        note = NOTES.get(stage, "{done:g} / {total:g}")
        note = note.format(done=done, total=total, share=done / total, mib=done / 2**20)
        self._progress.update(bar, completed=done, total=total, note=note)

    def begin(self, stage: str) -> None:
        """The stage is under way, and how far is not known yet."""
        if stage in self._bars:
            self._progress.start_task(self._bars[stage])

    def counts(self, counts: Mapping[str, list[float]]) -> None:
        for stage, (done, total) in counts.items():
            self.update(stage, done, total)


def results(console: Console, files: Mapping[str, Path], reports: list[dict[str, Any]], job: Mapping[str, Any]) -> None:
    """The paths of the results, the figures of the quality report, and every warning in plain words."""
    console.print("[bold]Results[/bold]")
    for name, path in files.items():
        console.print(f"  {name:<22} {path}", soft_wrap=True, highlight=False, markup=False)
    for report in reports:
        console.print(f"[bold]Measured[/bold] (dub into {report['language']})")
        for name, value in figures(report):
            console.print(f"  {name:<22} {value}", highlight=False)
        for warning in report["warnings"]:
            console.print(f"  [yellow]Look at:[/yellow] {escape(warning['message'])}", soft_wrap=True, highlight=False)
        _whole_report(console, files, report["language"])
    for warning in job["warnings"]:
        console.print(f"[yellow]Note:[/yellow] {escape(warning['message'])}", soft_wrap=True)


def _whole_report(console: Console, files: Mapping[str, Path], language: str) -> None:
    """Where the rest of it is: a page for people, data for programs."""
    found = [files[name] for kind in ("html", "json") if (name := f"quality.{language}.{kind}") in files]
    if found:
        said = " and ".join(map(str, found))
        console.print(f"  {'the whole report':<22} {said}", soft_wrap=True, highlight=False, markup=False)


def figures(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A quality report's totals in words; what was not measured is left out."""
    fit, duration, loudness = report["fit"], report["duration"], report["loudness"]
    lines = [("duration", f"{duration['output_s']:.2f} s ({duration['difference_s'] * 1000:+.0f} ms to the original)")]
    if loudness and not loudness["silent"]:
        level = f"{loudness['integrated_lufs']:.1f} LUFS, true peak {loudness['true_peak_dbtp']:.1f} dBTP"
        lines.append(("loudness", level))
    if fit["segments"]:
        share = f"{fit['inside_slot_percent']:g} % of {fit['segments']} segments"
        lines += [
            ("speech inside its slot", f"{share}; overflow {fit['overflow_s']:.2f} s in all"),
            ("speed of the voice", f"{fit['min_speed']:.2f} to {fit['max_speed']:.2f} of its own"),
            ("furthest from its onset", f"{fit['max_onset_error_s'] * 1000:.0f} ms"),
        ]
    if heard := report["read_back"]:
        of = f"of {heard['segments']} of {heard['of_segments']} segments"
        lines.append(("heard differently", f"{heard['error_percent']:g} % of the {heard['unit']} {of}"))
    if rated := report["speech_quality"]:
        lines.append(("speech quality", f"{rated['overall']:.1f} of 5"))
    if alike := report["speaker_similarity"]:
        lines.append(("like the speaker", f"{alike['lowest']:.2f} of 1"))
    return [*lines, ("subtitle rules broken", str(report["subtitle_violations"]["total"]))]
