"""The simulator against a trace: start times from one record, its error on another."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise

from benchmarks.scaling.policy import Policy
from benchmarks.scaling.record import Record, Sample, percentile
from benchmarks.scaling.scaling import Scaling
from benchmarks.scaling.simulator import Machines, Model, Outcome, Simulation
from benchmarks.scaling.standin import batch_seconds


@dataclass(frozen=True, slots=True)
class Starts:
    """Measured on a record, in seconds: from asking for a node until it is up, from one node of a launch to the next,
    from a node that is up to a replica that serves; and what a request spends outside its replica."""

    node_start_s: float
    node_spacing_s: float
    replica_start_s: float
    transport_s: float


def starts_of(record: Record) -> Starts:
    """The medians of a record. ValueError when nothing started in it."""
    nodes, spacings, replicas = starting_times(record.samples)
    if not nodes or not replicas:
        raise ValueError("the record has no node and replica that started")
    return Starts(
        statistics.median(nodes),
        statistics.median(spacings) if spacings else 0.0,
        statistics.median(replicas),
        transport(record),
    )


def starting_times(samples: Sequence[Sample]) -> tuple[list[float], list[float], list[float]]:
    """Seconds that first nodes took; that further ones took after the one before, while replicas still waited for a
    node, whether they were asked for at once or one by one; that replicas took from their node's coming up."""
    nodes: list[float] = []
    spacings: list[float] = []
    replicas: list[float] = []
    ups: list[float] = []
    asked = last_up = None
    for before, now in pairwise(samples):
        if now.nodes_coming and asked is None:
            asked = now.at
        came = now.nodes - before.nodes
        if came > 0:
            if last_up is not None:
                spacings += [(now.at - last_up) / came] * came
            elif asked is not None:
                nodes.append(now.at - asked)
            ups += [now.at] * came
            last_up = now.at
        elif came < 0:
            ups = []
        if not now.nodes_coming and now.replicas + now.replicas_starting <= now.nodes:
            asked = last_up = None
        for _ in range(max(0, now.replicas - before.replicas)):
            if ups:
                replicas.append(now.at - ups.pop(0))
    return nodes, spacings, replicas


def transport(record: Record) -> float:
    """What requests that computed alone took beyond waiting for company and computing; the median."""
    scaling = scaling_of(record)
    alone = [batch for batch in record.batches if batch.rows == 1]
    found = []
    for request in record.requests:
        if request.answered is None:
            continue
        own = [
            batch
            for batch in alone
            if abs(batch.ended - batch.began - request.seconds) < 0.01
            and request.at <= batch.began
            and batch.ended <= request.answered
        ]
        if own and request.answered - request.at < 3 * request.seconds + 1:
            batch = own[-1]
            found.append((batch.began - request.at - scaling.max_delay_s) + (request.answered - batch.ended))
    return max(0.0, statistics.median(found)) if found else 0.0


def scaling_of(record: Record) -> Scaling:
    """The settings that the trace ran with."""
    return Scaling(**record.settings["scaling"])


def simulation(record: Record, starts: Starts, fleet: int | None = None, seed: int = 0) -> Simulation:
    """The trace's plane in the simulator; `fleet` replicas that never change in place of autoscaling."""
    scaling = scaling_of(record)
    shared = float(record.settings["shared"])
    model = Model(
        lambda alone: batch_seconds(alone, shared),
        scaling.max_batch,
        scaling.preferred,
        scaling.max_delay_s,
        scaling.max_ongoing_requests,
        transport_s=starts.transport_s,
    )
    policy = Policy(
        scaling.min_replicas,
        scaling.max_nodes,
        scaling.target_ongoing_requests,
        scaling.upscale_delay_s,
        scaling.downscale_delay_s,
    )
    machines = Machines(
        scaling.max_nodes,
        node_start_s=starts.node_start_s,
        node_spacing_s=starts.node_spacing_s,
        replica_start_s=starts.replica_start_s,
        idle_timeout_s=scaling.idle_timeout_s,
    )
    if fleet is not None:
        policy = replace(policy, min_replicas=fleet, max_replicas=fleet)
        machines = replace(machines, max_nodes=fleet)
    return Simulation(model, machines, policy, look_back_s=scaling.look_back_period_s, seed=seed)


def simulated(record: Record, starts: Starts, fleet: int | None = None, seed: int = 0) -> Outcome:
    """The same arrivals through the simulator, to the end of the trace."""
    arrivals = [(request.at, request.seconds) for request in record.requests]
    return simulation(record, starts, fleet, seed).run(arrivals, until=record.samples[-1].at)


def smallest_fleet(record: Record, starts: Starts, slo_s: float, most: int = 64) -> int:
    """The fewest replicas that never change and answer 95 % of the requests within slo_s. ValueError beyond `most`."""
    for fleet in range(1, most + 1):
        if percentile(simulated(record, starts, fleet).latencies, 0.95) <= slo_s:
            return fleet
    raise ValueError(f"{most} replicas do not answer 95 % of the requests within {slo_s:g} s")


@dataclass(frozen=True, slots=True)
class Figures:
    """What a trace and its simulation are compared by."""

    answered: float
    p50_s: float
    p95_s: float
    p99_s: float
    gpu_hours: float
    replica_seconds: float
    peak_gpus: float

    def errors(self, other: "Figures") -> dict[str, float]:
        """How far `other` is from this, relative to this."""
        return {
            each.name: (getattr(other, each.name) - value) / value if (value := getattr(self, each.name)) else math.nan
            for each in fields(self)
        }


def figures(seen: Record | Outcome) -> Figures:
    """Of a trace or of a simulation."""
    latencies = seen.latencies
    return Figures(
        len(latencies),
        percentile(latencies, 0.50),
        percentile(latencies, 0.95),
        percentile(latencies, 0.99),
        seen.gpu_seconds() / 3600,
        seen.replica_seconds(),
        seen.peak_held(),
    )
