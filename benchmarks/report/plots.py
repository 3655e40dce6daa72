"""The report's plots as SVG. Text and axes are of the placeholder INK, which becomes the page's own colour."""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler

from benchmarks.measurements import Measurement
from benchmarks.report.intervals import Estimate, estimate
from benchmarks.report.results import Report

INK = "#123456"
GREY = "#7a7a7a"
"""Legible on white and on black: what INK becomes in a file, which knows no page."""
CRUMB = 0.015
"""Steps of less than this share of the longest bar are drawn as one."""
OTHER = "other steps"
COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#e45756", "#b279a2", "#72b7b2", "#c9a227", "#9d755d", "#8c8cff", "#ff9da6")
QUANTILE_COLOURS: Mapping[str, str] = {"p50": COLOURS[0], "p95": COLOURS[1], "p99": COLOURS[3]}
STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.framealpha": 0,
    "axes.grid": True,
    "axes.axisbelow": True,
    "hatch.color": INK,
    "grid.alpha": 0.25,
    "grid.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=COLOURS),
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor", "xtick.color", "ytick.color"), INK
    ),
}


@dataclass(frozen=True, slots=True)
class Plot:
    """`name` is its file's; `svg` has INK where the page's colour belongs."""

    name: str
    title: str
    section: str
    svg: str

    def inline(self) -> str:
        """For HTML: in the colour of the text around it, its ids its own."""
        body = self.svg[self.svg.index("<svg") :].replace(INK, "currentColor")
        body = re.sub(r'\bid="', f'id="{self.name}-', body)
        body = re.sub(r"url\(#", f"url(#{self.name}-", body)
        body = re.sub(r'xlink:href="#', f'xlink:href="#{self.name}-', body)
        return body.replace("<svg ", f'<svg role="img" aria-label="{self.title}" ', 1)

    def file(self) -> str:
        return self.svg.replace(INK, GREY)


def plots(report: Report) -> list[Plot]:
    """Every plot that the measurements give."""
    every = [measurement for _, measurement in report.measured()]
    with mpl.rc_context(STYLE):
        made = [
            _latencies(every),
            *(_sweep(*swept) for swept in _by([each for each in every if "in flight" in each.at], "table").items()),
            _peers(list(report.measured())),
            *_stacks(every),
        ]
    return [plot for plot in made if plot is not None]


def _by(measurements: Sequence[Measurement], key: str) -> dict[str, list[Measurement]]:
    found: dict[str, list[Measurement]] = {}
    for each in measurements:
        if key in each.at:
            found.setdefault(each.at[key], []).append(each)
    return found


