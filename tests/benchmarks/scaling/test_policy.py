"""The policy decides as Ray Serve's own does."""

import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from ray.serve.autoscaling_policy import _apply_delay_logic, _apply_scaling_factors
from ray.serve.config import AutoscalingConfig

from benchmarks.scaling.policy import Decider, Policy

MOST = 8


class RaysOwn:
    """The same questions to Ray's functions, put together as its wrapper does, with our clock."""

    def __init__(self, policy: Policy, target: int) -> None:
        self._config = AutoscalingConfig(
            min_replicas=policy.min_replicas,
            initial_replicas=None,
            max_replicas=policy.max_replicas,
            target_ongoing_requests=policy.target_ongoing_requests,
            upscale_delay_s=policy.upscale_delay_s,
            downscale_delay_s=policy.downscale_delay_s,
        )
        self._state: dict[str, Any] = {}
        self.target = target

    def decide(self, now: float, running: int, requests: float) -> int:
        if running == 0 and requests > 0:
            wanted = max(math.ceil(self._config.get_upscaling_factor()), self.target)
        else:
            goal = self._config.get_target_ongoing_requests()
            desired = running * (requests / (goal * running)) if running else self.target
            desired = _apply_scaling_factors(desired, running, self._config)
            if running == 0 and desired > 0:
                wanted = desired
            else:
                wanted, self._state = _apply_delay_logic(max(0, desired), self.target, self._config, self._state, now)
        self.target = min(self._config.max_replicas, max(self._config.min_replicas, wanted))
        return self.target


@settings(max_examples=60, deadline=None)
@given(
    least=st.integers(0, 2),
    goal=st.sampled_from([1.0, 2.0, 5.0]),
    up=st.sampled_from([0.0, 2.0, 7.0]),
    down=st.sampled_from([0.0, 5.0, 20.0]),
    load=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 60), st.integers(0, 2)), min_size=1, max_size=12),
)
def test_it_decides_as_rays_own_functions(
    least: int, goal: float, up: float, down: float, load: list[tuple[int, int, int]]
) -> None:
    policy = Policy(least, MOST, goal, up, down)
    ours, rays = Decider(policy, least), RaysOwn(policy, least)
    now, running = 0.0, least
    for ticks, requests, late in load:
        for _ in range(ticks):
            now += 1
            assert ours.decide(now, running, requests) == rays.decide(now, running, requests)
            step = 1 if late else MOST
            running += max(-step, min(step, ours.target - running))


def test_from_none_it_starts_one_at_once_and_to_none_it_goes_by_way_of_one() -> None:
    decider = Decider(Policy(0, 4, 1, upscale_delay_s=30, downscale_delay_s=10), 0)
    assert decider.decide(0, 0, 3) == 1
    decider.target = 4
    seen = [decider.decide(now, 4 if now < 11 else 1, 0) for now in range(30)]
    assert seen[9] == 4
    assert seen[10] == 1
    assert seen[20] == 1
    assert seen[-1] == 0
