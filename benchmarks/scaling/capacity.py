"""How many machines a day of videos needs, what a minute costs, and what gives way next.

The simulator that is held against `benchmarks.scaling.trace`, fed with a day of minutes of video, once for each model.
What a part costs is measured by `benchmarks.scaling.measure`; what a GPU is able to do is cited, because there is
none: benchmarks/scaling/capacity.toml has every such figure with its source, and they are printed.

    python -m benchmarks.scaling.capacity [--minutes-a-day 1000000] [--gpu a10g] [--price 1.006] [--seed 1]
"""

import argparse
import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine
from benchmarks.scaling.bottlenecks import parts
from benchmarks.scaling.demand import HOUR_S, day, rates
from benchmarks.scaling.measure import MEASURED
from benchmarks.scaling.policy import Policy
from benchmarks.scaling.record import percentile
from benchmarks.scaling.simulator import Machines, Model, Outcome, Simulation

DATA = Path(__file__).with_suffix(".toml")
UNBOUNDED = 100_000
TICK_S = 5.0
SAMPLE_S = 60.0
DAYS = (20_000.0, 1_000_000.0)
"""Minutes of video: a day of a young service, and the million."""

console = Console(width=150)


@dataclass(frozen=True, slots=True)
class Work:
    """A minute of video on one model: seconds it computes on one device, and where that figure is from."""

    model: str
    device: str
    seconds: float
    basis: str


@dataclass(frozen=True, slots=True)
class Following:
    """Minutes of video under way that a replica should have, and the seconds that they are averaged over."""

    target: float
    look_back_s: float

    def __str__(self) -> str:
        return f"{self.target:g} / {self.look_back_s:g} s"


@dataclass(frozen=True, slots=True)
class Answer:
    """Machines for one model over a day."""

    work: Work
    following: Following
    peak_nodes: int
    mean_nodes: float
    replicas_per_node: int
    utilization: float
    p95_s: float
    lost: int
    dollars: float


def works(data: Mapping[str, Any], measured: Mapping[str, Any], *, gpus: bool) -> list[Work]:
    """The models on GPUs as the data has it, or everything on CPUs, as measured."""
    cpu_s = measured["per_minute"]["cpu_s"]
    found = []
    for name, model in data["models"].items():
        kind = model.get("measured") if gpus or name not in data["cpu_only"] else data["cpu_only"][name]
        if kind is None:
            found.append(Work(name, model["device"], float(model["seconds"]), f"cited: {model['source']}"))
        else:
            found.append(Work(name, "cpu", float(cpu_s[kind]), f"measured here ({measured['weights']} set of weights)"))
    return found


def simulate(work: Work, minutes_a_day: float, data: Mapping[str, Any], following: Following, seed: int) -> Outcome:
    """A day of this model."""
    scaling, video = data["scaling"], data["video"]
    per_node = int(scaling["cpus_per_node"] if work.device == "cpu" else scaling["replicas_per_gpu"])
    policy = Policy(
        1, UNBOUNDED, following.target, float(scaling["upscale_delay_s"]), float(scaling["downscale_delay_s"])
    )
    machines = Machines(
        UNBOUNDED,
        per_node,
        node_start_s=float(data["start"]["node_s"]),
        replica_start_s=float(data["start"]["replica_s"]),
        idle_timeout_s=float(scaling["idle_timeout_s"]),
    )
    hours = data["day"]["hours"]
    load = rates(minutes_a_day, float(video["minutes"]), hours)[0] * float(video["minutes"]) * work.seconds
    simulation = Simulation(
        Model(sum, max_ongoing=max(2, round(2 * following.target))),
        machines,
        policy,
        look_back_s=following.look_back_s,
        tick_s=TICK_S,
        sample_s=SAMPLE_S,
        initial=math.ceil(load / float(data["limits"]["utilization"])),  # the day before leaves what its night needs
        seed=seed,
    )
    arrivals = day(minutes_a_day, float(video["minutes"]), hours, work.seconds, seed)
    return simulation.run(arrivals, until=len(hours) * HOUR_S)


