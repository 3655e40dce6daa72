"""Replicas on logical GPUs following the load: from none to four and back, with the timeline as a plot.

Ray is told that this machine has four GPUs; each replica asks for one. The model sleeps half a second a request.

    python -m benchmarks.autoscaling [--load 20] [--idle 40]
"""

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from benchmarks.machine import RESULTS, machine
from tests.fixtures_model_plane import Plane, start_plane
from tests.fixtures_operation import obedient_request, write_model, write_serve_yaml

GPUS = 4
CALLERS = 12
SECONDS = 0.5
TICK_S = 0.5
AUTOSCALING = {
    "num_replicas": "auto",
    "max_ongoing_requests": 2,
    "max_queued_requests": 200,
    "ray_actor_options": {"num_cpus": 0.1, "num_gpus": 1},
    "autoscaling_config": {
        "min_replicas": 0,
        "initial_replicas": 0,
        "max_replicas": GPUS,
        "target_ongoing_requests": 1,
        "upscale_delay_s": 1,
        "downscale_delay_s": 3,
        "metrics_interval_s": 0.5,
        "look_back_period_s": 1,
    },
}


@dataclass(frozen=True, slots=True)
class Moment:
    """What was seen at `at` seconds: replicas, requests in flight, and answers and failures since the moment before."""

    at: float
    replicas: int
    in_flight: int
    answered: int
    failed: int


@contextmanager
def started(folder: Path, parent: str) -> Iterator[Plane]:
    """A plane with four logical GPUs and the obedient model scaled to nothing."""
    write_model(folder / "model_repo", "obedient", queue=200)
    serve_yaml = write_serve_yaml(folder / "serve.yaml", {"obedient": AUTOSCALING})
    plane = start_plane(
        folder / "serve.log",
        OCTAVIA_PARENT_PID=parent,
        OCTAVIA_MODEL_REPO=str(folder / "model_repo"),
        OCTAVIA_SERVE_CONFIG=str(serve_yaml),
        OCTAVIA_SERVE_NUM_GPUS=str(GPUS),
    )
    try:
        yield plane
    finally:
        plane.stop()


class Callers:
    """So many callers, each asking again as soon as it is answered, while `working`."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._lock = threading.Lock()
        self.working = threading.Event()
        self.in_flight = self.answered = self.failed = 0

    def run(self) -> None:
        """Starts them."""
        self.working.set()
        for _ in range(CALLERS):
            threading.Thread(target=self._call, daemon=True).start()

    def _call(self) -> None:
        with triton.InferenceServerClient(self._address) as client:
            while self.working.is_set():
                self._add(in_flight=1)
                try:
                    client.infer("obedient", obedient_request(SECONDS), client_timeout=60)
                    self._add(in_flight=-1, answered=1)
                except InferenceServerException:
                    self._add(in_flight=-1, failed=1)

    def _add(self, **changes: int) -> None:
        with self._lock:
            for name, change in changes.items():
                setattr(self, name, getattr(self, name) + change)

    def taken(self) -> tuple[int, int, int]:
        """In flight now; answered and failed since the last time."""
        with self._lock:
            seen = self.in_flight, self.answered, self.failed
            self.answered = self.failed = 0
        return seen


def follow(plane: Plane, load_s: float, idle_s: float) -> list[Moment]:
    """Three seconds of rest (readiness is asked for), the load, then rest until nothing runs or idle_s are over."""
    callers = Callers(plane.address)
    timeline: list[Moment] = []
    began = time.monotonic()
    with triton.InferenceServerClient(plane.address) as client:
        while True:
            at = time.monotonic() - began
            timeline.append(Moment(round(at, 2), len(plane.replicas("obedient")), *callers.taken()))
            if at < 3:
                assert client.is_model_ready("obedient")
            elif at < 3 + load_s:
                if not callers.working.is_set():
                    callers.run()
            else:
                callers.working.clear()
                if at > 3 + load_s + idle_s or (timeline[-1].replicas == 0 and timeline[-1].in_flight == 0):
                    return timeline
            time.sleep(TICK_S)


def plot(timeline: list[Moment], path: Path) -> None:
    """Replicas and requests in flight over time."""
    import matplotlib as mpl  # noqa: PLC0415 - only here

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, (upper, lower) = plt.subplots(2, 1, sharex=True, figsize=(9, 5))
    seconds = [moment.at for moment in timeline]
    upper.step(seconds, [moment.replicas for moment in timeline], where="post")
    upper.set(ylabel="replicas", ylim=(0, GPUS + 0.5), title=f"{CALLERS} callers, one logical GPU a replica")
    lower.plot(seconds, [moment.in_flight for moment in timeline], label="in flight")
    lower.plot(seconds, [moment.answered / TICK_S for moment in timeline], label="answers/s")
    lower.set(xlabel="seconds")
    lower.legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Prints the timeline and writes the plot."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--load", type=float, default=20)
    parser.add_argument("--idle", type=float, default=40)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, started(Path(folder), str(os.getpid())) as plane:
        timeline = follow(plane, options.load, options.idle)
    last = -1
    for moment in timeline:
        if moment.replicas != last:
            print(f"{moment.at:6.1f} s  {moment.replicas} replicas, {moment.in_flight} in flight")
        last = moment.replicas
    answered, failed = sum(m.answered for m in timeline), sum(m.failed for m in timeline)
    print(f"{answered} answered, {failed} failed, on {machine()}")
    RESULTS.mkdir(exist_ok=True)
    plot(timeline, RESULTS / "autoscaling.png")
    print(RESULTS / "autoscaling.png")


if __name__ == "__main__":
    main()