def _latencies(every: Sequence[Measurement]) -> Plot | None:
    """A line for each request of the API: p50, p95 and p99 as points."""
    found: dict[str, dict[str, float]] = {}
    for each in every:
        request, _, figure = each.name.rpartition(": ")
        if each.section == "requests" and each.unit == "ms" and figure in QUANTILE_COLOURS:
            found.setdefault(request, {})[figure] = estimate(each).value
    if not found:
        return None
    figure, axes = _figure(1, 1, 8.5, 0.9 + 0.27 * len(found))
    rows = range(len(found))
    for name, colour in QUANTILE_COLOURS.items():
        values = [request.get(name, float("nan")) for request in found.values()]
        axes[0].plot(values, rows, "o", color=colour, label=name, markersize=5)
    axes[0].set_yticks(rows, found)
    axes[0].set_ylim(len(found) - 0.5, -0.5)
    _log_axis(axes[0], [value for request in found.values() for value in request.values()])
    axes[0].set_xlabel("milliseconds")
    axes[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
    return _plot("latencies", "How soon requests are answered", "requests", figure)


def _sweep(model: str, points: Sequence[Measurement]) -> Plot:
    """Throughput and p95 over requests in flight, a line for each number of rows."""
    figures = [name for name in dict.fromkeys(point.at["figure"] for point in points) if name.endswith("/s")]
    shown = (figures[-1], "p95")  # of rows/s and the model's own work a second the latter
    figure, axes = _figure(1, 2, 8.5, 3.0)
    for axis, name in zip(axes, shown, strict=True):
        drawn = [point for point in points if point.at["figure"] == name]
        for rows, line in _by(drawn, "rows").items():
            line.sort(key=lambda point: int(point.at["in flight"]))
            x = [int(point.at["in flight"]) for point in line]
            found = [estimate(point) for point in line]
            label = f"{rows} row{'' if rows == '1' else 's'} a request"
            axis.errorbar(x, [each.value for each in found], yerr=_bars(found), marker="o", capsize=3, label=label)
        x = sorted({int(point.at["in flight"]) for point in drawn})
        axis.set_xscale("log", base=2)
        axis.set_xticks(x, [str(each) for each in x])
        axis.minorticks_off()
        axis.margins(y=0.15)
        axis.set_ylim(bottom=0)
        axis.set_xlabel("requests in flight")
        axis.set_ylabel("p95, ms" if name == "p95" else name)
    if len(_by(drawn, "rows")) > 1:
        axes[0].legend()
    return _plot(f"sweep-{model}", f"{model}: throughput and 95th percentile over requests in flight", "models", figure)


def _peers(every: Sequence[tuple[str, Measurement]]) -> Plot | None:
    """Each ratio with its interval; 1 is as fast as the other."""
    ratios = [(part, each) for part, each in every if each.section == "peers" and each.unit == "times faster"]
    if not ratios:
        return None
    found = [estimate(each) for _, each in ratios]
    figure, axes = _figure(1, 1, 8.5, 0.9 + 0.33 * len(ratios))
    rows = range(len(ratios))
    values = [each.value for each in found]
    axes[0].axvline(1, color=INK, linewidth=1, linestyle="--")
    axes[0].errorbar(values, rows, xerr=_bars(found), fmt="o", capsize=3)
    axes[0].set_yticks(rows, [f"{part}: {each.name}" for part, each in ratios])
    axes[0].set_ylim(len(ratios) - 0.5, -0.5)
    _log_axis(axes[0], [*values, 1.0])
    axes[0].set_xlabel("times faster (1: as fast), 95 % interval")
    return _plot("peers", "The first against the second, on the same machine in turn", "peers", figure)


def _stacks(every: Sequence[Measurement]) -> list[Plot]:
    """Seconds by step, a bar each kind of work; one picture for each set of steps that belong together."""
    pictures: dict[str, dict[str, dict[str, float]]] = {}
    for bar, steps in _by(every, "bar").items():
        own = {step.at["step"]: estimate(step).value for step in steps}
        pictures.setdefault(steps[0].at.get("picture", "steps"), {})[bar] = own
    return [_stack(name, bars) for name, bars in pictures.items()]


def _stack(name: str, bars: Mapping[str, Mapping[str, float]]) -> Plot:
    longest = max(sum(bar.values()) for bar in bars.values())
    bars = {name: _without_crumbs(bar, CRUMB * longest) for name, bar in bars.items()}
    steps = sorted({step: None for bar in bars.values() for step in bar}, key=OTHER.__eq__)
    figure, axes = _figure(1, 1, 8.5, 1.4 + 0.4 * len(bars) + 0.2 * (len(steps) // 4))
    for number, step in enumerate(steps):
        widths = [bar.get(step, 0.0) for bar in bars.values()]
        before = [sum(bar.get(each, 0.0) for each in steps[:number]) for bar in bars.values()]
        hatch = "//" if number >= len(COLOURS) else ""
        axes[0].barh(list(bars), widths, left=before, label=step, color=COLOURS[number % len(COLOURS)], hatch=hatch)
    axes[0].invert_yaxis()
    axes[0].set_xlabel("seconds")
    figure.legend(loc="outside upper center", ncols=4, fontsize=8)
    return _plot(f"time-{name.replace(' ', '-')}", f"Where the time goes: {name}", "where the time goes", figure)


def _without_crumbs(bar: Mapping[str, float], least: float) -> dict[str, float]:
    """The steps that can be seen; the sum of the others at the end."""
    seen = {step: seconds for step, seconds in bar.items() if seconds >= least}
    return {**seen, OTHER: sum(bar.values()) - sum(seen.values())}


def _figure(rows: int, columns: int, width: float, height: float) -> tuple[Any, Sequence[Any]]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def _bars(found: Sequence[Estimate]) -> list[list[float]]:
    """How far each interval reaches below and above; nowhere where there is none."""
    reach: Sequence[Callable[[Estimate], float]] = (
        lambda each: max(0.0, each.value - each.interval.low) if each.interval else 0.0,
        lambda each: max(0.0, each.interval.high - each.value) if each.interval else 0.0,
    )
    return [[side(each) for each in found] for side in reach]


def _log_axis(axes: Any, values: Sequence[float]) -> None:
    """Logarithmic with plain numbers, where all are positive."""
    if min(values) > 0:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
        if max(values) / min(values) < 30:
            axes.xaxis.set_minor_formatter(mpl.ticker.FuncFormatter(_minor))


def _minor(value: float, _: int) -> str:
    """2 and 5 of each decade."""
    return f"{value:g}" if f"{value:e}"[0] in "25" else ""


def _plot(name: str, title: str, section: str, figure: Any) -> Plot:
    content = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = re.sub(r"<metadata>.*?</metadata>", "", content.getvalue(), flags=re.DOTALL)
    return Plot(name, title, section, svg)