def answer(work: Work, outcome: Outcome, data: Mapping[str, Any], following: Following, gpu_price: float) -> Answer:
    """What the day came to."""
    scaling = data["scaling"]
    cpus = int(scaling["cpus_per_node"])
    price = gpu_price if work.device == "gpu" else cpus * float(data["prices"]["cpu"]["node"])
    per_node = cpus if work.device == "cpu" else int(scaling["replicas_per_gpu"])
    return Answer(
        work,
        following,
        outcome.peak_held(),
        outcome.exact_gpu_s / outcome.end,
        per_node,
        outcome.busy_s / (outcome.exact_gpu_s * per_node),
        percentile(outcome.latencies, 0.95),
        outcome.lost,
        outcome.exact_gpu_s / 3600 * price,
    )


def _try(given: tuple[Work, float, Mapping[str, Any], Following, float, int]) -> Answer:
    work, minutes_a_day, data, following, gpu_price, seed = given
    return answer(work, simulate(work, minutes_a_day, data, following, seed), data, following, gpu_price)


def tried(
    models: Sequence[Work], minutes_a_day: float, data: Mapping[str, Any], gpu_price: float, seed: int
) -> list[list[Answer]]:
    """For each model an answer for each way to follow the load."""
    ways = [Following(*map(float, each)) for each in data["scaling"]["following"]]
    given = [(work, minutes_a_day, data, way, gpu_price, seed) for work in models for way in ways]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        answers = list(pool.map(_try, given))
    return [answers[index : index + len(ways)] for index in range(0, len(answers), len(ways))]


def cheapest(answers: Sequence[Answer], p95_s: float) -> Answer:
    """The cheapest that answers 95 % within p95_s; the quickest where none does."""
    within = [each for each in answers if each.p95_s <= p95_s]
    return min(within, key=lambda each: each.dollars) if within else min(answers, key=lambda each: each.p95_s)


def control_plane_dollars(minutes_a_day: float, measured: Mapping[str, Any], data: Mapping[str, Any]) -> float:
    """API, workers, database, proxies and Ray for a day: CPU seconds as measured, at the price of a vCPU."""
    kinds = ("api", "worker", "database", "proxy", "protocol", "ray")
    seconds = sum(float(measured["per_minute"]["cpu_s"].get(kind, 0.0)) for kind in kinds)
    used = float(data["limits"]["utilization"])
    return minutes_a_day * seconds / used / 3600 * float(data["prices"]["cpu"]["node"])


def tell(minutes_a_day: float, answers: Sequence[Answer], control: float, title: str) -> None:
    """One table."""
    columns = (
        "model",
        "device",
        "s/min",
        "follows",
        "peak nodes",
        "mean nodes",
        "busy",
        "p95",
        "lost",
        "$/day",
        "$/min",
    )
    table = Table(*columns, title=title)
    for each in answers:
        table.add_row(
            each.work.model,
            "GPU" if each.work.device == "gpu" else f"{each.replicas_per_node} vCPU",
            f"{each.work.seconds:.2f}",
            f"{each.following}",
            f"{each.peak_nodes}",
            f"{each.mean_nodes:.1f}",
            f"{each.utilization:.0%}",
            f"{each.p95_s:.0f} s",
            f"{each.lost}",
            f"{each.dollars:,.2f}",
            f"{each.dollars / minutes_a_day:.5f}",
        )
    total = sum(each.dollars for each in answers) + control
    table.add_row("API, workers, database, …", "vCPU", *[""] * 7, f"{control:,.2f}", f"{control / minutes_a_day:.5f}")
    table.add_row("together", *[""] * 8, f"{total:,.2f}", f"{total / minutes_a_day:.5f}")
    console.print(table)


