"""A discrete-event simulator of the model plane on a cluster that grows and shrinks. Pure: same seed, same result.

Requests arrive; each goes to the emptier of two replicas that have room (Ray's power of two choices), or waits in
front. A replica batches as `serve.batching` does. Every `tick_s` Serve's policy says how many replicas there should be;
a replica needs a place on a node, and where there is none a node is asked for. A node on which nothing has run for
`idle_timeout_s` is taken away.
"""

import heapq
import math
import random
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count, repeat

from benchmarks.scaling.policy import Decider, Policy
from benchmarks.scaling.record import Sample, area

ServiceTime = Callable[[Sequence[float]], float]
"""Seconds that a batch computes, by the seconds that its requests would take alone."""

REGROUPING = 0.03
"""As in serve.batching: the part of a batch's time that a lane which is not full waits after it."""


@dataclass(frozen=True, slots=True)
class Model:
    """A replica: batches of at most max_batch as soon as `preferred` wait or the oldest has waited max_delay_s,
    `slots` at a time; max_ongoing requests at most. transport_s is what a request spends outside, going and coming.
    """

    service: ServiceTime
    max_batch: int = 1
    preferred: int = 1
    max_delay_s: float = 0.0
    max_ongoing: int = 1
    slots: int = 1
    transport_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Machines:
    """Nodes and how long things take to start. A launch of several brings one each spacing_s after the first."""

    max_nodes: int
    replicas_per_node: int = 1
    node_start_s: float = 0.0
    node_spacing_s: float = 0.0
    replica_start_s: float = 0.0
    idle_timeout_s: float = math.inf


@dataclass(slots=True)
class Outcome:
    """What came of it: each request's latency in order of arrival (nan: never answered), and the fleet over time."""

    latency: Sequence[float]
    samples: list[Sample]
    batches: int
    rows: int
    busy_s: float
    largest_queue: int
    end: float
    exact_gpu_s: float
    exact_replica_s: float

    @property
    def latencies(self) -> list[float]:
        """Of the answered requests, in order of size."""
        return sorted(each for each in self.latency if not math.isnan(each))

    @property
    def lost(self) -> int:
        return sum(map(math.isnan, self.latency))

    def gpu_seconds(self) -> float:
        """Nodes held, from when they were asked for, over time, as the samples see it."""
        return area((each.at, each.held) for each in self.samples)

    def replica_seconds(self) -> float:
        """Replicas that serve, over time, as the samples see it."""
        return area((each.at, each.replicas) for each in self.samples)

    def peak_held(self) -> int:
        return max(each.held for each in self.samples)

    @property
    def utilization(self) -> float:
        """The part of the replicas' time in which they computed."""
        return self.busy_s / self.exact_replica_s if self.exact_replica_s else 0.0


@dataclass(slots=True, eq=False)
class _Node:
    up_at: float
    up: bool = False
    places: int = 0
    idle_since: float = math.inf


@dataclass(slots=True, eq=False)
class _Replica:
    number: int
    node: _Node | None = None
    running: bool = False
    draining: bool = False
    queue: deque[tuple[int, float]] = field(default_factory=deque)
    busy: int = 0
    computing: int = 0
    regrouped_at: float = 0.0
    alarm: float = math.inf

    @property
    def ongoing(self) -> int:
        return len(self.queue) + self.computing


