"""What a trace showed, against fixed fleets and against the simulator.

python -m benchmarks.scaling.report [--name scaling-trace] [--calibration scaling-calibration]
"""

import argparse
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.machine import RESULTS
from benchmarks.scaling.plots import plot_fleets, plot_trace
from benchmarks.scaling.record import Record, percentile, read
from benchmarks.scaling.validation import Starts, figures, simulated, smallest_fleet, starting_times, starts_of

SLO_S = 15.0
"""95 % of the windows are to be answered within this, and none lost. A four-minute video is promised within three
minutes (its 27 windows are heard side by side); a wait of 15 s, most of it for a node, is a twelfth of that."""

console = Console(width=140)


def report(record: Record, starts: Starts, folder: Path, name: str) -> None:
    """Prints tables and writes plots to the folder."""
    seen, again = figures(record), simulated(record, starts)
    repeats = sum(each.repeats for each in record.requests)
    console.print(f"[bold]{record.settings['command']}[/bold] on {record.settings['machine']}")
    console.print(
        f"{len(record.requests)} requests, {record.lost} lost, {repeats} asked again; latency p50 {seen.p50_s:.2f} s, "
        f"p95 {seen.p95_s:.2f} s, p99 {seen.p99_s:.2f} s; at most {seen.peak_gpus} GPUs; "
        f"after the end {record.samples[-1].held} GPUs, {record.samples[-1].replicas} replicas"
    )
    held = "held" if seen.p95_s <= SLO_S and not record.lost else "NOT held"
    console.print(f"SLO (95 % within {SLO_S:g} s, none lost): {held}")
    fleets = fixed_fleets(record, starts)
    _fleets_table({"autoscaled (measured)": (seen.gpu_hours, seen.p95_s)} | fleets)
    _starts(record, starts)
    _errors(record, starts)
    plot_trace(record, again, SLO_S, folder / f"{name}.png")
    plot_fleets({"autoscaled (measured)": (seen.gpu_hours, seen.p95_s)} | fleets, SLO_S, folder / f"{name}-fleets.png")
    console.print(folder / f"{name}.png", folder / f"{name}-fleets.png")


def fixed_fleets(record: Record, starts: Starts) -> dict[str, tuple[float, float]]:
    """GPU-hours and p95 of fleets that never change, with the same arrivals, by the simulator."""
    hours = record.samples[-1].at / 3600
    smallest = smallest_fleet(record, starts, SLO_S)
    wanted = {
        f"fixed {record.peak_held()} GPUs, the peak (simulated)": record.peak_held(),
        f"fixed {smallest} GPUs, fewest in the SLO (simulated)": smallest,
    }
    return {
        label: (fleet * hours, percentile(simulated(record, starts, fleet).latencies, 0.95))
        for label, fleet in wanted.items()
    }


def _fleets_table(rows: dict[str, tuple[float, float]]) -> None:
    ours = next(iter(rows.values()))[0]
    table = Table("fleet", "GPU-hours", "of which autoscaling saves", "p95")
    for label, (hours, p95) in rows.items():
        table.add_row(label, f"{hours:.3f}", f"{1 - ours / hours:.0%}", f"{p95:.2f} s")
    console.print(table)


def _starts(record: Record, starts: Starts) -> None:
    table = Table("start times, seconds", *asdict(starts))
    table.add_row("calibration", *(f"{value:.2f}" for value in asdict(starts).values()))
    nodes, spacings, replicas = starting_times(record.samples)
    if nodes and replicas:
        table.add_row("this trace, for comparison", *(f"{value:.2f}" for value in asdict(starts_of(record)).values()))
    console.print(table)
    console.print(f"in this trace {len(nodes) + len(spacings)} nodes and {len(replicas)} replicas started")


def _errors(record: Record, starts: Starts) -> None:
    seen, again = figures(record), figures(simulated(record, starts))
    table = Table("simulator", "measured", "simulated", "error", title="start times from another run than this")
    for name, error in seen.errors(again).items():
        table.add_row(name, f"{getattr(seen, name):.3f}", f"{getattr(again, name):.3f}", f"{error:+.1%}")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="scaling-trace")
    parser.add_argument("--calibration", default="scaling-calibration")
    options = parser.parse_args()
    starts = starts_of(read(RESULTS / f"{options.calibration}.json"))
    report(read(RESULTS / f"{options.name}.json"), starts, RESULTS, options.name)


if __name__ == "__main__":
    main()
