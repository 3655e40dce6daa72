"""Ray Serve's autoscaling policy (2.60, `ray.serve.autoscaling_policy`), pure and with a clock of one's own.

The tests hold it to Ray's own functions.
"""

import math
from dataclasses import dataclass

TOLERANCE_S = 1e-6


@dataclass(frozen=True, slots=True)
class Policy:
    """Bounds, requests under way that a replica should have, and how long a wish must last before it is granted."""

    min_replicas: int
    max_replicas: int
    target_ongoing_requests: float
    upscale_delay_s: float
    downscale_delay_s: float


class Decider:
    """How many replicas there should be, asked again and again."""

    def __init__(self, policy: Policy, target: int) -> None:
        self.policy = policy
        self.target = target
        self._direction = 0
        self._since = 0.0

    def decide(self, now: float, running: int, requests: float) -> int:
        """The number of replicas from now on. `requests` wait or run, as a mean over the look-back period."""
        if running == 0 and requests > 0:
            wanted = max(1, self.target)  # from none at once
        elif running == 0:
            wanted = self._after_delay(now, self.target)
        else:
            wanted = self._after_delay(now, math.ceil(requests / self.policy.target_ongoing_requests))
        self.target = min(self.policy.max_replicas, max(self.policy.min_replicas, wanted))
        return self.target

    def _after_delay(self, now: float, desired: int) -> int:
        direction = (desired > self.target) - (desired < self.target)
        if direction != self._direction:
            self._direction, self._since = direction, now
        if direction == 0:
            return self.target
        delay = self.policy.upscale_delay_s if direction > 0 else self.policy.downscale_delay_s
        if now - self._since + TOLERANCE_S < delay:
            return self.target
        self._direction = 0
        return desired if direction > 0 or self.target == 1 else max(1, desired)  # to none only from one
