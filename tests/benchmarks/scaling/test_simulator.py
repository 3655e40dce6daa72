"""The simulator agrees with what is known of queues, loses nothing, and gives the same again."""

import math
import random
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.scaling.policy import Policy
from benchmarks.scaling.queueing import erlang_c_wait
from benchmarks.scaling.simulator import Machines, Model, Outcome, Simulation
from benchmarks.scaling.standin import batch_seconds

SINGLE = Model(sum)


def poisson(rate: float, number: int, seed: int) -> list[tuple[float, float]]:
    """Arrivals at this rate and exponential services of 1 s, scaled so that both means are exact: less noise."""
    source = random.Random(seed)
    times = list(accumulate(source.expovariate(rate) for _ in range(number)))
    services = [source.expovariate(1) for _ in range(number)]
    late, long = times[-1] * rate / number, sum(services) / number
    return [(at / late, seconds / long) for at, seconds in zip(times, services, strict=True)]


def fixed(replicas: int) -> Policy:
    return Policy(replicas, replicas, 1, 0, 0)


def bursts(seed: int) -> list[tuple[float, float]]:
    """Ten minutes: little, much, nothing, much, nothing."""
    source = random.Random(seed)
    found, at = [], 0.0
    for ends, rate in ((120, 1.0), (200, 9.0), (340, 0.0), (400, 7.0), (600, 0.0)):
        while rate and (at := at + source.expovariate(rate)) < ends:
            found.append((at, source.uniform(0.3, 1.2)))
        at = ends
    return found


def scaled(arrivals: list[tuple[float, float]], seed: int = 0, **changes: float) -> Outcome:
    machines = Machines(5, node_start_s=6, node_spacing_s=2, replica_start_s=3, idle_timeout_s=20)
    model = Model(lambda alone: batch_seconds(alone, 0.8), 8, 4, 0.05, 16, transport_s=0.01)
    policy = Policy(0, 5, 4, changes.get("up", 1), changes.get("down", 15))
    return Simulation(model, machines, policy, look_back_s=3, seed=seed).run(arrivals, until=700)


@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (3, 0.6), (8, 0.7)])
def test_waiting_times_are_those_of_erlang(servers: int, load: float) -> None:
    waits = []
    for seed in (1, 2):
        arrivals = poisson(servers * load, 20_000, seed)
        simulation = Simulation(SINGLE, Machines(servers), fixed(servers), tick_s=1e6, sample_s=1e6)
        outcome = simulation.run(arrivals)
        waits.append((sum(outcome.latency) - sum(seconds for _, seconds in arrivals)) / len(arrivals))
        assert outcome.utilization == pytest.approx(load, rel=0.02)
    assert sum(waits) / len(waits) == pytest.approx(erlang_c_wait(servers * load, 1.0, servers), rel=0.05)


def test_erlang_refuses_what_cannot_be_carried() -> None:
    assert erlang_c_wait(0.5, 1.0, 1) == pytest.approx(1.0)  # M/M/1: rho / (mu - lambda)
    with pytest.raises(ValueError, match="cannot carry"):
        erlang_c_wait(3.0, 1.0, 2)


