"""The report as Markdown: everything measured, once, with its interval or the reason why it has none."""

from collections.abc import Iterable, Sequence
from math import isnan
from typing import get_args

from benchmarks.measurements import Measurement, Section
from benchmarks.report.comparison import Change, Comparison
from benchmarks.report.intervals import Estimate, estimate
from benchmarks.report.plots import Plot
from benchmarks.report.results import PartResult, Report

TITLES: dict[Section, str] = {
    "requests": "Requests to the API",
    "models": "Models through the protocol",
    "end to end": "End to end",
    "peers": "Peers side by side",
    "where the time goes": "Where the time goes",
}
assert list(TITLES) == list(get_args(Section))
HOW_TO_READ = """\
A value is the median of its rounds, or the quantile named of its requests. Beside it stands the 95 % confidence
interval by the bootstrap (scipy.stats.bootstrap): BCa from 10 to 1,000 values, percentile elsewhere.

- Of fewer than 3 rounds no interval is given, nor of a quantile with fewer than 5 values beyond it.
- Of few rounds an interval is too narrow: the range of 3 rounds holds the true median 75 times in 100, of 4 rounds
  88 times, of 6 rounds 97 times.
- Requests of one run are not independent of each other. Intervals over requests say how sure the figure of this run
  is, not what the next run will give.
- Ratios are taken round by round; in a round everybody had a turn on the same machine.
- A comparison calls something better or worse only where the interval of new over old leaves 1 out. Where nothing has
  changed, that still happens by chance: about 5 times in 100, about 10 in 100 of 3 rounds each."""


def document(report: Report, pictures: Sequence[Plot], comparison: Comparison | None, folder: str = "plots") -> str:
    """The whole report; plots are links into the folder."""
    lines = ["# Octavia, measured", "", _machine_line(report), "", *_warnings(report, comparison)]
    if comparison:
        lines += _comparison(comparison)
    for section, title in TITLES.items():
        parts = [(part, [each for each in part.measurements if each.section == section]) for part in report.parts]
        if any(own for _, own in parts):
            lines += [f"## {title}", ""]
            for picture in pictures:
                if picture.section == section:
                    lines += [f"**{picture.title}**", "", f"![{picture.title}]({folder}/{picture.name}.svg)", ""]
            for part, own in parts:
                if own:
                    lines += [f"### {part.name}", "", f"{part.about}", "", *_measured(own)]
    if comparison:
        lines += _undecided(comparison)
    lines += [
        *_failures(report.parts),
        *_environment(report),
        *_commands(report),
        "## How to read it",
        "",
        HOW_TO_READ,
        "",
    ]
    return "\n".join(lines)


def number(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def with_unit(value: float, unit: str) -> str:
    return f"{number(value)} {unit}".strip()


def interval(found: Estimate) -> str:
    """Its two ends, or why there is none."""
    return f"{number(found.interval.low)} to {number(found.interval.high)}" if found.interval else found.reason


def _machine_line(report: Report) -> str:
    device = report.environment.device
    gpus = "no GPU" if device["GPU"] == "none" else device["GPU"]
    where = f"{device['processor']}, {device['cores']} cores, {device['memory']}, {gpus}"
    return f"{report.began}, on {where}. Took {report.seconds / 60:.0f} minutes."


def _warnings(report: Report, comparison: Comparison | None) -> list[str]:
    found = []
    failed = [part.name for part in report.parts if part.failure]
    if failed:
        found.append(f"**Failed: {', '.join(failed)}.** The last lines of each are below.")
    if report.left_out:
        found.append(f"Left out: {', '.join(report.left_out)}.")
    cores = int(report.environment.device["cores"])
    if report.environment.load > cores / 4:
        load = f"{report.environment.load:.1f} processes wanted one of {cores} cores in the minute before"
        wrong = "figures may be too low, and ratios between programs of one process and of several wrong"
        found.append(f"**This machine was not idle** ({load}): {wrong}.")
    if report.environment.revision.endswith("changes"):
        found.append("The checkout had uncommitted changes.")
    if comparison and comparison.other_machine:
        found.append("**The two reports are of different machines**: what differs may be the machine alone.")
    return [*"\n>\n".join(f"> {each}" for each in found).split("\n"), ""] if found else []


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in lines] + [
        ""
    ]


def _measured(own: Sequence[Measurement]) -> list[str]:
    """A line each; those that say their table and figure, a line for each place with a column for each figure."""
    rows = [_row(each) for each in own if "table" not in each.at]
    lines = _table(("what", "value", "95 % interval", "of", "better", "note"), rows) if rows else []
    tables: dict[str, list[Measurement]] = {}
    for each in own:
        if "table" in each.at:
            tables.setdefault(each.at["table"], []).append(each)
    for title, cells in tables.items():
        lines += _grid(title, cells)
    return lines


