"""Everything that is measured, one process after another, in one report: report.md, report.html, report.json.

    python -m benchmarks.report [--only NAME …] [--quick] [--out DIR] [--compare OLD.json] [--from REPORT.json]

`--quick` takes at most ten minutes on two cores and leaves the longer parts out; all of it takes 45. A part that fails
is reported with its last lines and the others go on; the exit status is 1 then. `--compare` sets the figures beside
those of an earlier report.json. `--from` measures nothing and writes an earlier report anew.
"""

import argparse
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from benchmarks.machine import RESULTS, machine
from benchmarks.report.comparison import compare
from benchmarks.report.document import document
from benchmarks.report.environment import environment
from benchmarks.report.page import page
from benchmarks.report.parts import PARTS, Part
from benchmarks.report.plots import plots
from benchmarks.report.results import Report, UnreadableReportError, read_report
from benchmarks.report.running import run_part

console = Console(width=120)


def measured(parts: Sequence[Part], *, quick: bool, out: Path, command: str) -> Report:
    """Every part in turn; its log in `out`."""
    began, clock = datetime.now(UTC), time.perf_counter()
    surroundings = environment()
    logs = out / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    done = []
    for part in parts:
        expected = part.times(quick) * part.expected_s(quick)
        console.print(f"{part.name}: about {expected} s …", highlight=False)
        result = run_part(part, quick=quick, log=logs / f"{part.name}.log")
        told = f"[red]failed[/red]: {result.failure.splitlines()[0]}" if result.failure else "done"
        console.print(f"{part.name}: {told}, {result.seconds:.0f} s", highlight=False)
        done.append(result)
    chosen = {part.name for part in parts}
    return Report(
        began=began.isoformat(timespec="seconds"),
        seconds=round(time.perf_counter() - clock, 1),
        command=command,
        environment=surroundings,
        parts=tuple(done),
        left_out=tuple(part.name for part in PARTS if part.name not in chosen),
    )


def write(report: Report, out: Path, old: Report | None) -> None:
    """report.json, report.md with its plots, and report.html."""
    folder = out / "plots"
    folder.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_text(report.model_dump_json(indent=1), encoding="utf-8")
    pictures = plots(report)
    for picture in pictures:
        (folder / f"{picture.name}.svg").write_text(picture.file(), encoding="utf-8")
    text = document(report, pictures, compare(old, report) if old else None)
    (out / "report.md").write_text(text, encoding="utf-8")
    (out / "report.html").write_text(page(text, pictures), encoding="utf-8")


def chosen(parts: Sequence[Part], only: Sequence[str], *, quick: bool) -> list[Part]:
    """The parts named, or all that a run of this kind has."""
    if only:
        return [part for part in parts if part.name in only]
    return [part for part in parts if not quick or part.quick is not None]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=(), metavar="NAME", choices=[part.name for part in PARTS])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, help="a folder; one of its own under benchmarks/results otherwise")
    parser.add_argument("--compare", type=Path, metavar="OLD.json")
    parser.add_argument("--from", dest="source", type=Path, metavar="REPORT.json")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the part at work is ended, too
    try:
        old = read_report(options.compare) if options.compare else None
        source = read_report(options.source) if options.source else None
    except UnreadableReportError as error:
        parser.error(str(error))
    out = options.out or RESULTS / f"report-{datetime.now(UTC):%Y-%m-%dT%H%M%S}"
    if source is None:
        command = shlex.join(["python", "-m", "benchmarks.report", *sys.argv[1:]])
        report = measured(
            chosen(PARTS, options.only, quick=options.quick), quick=options.quick, out=out, command=command
        )
    else:
        report = source
    write(report, out, old)
    console.print(
        f"{out / 'report.html'} (and report.md, report.json), on {machine()}", highlight=False, soft_wrap=True
    )
    return int(any(part.failure for part in report.parts))


if __name__ == "__main__":
    sys.exit(main())
