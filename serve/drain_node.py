"""`python -m serve.drain_node SECONDS [NODE_ID]`: empty this node of Ray before it stops.

Ray is told that the node goes in so many seconds. Serve then starts other replicas elsewhere and lets those here end
what they have begun; when none is left, or the time is over, this ends.
"""

import logging
import sys
import time

EVERY_S = 1.0
REASON = "DRAIN_NODE_REASON_PREEMPTION"
"""The one reason for which Ray accepts to drain a node that is at work."""

log = logging.getLogger("serve.drain_node")


def drain(seconds: float, node_id: str | None = None) -> bool:
    """Whether the node was empty of replicas in time. RuntimeError when Ray does not accept that it goes."""
    import ray  # noqa: PLC0415 - reads the environment
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # noqa: PLC0415
    from ray.core.generated import autoscaler_pb2  # noqa: PLC0415

    deadline = time.time() + seconds
    ray.init(address="auto", namespace="octavia", logging_level=logging.ERROR, log_to_driver=False)
    context = ray.get_runtime_context()
    node = node_id or context.get_node_id()
    reason = autoscaler_pb2.DrainNodeReason.Value(REASON)  # type: ignore[attr-defined]
    accepted, why = GcsClient(address=context.gcs_address).drain_node(node, reason, "it stops", int(deadline * 1000))
    if not accepted:
        raise RuntimeError(f"Ray does not drain this node: {why}")
    while time.time() < deadline:
        if not replicas(node):
            return True
        time.sleep(EVERY_S)
    return False


def replicas(node_id: str) -> int:
    """Serve's replicas that are alive on a node."""
    from ray.util.state import list_actors  # noqa: PLC0415

    alive = list_actors(filters=[("node_id", "=", node_id), ("state", "=", "ALIVE")], limit=1000)
    return sum(actor.class_name.startswith("ServeReplica:") for actor in alive)


def main(arguments: list[str]) -> int:
    """Exit status 0 when the node is empty, 1 when replicas were left."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    seconds, *node = arguments
    if drain(float(seconds), *node):
        log.info("no replica is left on this node")
        return 0
    log.warning("replicas were left on this node after %s s", seconds)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
