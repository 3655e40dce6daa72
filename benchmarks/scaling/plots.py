"""A trace as pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

from benchmarks.scaling.arrivals import Phase
from benchmarks.scaling.record import Record, percentile
from benchmarks.scaling.simulator import Outcome

WINDOW_S = 20.0
"""Latency percentiles are over requests that were due within so many seconds."""


def p95_over_time(record: Record, share: float = 0.95) -> tuple[list[float], list[float]]:
    """The middle of each window in which requests were due, and the percentile of their latency."""
    windows: dict[int, list[float]] = {}
    for request in record.requests:
        if request.latency is not None:
            windows.setdefault(int(request.at // WINDOW_S), []).append(request.latency)
    there = sorted(windows)
    return [(each + 0.5) * WINDOW_S for each in there], [percentile(sorted(windows[each]), share) for each in there]


def plot_trace(record: Record, simulated: Outcome, slo_s: float, path: Path) -> None:
    """Load, replicas and nodes, queue, and p95 over time; the simulation is dashed."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, (load, fleet, queue, latency) = plt.subplots(4, 1, sharex=True, figsize=(12, 11))
    times = [each.at for each in record.samples]
    again = [each.at for each in simulated.samples]
    at, rates = 0.0, [(0.0, 0.0)]
    for phase in (Phase(**each) for each in record.settings["phases"]):
        rates.append((at, phase.rate))
        at += phase.seconds
    rates.append((at, 0.0))
    load.step([each[0] for each in rates], [each[1] for each in rates], where="post", color="#4c78a8")
    load.set(ylabel="requests/s due", title=str(record.settings["machine"]))
    fleet.step(times, [each.held for each in record.samples], where="post", color="#f58518", label="GPUs held")
    fleet.step(times, [each.nodes for each in record.samples], where="post", color="#e45756", label="nodes up")
    fleet.step(times, [each.replicas for each in record.samples], where="post", color="#54a24b", label="replicas")
    held = [each.held for each in simulated.samples]
    fleet.step(again, held, where="post", color="#f58518", ls="--", lw=1, label="GPUs held, simulated")
    serving = [each.replicas for each in simulated.samples]
    fleet.step(again, serving, where="post", color="#54a24b", ls="--", lw=1, label="replicas, simulated")
    fleet.set(ylabel="count")
    fleet.legend(loc="upper right", fontsize=8)
    queue.plot(times, [each.waiting for each in record.samples], color="#4c78a8", label="waiting")
    queue.plot(times, [each.computing for each in record.samples], color="#54a24b", label="computing")
    queue.plot(again, [each.waiting for each in simulated.samples], color="#4c78a8", ls="--", lw=1, label="simulated")
    queue.set(ylabel="requests")
    queue.legend(loc="upper right", fontsize=8)
    latency.plot(*p95_over_time(record), "o-", ms=3, color="#e45756", label=f"p95 of {WINDOW_S:g} s")
    latency.plot(*p95_over_time(record, 0.5), "o-", ms=3, color="#4c78a8", label="p50")
    latency.axhline(slo_s, color="black", lw=1, ls=":", label=f"{slo_s:g} s")
    latency.set(ylabel="latency in s", xlabel="seconds", ylim=(0, None))
    latency.legend(loc="upper right", fontsize=8)
    _save(figure, path)


def plot_fleets(rows: Mapping[str, tuple[float, float]], slo_s: float, path: Path) -> None:
    """GPU-hours and p95 latency of each fleet, side by side."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, (hours, latency) = plt.subplots(1, 2, figsize=(12, 4), sharey=True)
    names = list(rows)
    for axes, index, label in ((hours, 0, "GPU-hours"), (latency, 1, "p95 latency in s")):
        bars = axes.barh(
            names, [rows[name][index] for name in names], color=["#f58518", *["#4c78a8"] * (len(names) - 1)]
        )
        axes.bar_label(bars, fmt="%.2f", padding=3)
        axes.set_xlabel(label)
        axes.margins(x=0.15)
    latency.axvline(slo_s, color="black", lw=1, ls=":")
    hours.invert_yaxis()
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