def bottlenecks(
    minutes_a_day: float, answers: Sequence[Answer], measured: Mapping[str, Any], data: Mapping[str, Any]
) -> None:
    """The other table."""
    hours = data["day"]["hours"]
    peak = minutes_a_day * max(hours) / sum(hours) / HOUR_S
    names = {"whisper": "whisper", "coqui_tts": "coqui"}
    nodes = {names[each.work.model]: float(each.peak_nodes) for each in answers if each.work.model in names}
    nodes["cpu"] = float(sum(each.peak_nodes for each in answers if each.work.model not in names))
    table = Table(
        "part", "needed", "there", "", "share", "basis", title=f"at the peak of {peak:.1f} minutes of video a second"
    )
    found = parts(peak, measured, data["limits"], nodes)
    for part in found:
        basis = part.basis.partition(":")[0]
        table.add_row(part.name, f"{part.needed:,.1f}", f"{part.there:,.1f}", part.unit, f"{part.share:.0%}", basis)
    console.print(table)
    console.print(f"next bottleneck: {found[0].name}, at {found[0].share:.0%} of what it has")


def assumptions(works_told: Sequence[Work], data: Mapping[str, Any], gpu: str, price: float) -> None:
    """What the answers rest on."""
    console.print("[bold]Assumed[/bold]")
    for section in ("video", "day", "start", "scaling", "limits"):
        console.print(f"  {section}: {data[section]['assumed']}")
    for name, model in data["models"].items():
        if "assumed" in model:
            console.print(f"  {name}: {model['assumed']}")
    console.print("[bold]Sources[/bold]")
    for work in works_told:
        console.print(f"  {work.model}, {work.seconds:.2f} s a minute on a {work.device}: {work.basis}")
    given = data["prices"].get(gpu, {})
    source = given["source"] if given.get("node") == price else "given on the command line"
    console.print(f"  GPU node ${price:g} an hour: {source}")
    console.print(f"  vCPU ${data['prices']['cpu']['node']:g} an hour: {data['prices']['cpu']['source']}")


def main() -> None:
    data = tomllib.loads(DATA.read_text(encoding="utf-8"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes-a-day", type=float, action="append", help="may be given several times")
    parser.add_argument("--gpu", default="a10g", choices=sorted(set(data["prices"]) - {"cpu"}))
    parser.add_argument("--price", type=float, help="dollars an hour of a GPU node, in place of the data's")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if not MEASURED.exists():
        parser.error(f"{MEASURED} is not there: run python -m benchmarks.scaling.measure first")
    measured = json.loads(MEASURED.read_text(encoding="utf-8"))
    price = options.price if options.price is not None else float(data["prices"][options.gpu]["node"])
    console.print(f"measured on {measured['machine']}; simulated on {machine()}")
    on_gpus, on_cpus = works(data, measured, gpus=True), works(data, measured, gpus=False)
    everything = [*on_gpus, *(each for each in on_cpus if each not in on_gpus)]
    for minutes in options.minutes_a_day or DAYS:
        control = control_plane_dollars(minutes, measured, data)
        found = dict(zip(everything, tried(everything, minutes, data, price, options.seed), strict=True))
        best = {work: cheapest(answers, float(data["scaling"]["p95_s"])) for work, answers in found.items()}
        answers = [best[work] for work in on_gpus]
        tell(minutes, answers, control, f"{minutes:,.0f} minutes of video a day, GPU node at ${price:g} an hour")
        bottlenecks(minutes, answers, measured, data)
        others = ", ".join(
            f"{each.work.model} {each.following}: ${each.dollars:,.2f}, p95 {each.p95_s:.0f} s"
            for work in on_gpus
            for each in found[work]
            if each is not best[work]
        )
        console.print(f"the other ways to follow the load: {others}")
        weights = measured["weights"]
        title = (
            f"{minutes:,.0f} minutes a day without GPUs: the smaller models of the {weights} set, on vCPUs like these"
        )
        tell(minutes, [best[work] for work in on_cpus], control, title)
    assumptions(everything, data, options.gpu, price)


if __name__ == "__main__":
    main()
