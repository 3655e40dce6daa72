"""Twenty minutes of bursts and silence, in real time, on logical GPUs that Ray's own autoscaler adds and removes.

The application is our model plane with its protocol; its one model sleeps as long as a GPU would compute (`SIZES`,
`SHARED`). Requests, replicas, nodes and batches are written to benchmarks/results/ as JSON and plots, beside what fixed
fleets would have done with the same arrivals, by the simulator.

    python -m benchmarks.scaling.trace [--minutes 20] [--seed 1] [--name scaling-trace]
"""

import argparse
import asyncio
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.machine import RESULTS, machine
from benchmarks.scaling.arrivals import BURSTY, Arrival, Windows, arrivals, compressed, length
from benchmarks.scaling.load import send
from benchmarks.scaling.plane import CLUSTER_VARIABLE, Cluster
from benchmarks.scaling.record import Batch, Record, Request, Sample, read, with_queue
from benchmarks.scaling.report import report
from benchmarks.scaling.scaling import Scaling
from benchmarks.scaling.standin import CONFIG
from benchmarks.scaling.validation import starts_of
from tests.fixtures_model_plane import Plane, start_plane
from tests.fixtures_operation import write_serve_yaml

MODEL = "standin"
MINUTES = length(BURSTY) / 60
SIZES = Windows(realtime=780 / 63)
"""13 minutes of audio in 63 s: faster-whisper 1.1 large-v2, fp16, beam 5, one window at a time, on an RTX 3070 Ti
(SYSTRAN/faster-whisper, README). Not measured here: there is no GPU."""

SHARED = (8 - 8 * 17 / 63) / 7
"""The same in batches of 8 takes 17 s, so a batch of 8 takes 8 · 17/63 = 2.2 times what one window takes."""

PATIENT_END_S = 240
"""How long to wait after the last answer until no replica and no node is left."""


@contextmanager
def started(folder: Path, scaling: Scaling) -> Iterator[Plane]:
    """The plane with the stand-in scaled to nothing."""
    model = folder / "model_repo" / MODEL
    model.mkdir(parents=True)
    (folder / "model_repo" / "catalogue.toml").touch()
    config = CONFIG.format(
        name=MODEL,
        diary=folder / "diary",
        shared=SHARED,
        max_batch=scaling.max_batch,
        preferred=scaling.preferred,
        delay_us=round(scaling.max_delay_s * 1e6),
    )
    (model / "config.pbtxt").write_text(config, encoding="utf-8")
    serve_yaml = write_serve_yaml(folder / "serve.yaml", {MODEL: scaling.deployment()})
    cluster = Cluster(str(folder / "samples"), MODEL, scaling.max_nodes, scaling.idle_timeout_s, scaling.min_replicas)
    plane = start_plane(
        folder / "plane.log",
        module="benchmarks.scaling.plane",
        OCTAVIA_PARENT_PID=str(os.getpid()),
        OCTAVIA_MODEL_REPO=str(folder / "model_repo"),
        OCTAVIA_SERVE_CONFIG=str(serve_yaml),
        **{CLUSTER_VARIABLE: json.dumps(asdict(cluster))},
    )
    try:
        yield plane
    finally:
        plane.stop()


def lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file that is still written to; none where there is none."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def samples_of(raw: Sequence[Mapping[str, Any]], began: float) -> list[Sample]:
    """The plane's samples.

    Ray tells of a node that has just come up twice for a moment, as up and as still coming. So nodes that were asked
    for are counted when they are, nodes that went when they go, and what is held is the difference.
    """
    found: list[Sample] = []
    asked = gone = told_before = up_before = 0
    for line in raw:
        nodes, replicas = line["nodes"], line["replicas"]
        up, told = nodes["active"] + nodes["idle"], nodes["pending"] + nodes["launching"]
        asked += max(0, told - told_before)
        gone += max(0, up_before - up)
        asked = up + gone if told == 0 else max(asked, up + gone)
        told_before, up_before = told, up
        starting = sum(replicas.get(state, 0) for state in ("STARTING", "UPDATING"))
        found.append(Sample(line["at"] - began, up, asked - gone - up, replicas.get("RUNNING", 0), starting))
    return found


def batch_of(raw: Mapping[str, Any], began: float) -> Batch:
    """A line of the stand-in's diary."""
    return Batch(raw["began"] - began, raw["ended"] - began, raw["rows"], raw["pid"])


def until_empty(samples: Path, patience_s: float) -> None:
    """Waits until a sample has neither replica nor node, or patience_s are over."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if (seen := lines(samples)) and not any(seen[-1]["nodes"].values()) and not any(seen[-1]["replicas"].values()):
            return
        time.sleep(1)


def follow(
    folder: Path, scaling: Scaling, due: Sequence[Arrival], seconds: float, settings: Mapping[str, Any]
) -> Record:
    """Runs the trace; returns when it is over and everything has been taken away (or PATIENT_END_S are over)."""
    with started(folder, scaling) as plane:
        began = time.time()
        print(f"the plane is ready; {len(due)} requests in {seconds:.0f} s", flush=True)
        stop = threading.Event()
        threading.Thread(target=tell, args=(folder / "samples", began, stop), daemon=True).start()
        requests: list[Request] = asyncio.run(send(plane.address, MODEL, due, began))
        time.sleep(max(0.0, began + seconds - time.time()))
        if scaling.min_replicas == 0:
            until_empty(folder / "samples", PATIENT_END_S)
        stop.set()
        samples = samples_of(lines(folder / "samples"), began)
        batches = [batch_of(line, began) for line in lines(folder / "diary")]
    return Record(settings, requests, with_queue(samples, requests, batches), batches)


def tell(path: Path, began: float, stop: threading.Event) -> None:
    """Prints what changes, as it does."""
    before = None
    while not stop.wait(1):
        if seen := lines(path):
            now = samples_of(seen, began)[-1]
            shape = now.nodes, now.nodes_coming, now.replicas, now.replicas_starting
            if shape != before:
                print(
                    f"{now.at:7.1f} s  nodes {now.nodes} (+{now.nodes_coming} coming)"
                    f"  replicas {now.replicas} (+{now.replicas_starting} starting)",
                    flush=True,
                )
            before = shape


def traced(minutes: float, seed: int, scaling: Scaling | None = None) -> Record:
    """The trace, so many minutes long."""
    factor = MINUTES / minutes
    scaling = scaling or Scaling().hurried(factor)
    phases = compressed(BURSTY, factor)
    due = arrivals(phases, SIZES, seed)
    settings = {
        "machine": machine(),
        "command": f"python -m benchmarks.scaling.trace --minutes {minutes:g} --seed {seed}",
        "seed": seed,
        "phases": [asdict(phase) for phase in phases],
        "scaling": asdict(scaling),
        "sizes": asdict(SIZES),
        "shared": SHARED,
    }
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        return follow(Path(folder), scaling, due, length(phases), settings)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--name", default="scaling-trace")
    parser.add_argument("--calibration", default="scaling-calibration", help="another run, for the start times")
    options = parser.parse_args()
    record = traced(options.minutes, options.seed)
    path = RESULTS / f"{options.name}.json"
    record.write(path)
    print(path)
    calibration = RESULTS / f"{options.calibration}.json"
    starts = starts_of(read(calibration if calibration.exists() else path))
    report(record, starts, RESULTS, options.name)


if __name__ == "__main__":
    main()
