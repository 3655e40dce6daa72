"""How the trace's replicas and nodes follow the load."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Scaling:
    """A node has one GPU, a replica takes it. Times are seconds.

    The values are those with which the simulator held the trace's SLO at few GPU-hours, before the trace was run.
    """

    max_nodes: int = 5
    min_replicas: int = 0
    target_ongoing_requests: float = 3
    max_ongoing_requests: int = 16
    max_batch: int = 8
    preferred: int = 4
    max_delay_s: float = 0.05
    metrics_interval_s: float = 0.5
    look_back_period_s: float = 2
    upscale_delay_s: float = 0
    downscale_delay_s: float = 90
    idle_timeout_s: float = 25

    def hurried(self, factor: float) -> "Scaling":
        """For a trace shorter by `factor`: what waits before it shrinks waits less; what starts takes as long."""
        values = asdict(self)
        values["downscale_delay_s"] = max(5.0, self.downscale_delay_s / factor)
        values["idle_timeout_s"] = max(4.0, self.idle_timeout_s / factor)
        return Scaling(**values)

    def deployment(self) -> dict[str, Any]:
        """As serve.yaml has it."""
        return {
            "num_replicas": "auto",
            "max_ongoing_requests": self.max_ongoing_requests,
            "max_queued_requests": 2000,
            "ray_actor_options": {"num_cpus": 0.1, "num_gpus": 1},
            "graceful_shutdown_timeout_s": 120,
            "autoscaling_config": {
                "min_replicas": self.min_replicas,
                "initial_replicas": self.min_replicas,
                "max_replicas": self.max_nodes,
                "target_ongoing_requests": self.target_ongoing_requests,
                "metrics_interval_s": self.metrics_interval_s,
                "look_back_period_s": self.look_back_period_s,
                "upscale_delay_s": self.upscale_delay_s,
                "downscale_delay_s": self.downscale_delay_s,
            },
        }