@settings(max_examples=40, deadline=None)
@given(
    times=st.lists(st.floats(0, 100), max_size=80),
    most=st.integers(1, 4),
    batch=st.integers(1, 8),
    slots=st.integers(1, 2),
    seed=st.integers(0, 3),
)
def test_every_request_is_answered_and_none_sooner_than_it_can_be(
    times: list[float], most: int, batch: int, slots: int, seed: int
) -> None:
    arrivals = [(at, 0.5) for at in sorted(times)]
    model = Model(sum, batch, max(1, batch // 2), 0.1, 2 * batch, slots, transport_s=0.02)
    machines = Machines(most, node_start_s=4, replica_start_s=1, idle_timeout_s=5)
    outcome = Simulation(model, machines, Policy(0, most, 2, 1, 6), look_back_s=2, seed=seed).run(arrivals, until=200)
    assert outcome.lost == 0
    assert len(outcome.latency) == outcome.rows == len(arrivals)
    assert all(latency >= 0.52 - 1e-9 for latency in outcome.latency)
    assert outcome.busy_s * slots == pytest.approx(0.5 * len(arrivals))
    assert outcome.busy_s <= outcome.exact_replica_s + 1e-6 or outcome.exact_replica_s == 0
    assert all(0 <= each.held <= most and 0 <= each.replicas <= most for each in outcome.samples)
    assert all(each.waiting >= 0 for each in outcome.samples)


def test_the_fleet_grows_with_the_bursts_and_goes_when_all_is_quiet() -> None:
    outcome = scaled(bursts(1))
    assert outcome.lost == 0
    assert outcome.peak_held() == 5
    between = [each for each in outcome.samples if 280 < each.at < 335]
    assert all(each.held == 0 and each.replicas == 0 for each in between)
    assert outcome.samples[-1].held == 0
    assert outcome.gpu_seconds() == pytest.approx(outcome.exact_gpu_s, rel=0.02)
    assert outcome.exact_gpu_s > outcome.exact_replica_s  # a GPU is held before and after its replica serves


def test_the_same_seed_gives_the_same() -> None:
    one, same, other = scaled(bursts(2)), scaled(bursts(2)), scaled(bursts(2), seed=9)
    assert list(one.latency) == list(same.latency)
    assert one.samples == same.samples
    assert list(one.latency) != list(other.latency)


def test_a_cold_start_waits_for_node_and_replica() -> None:
    outcome = scaled([(10.0, 0.5)])
    assert 6 + 3 + 0.5 <= outcome.latency[0] <= 6 + 3 + 0.5 + 2  # and at most two ticks


def test_a_full_batch_does_not_wait_and_a_lonely_request_waits_for_company() -> None:
    model = Model(lambda alone: batch_seconds(alone, 1.0), 4, 4, max_delay_s=0.2, max_ongoing=8)
    run = Simulation(model, Machines(1), fixed(1)).run([(1, 0.5), (1, 0.5), (1, 0.5), (1, 0.5), (5, 0.5)])
    assert list(run.latency) == pytest.approx([0.5] * 4 + [0.7])
    assert (run.batches, run.rows) == (2, 5)


def test_a_replica_takes_no_more_than_max_ongoing_and_the_rest_waits_in_front() -> None:
    model = Model(max, max_ongoing=1)
    run = Simulation(model, Machines(2), fixed(2)).run([(0, 1.0)] * 6)
    assert sorted(run.latency) == pytest.approx([1, 1, 2, 2, 3, 3])
    assert run.largest_queue == 4


def test_nodes_of_a_launch_come_one_after_the_other() -> None:
    machines = Machines(3, node_start_s=5, node_spacing_s=4, replica_start_s=0, idle_timeout_s=1000)
    simulation = Simulation(SINGLE, machines, Policy(0, 3, 1, 0, 1000), look_back_s=1)
    outcome = simulation.run([(0.5, 60.0)] * 9, until=60)
    ups = [next(each.at for each in outcome.samples if each.nodes >= number) for number in (1, 2, 3)]
    assert ups[1] - ups[0] >= 4
    assert ups[2] - ups[1] == pytest.approx(4, abs=0.6)


def test_more_replicas_than_nodes_can_hold_are_refused() -> None:
    with pytest.raises(ValueError, match="3 replicas need 2 nodes"):
        Simulation(SINGLE, Machines(1, replicas_per_node=2), fixed(3))


def test_two_replicas_share_a_node() -> None:
    machines = Machines(2, replicas_per_node=2, node_start_s=2, idle_timeout_s=5)
    outcome = Simulation(SINGLE, machines, Policy(0, 4, 1, 0, 3), look_back_s=1).run([(1, 20.0)] * 4, until=60)
    assert max(each.replicas for each in outcome.samples) == 4
    assert outcome.peak_held() == 2
    assert outcome.samples[-1].held == 0


def test_batches_take_what_the_model_says() -> None:
    assert batch_seconds([1.0, 2.0], 0.0) == 3.0
    assert batch_seconds([1.0, 2.0], 1.0) == 2.0
    assert math.isclose(batch_seconds([1.0] * 8, (8 - 8 * 17 / 63) / 7), 8 * 17 / 63)