def _row(measurement: Measurement) -> tuple[str, ...]:
    found = estimate(measurement)
    value = with_unit(found.value, measurement.unit)
    return (measurement.name, value, interval(found), measurement.count(), measurement.better, measurement.note)


def _grid(title: str, cells: Sequence[Measurement]) -> list[str]:
    """A table of figures; an interval in brackets where there is one."""
    keys = [key for key in cells[0].at if key not in {"table", "figure"}]
    figures = list(dict.fromkeys(_figure(each) for each in cells))
    rows: dict[tuple[str, ...], dict[str, Measurement]] = {}
    for each in cells:
        rows.setdefault(tuple(each.at[key] for key in keys), {})[_figure(each)] = each
    head = (f"{title}: {keys[0]}", *keys[1:], *figures, "of")
    body = (
        (
            *place,
            *(_cell(row.get(name)) for name in figures),
            ", ".join(dict.fromkeys(each.count() for each in row.values())),
        )
        for place, row in rows.items()
    )
    return _table(head, body)


def _figure(measurement: Measurement) -> str:
    figure = measurement.at["figure"]
    return figure if figure == measurement.unit else f"{figure}, {measurement.unit}"


def _cell(measurement: Measurement | None) -> str:
    if measurement is None:
        return ""
    found = estimate(measurement)
    return f"{number(found.value)} ({interval(found)})" if found.interval else number(found.value)


def _comparison(comparison: Comparison) -> list[str]:
    """What differs around the measurements, what became better or worse, and what only one report has."""
    lines = [f"## Compared with {comparison.old.began}", ""]
    if comparison.differences:
        lines += _table(("differs", "old", "new"), [(name, *pair) for name, pair in comparison.differences.items()])
    verdicts = [change.verdict for change in comparison.changes]
    counts = ", ".join(f"{verdicts.count(each)} {each}" for each in ("worse", "better", "unclear", "no interval"))
    lines += [f"{len(verdicts)} measurements of both: {counts}.", ""]
    lines += _changes(
        [change for verdict in ("worse", "better") for change in comparison.changes if change.verdict == verdict]
    )
    for title, keys in (("Only in the old report", comparison.only_old), ("Only in the new one", comparison.only_new)):
        if keys:
            lines += [f"{title}:", "", *(f"- {part}: {name}" for part, name in keys), ""]
    return lines


def _undecided(comparison: Comparison) -> list[str]:
    """The rest of the comparison: neither better nor worse, as far as can be told."""
    rest = [change for change in comparison.changes if change.verdict not in {"better", "worse"}]
    title = f"## Compared with {comparison.old.began}: neither better nor worse, as far as can be told"
    return [title, "", *_changes(rest)] if rest else []


def _changes(changes: Sequence[Change]) -> list[str]:
    head = ("verdict", "part", "what", "old", "new", "new / old", "95 % interval")
    return _table(head, map(_change, changes)) if changes else []


def _change(change: Change) -> tuple[str, ...]:
    unit = change.measurement.unit
    shown = f"**{change.verdict}**" if change.verdict in {"better", "worse"} else change.verdict
    name = change.measurement.name if change.same_command else f"{change.measurement.name} (another command)"
    values = (with_unit(each.value, unit) for each in (change.old, change.new))
    return (shown, change.part, name, *values, _ratio(change.ratio.value), interval(change.ratio))


def _ratio(value: float) -> str:
    return "" if isnan(value) else f"{value:.2f}"


def _failures(parts: Sequence[PartResult]) -> list[str]:
    failed = [part for part in parts if part.failure]
    lines = ["## Failed", ""] if failed else []
    for part in failed:
        lines += [f"### {part.name}: failed", "", *(f"    {line}" for line in part.failure.splitlines()), ""]
    return lines


def _environment(report: Report) -> list[str]:
    own = report.environment
    rows = {**own.device, **own.system, "revision": own.revision, **own.variables, **own.versions}
    load = {"load before": f"{own.load:.2f} processes, mean of a minute"}
    return ["## Device and versions", "", *_table(("", ""), list({**rows, **load}.items()))]


def _commands(report: Report) -> list[str]:
    rows = [
        (part.name, f"`{part.command}`", f"{part.seconds:,.0f}", "failed" if part.failure else "done")
        for part in report.parts
    ]
    return ["## Commands", "", f"All of it: `{report.command}`", "", *_table(("part", "command", "seconds", ""), rows)]