class Simulation:
    """One run. Times are seconds from its start."""

    def __init__(
        self,
        model: Model,
        machines: Machines,
        policy: Policy,
        *,
        look_back_s: float = 30.0,
        tick_s: float = 1.0,
        sample_s: float = 0.5,
        initial: int | None = None,
        seed: int = 0,
    ) -> None:
        """`initial` replicas serve from the beginning, on nodes that are up; None: as many as there must be."""
        self._model, self._machines, self._policy = model, machines, policy
        self._tick_s, self._sample_s = tick_s, sample_s
        self._source = random.Random(seed)
        self._now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._names = count()
        self._front: deque[tuple[int, float]] = deque()
        self._replicas: list[_Replica] = []
        self._serving: list[_Replica] = []
        self._nodes: list[_Node] = []
        self._launched_until = 0.0
        self._requests = _Mean(look_back_s)
        self._inside = 0
        self._batches = self._rows = self._largest_queue = 0
        self._busy_s = 0.0
        self._gpus, self._servers = _Area(), _Area()
        self._samples: list[Sample] = []
        initial = policy.min_replicas if initial is None else initial
        self._decider = Decider(policy, initial)
        self._begin(initial)

    def _begin(self, initial: int) -> None:
        nodes = math.ceil(initial / self._machines.replicas_per_node)
        if nodes > self._machines.max_nodes:
            raise ValueError(f"{initial} replicas need {nodes} nodes, and there may be {self._machines.max_nodes}")
        self._nodes = [_Node(0.0, up=True) for _ in range(nodes)]
        for index in range(initial):
            node = self._nodes[index // self._machines.replicas_per_node]
            node.places += 1
            replica = _Replica(next(self._names), node, running=True)
            self._replicas.append(replica)
            self._serving.append(replica)
        self._count()

    def run(self, arrivals: Iterable[tuple[float, float]], until: float = 0.0) -> Outcome:
        """Answers every arrival (time, seconds it computes alone; in order of time), and goes on to `until`."""
        due = iter(arrivals)
        following = next(due, None)
        self._sizes = array("d")
        self._latency = array("d")
        self._plan(0.0, self._tick)
        self._plan(0.0, self._sample)
        while following is not None or self._inside or self._now < until:
            if following is not None and (not self._events or following[0] <= self._events[0][0]):
                self._now = following[0]
                self._arrive(following[1])
                following = next(due, None)
            else:
                self._now, _, happen = heapq.heappop(self._events)
                if self._inside == 0 and following is None and self._now > until:
                    self._now = until
                    break
                happen()
        self._count()
        self._take_sample()
        end = self._now
        return Outcome(
            self._latency,
            self._samples,
            self._batches,
            self._rows,
            self._busy_s,
            self._largest_queue,
            end,
            self._gpus.until(end),
            self._servers.until(end),
        )

    def _plan(self, at: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (at, next(self._order), happen))

    # requests

    def _arrive(self, seconds: float) -> None:
        self._sizes.append(seconds)
        self._latency.append(math.nan)
        self._inside += 1
        self._requests.change(self._now, self._inside)
        request = len(self._sizes) - 1, self._now
        replica = None if self._front else self._choose()
        if replica is None:
            self._front.append(request)
            self._largest_queue = max(self._largest_queue, len(self._front))
        else:
            replica.queue.append(request)
            self._compute(replica)

    def _choose(self) -> _Replica | None:
        """The emptier of two that have room; None where none has."""
        serving, most = self._serving, self._model.max_ongoing
        if not serving:
            return None
        for _ in repeat(None, 3):
            one = serving[int(self._source.random() * len(serving))]
            other = serving[int(self._source.random() * len(serving))]
            emptier = one if one.ongoing <= other.ongoing else other
            if emptier.ongoing < most:
                return emptier
        return next((each for each in serving if each.ongoing < most), None)

    def _compute(self, replica: _Replica) -> None:
        """Begins what batches the replica can begin, and wakes it when the next is due."""
        model = self._model
        while replica.queue and replica.busy < model.slots:
            due = max(replica.queue[0][1] + model.max_delay_s, replica.regrouped_at)
            if len(replica.queue) < min(model.preferred, model.max_batch) and due > self._now:
                if due < replica.alarm:
                    replica.alarm = due
                    self._plan(due, lambda: self._alarm(replica))
                return
            share = math.ceil((len(replica.queue) + replica.computing) / model.slots)
            size = min(len(replica.queue), max(1, min(model.max_batch, share)))
            batch = [replica.queue.popleft() for _ in range(size)]
            took = model.service([self._sizes[index] for index, _ in batch])
            replica.busy += 1
            replica.computing += size
            self._batches += 1
            self._rows += size
            self._busy_s += took / model.slots
            self._plan(self._now + took, lambda batch=batch, took=took: self._end(replica, batch, took))  # type: ignore[misc]

    def _alarm(self, replica: _Replica) -> None:
        replica.alarm = math.inf
        self._compute(replica)

    def _end(self, replica: _Replica, batch: list[tuple[int, float]], took: float) -> None:
        for index, since in batch:
            self._latency[index] = self._now - since + self._model.transport_s
        self._inside -= len(batch)
        self._requests.change(self._now, self._inside)
        replica.busy -= 1
        replica.computing -= len(batch)
        replica.regrouped_at = self._now + min(self._model.max_delay_s, REGROUPING * took)
        self._fill(replica)
        self._compute(replica)
        if replica.draining and not replica.ongoing:
            self._leave(replica)

    def _fill(self, replica: _Replica) -> None:
        """Takes in what waits in front."""
        while self._front and replica.running and replica.ongoing < self._model.max_ongoing:
            replica.queue.append(self._front.popleft())

    # replicas and nodes

    def _tick(self) -> None:
        target = self._decider.decide(self._now, len(self._serving), self._requests.mean(self._now))
        there = [each for each in self._replicas if not each.draining]
        if target > len(there):
            self._replicas += [_Replica(next(self._names)) for _ in range(target - len(there))]
        elif target < len(there):
            self._stop(there, len(there) - target)
        self._place()
        self._take_nodes_away()
        self._plan(self._now + self._tick_s, self._tick)

    def _stop(self, there: list[_Replica], number: int) -> None:
        """Those that have no place yet first, then those on the emptiest nodes."""
        order = sorted(there, key=lambda each: (each.running, each.node is not None, self._company(each), -each.number))
        for replica in order[:number]:
            replica.draining = True
            if replica.running:
                self._serving.remove(replica)
            if not replica.ongoing:
                self._leave(replica)
        self._count()

    def _company(self, replica: _Replica) -> int:
        return replica.node.places if replica.node else 0

    def _leave(self, replica: _Replica) -> None:
        replica.running = False
        if replica not in self._replicas:
            return
        self._replicas.remove(replica)
        if replica.node is not None:
            replica.node.places -= 1
            if replica.node.places == 0:
                replica.node.idle_since = self._now
        self._count()

    def _place(self) -> None:
        """Gives each replica without a place one, and asks for the nodes that are missing."""
        homeless = [each for each in self._replicas if each.node is None]
        for node in self._nodes:
            while node.up and homeless and node.places < self._machines.replicas_per_node:
                replica = homeless.pop(0)
                replica.node = node
                node.places += 1
                node.idle_since = math.inf
                self._plan(self._now + self._machines.replica_start_s, lambda replica=replica: self._serve(replica))  # type: ignore[misc]
        coming = sum(not node.up for node in self._nodes)
        missing = math.ceil(len(homeless) / self._machines.replicas_per_node) - coming
        for _ in range(min(missing, self._machines.max_nodes - len(self._nodes))):
            self._launched_until = max(self._now, self._launched_until) + self._machines.node_spacing_s
            up_at = self._launched_until - self._machines.node_spacing_s + self._machines.node_start_s
            node = _Node(up_at)
            self._nodes.append(node)
            self._plan(up_at, lambda node=node: self._up(node))  # type: ignore[misc]
        self._count()

    def _up(self, node: _Node) -> None:
        node.up = True
        node.idle_since = self._now
        self._place()

    def _serve(self, replica: _Replica) -> None:
        if replica.draining:
            return
        replica.running = True
        self._serving.append(replica)
        self._count()
        self._fill(replica)
        self._compute(replica)

    def _take_nodes_away(self) -> None:
        least = math.ceil(self._policy.min_replicas / self._machines.replicas_per_node)
        for node in list(self._nodes):
            if len(self._nodes) > least and self._now - node.idle_since >= self._machines.idle_timeout_s:
                self._nodes.remove(node)
        self._count()

    # what is written down

    def _count(self) -> None:
        self._gpus.change(self._now, len(self._nodes))
        self._servers.change(self._now, len(self._serving))

    def _sample(self) -> None:
        self._take_sample()
        self._plan(self._now + self._sample_s, self._sample)

    def _take_sample(self) -> None:
        up = sum(node.up for node in self._nodes)
        computing = sum(each.computing for each in self._replicas)
        self._samples.append(
            Sample(
                self._now,
                up,
                len(self._nodes) - up,
                len(self._serving),
                sum(not each.running and not each.draining for each in self._replicas),
                self._inside - computing,
                computing,
            )
        )


class _Area:
    """The area beneath a step function."""

    def __init__(self) -> None:
        self._since, self._value, self._total = 0.0, 0.0, 0.0

    def change(self, now: float, value: float) -> None:
        self._total += (now - self._since) * self._value
        self._since, self._value = now, value

    def until(self, now: float) -> float:
        return self._total + (now - self._since) * self._value


class _Mean:
    """The mean of a step function over the last `period` seconds."""

    def __init__(self, period: float) -> None:
        self._period = period
        self._area = _Area()
        self._times: deque[float] = deque([0.0])
        self._areas: deque[float] = deque([0.0])
        self._value = 0.0

    def change(self, now: float, value: float) -> None:
        self._area.change(now, value)
        self._value = value

    def mean(self, now: float) -> float:
        """Call in order of time, often in comparison with the period: its beginning is rounded to the last call."""
        total = self._area.until(now)
        self._times.append(now)
        self._areas.append(total)
        while len(self._times) > 2 and self._times[1] <= now - self._period:
            self._times.popleft()
            self._areas.popleft()
        span = now - self._times[0]
        return (total - self._areas[0]) / span if span > 0 else self._value
