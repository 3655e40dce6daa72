"""Our model plane on a Ray cluster that grows and shrinks: a head without GPUs, and Ray's own autoscaler (v2, as on
Kubernetes), which adds and removes nodes with one logical GPU each. The nodes are those of Ray's fake node provider:
a real raylet each, all on this machine.

`python -m benchmarks.scaling.plane` prints a ready line as `python -m serve` does, and serves until SIGTERM. Its
application, proxies and ports are those of `serve.plane`; only the Ray beneath is another. Every SAMPLE_S a line with
the nodes and replicas goes to a file.

Ray's AutoscalingCluster, made for this, begins and ends with `ray stop --force`, which kills every Ray of the machine;
here processes are found by descent. And it wants a file of defaults that Ray's wheel lacks
(autoscaler/_private/fake_multi_node/example.yaml), so the provider is given as an external one.
"""

import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestrator.local.ports import free_ports
from serve.environment import prepare_environment
from serve.local import Beside, end_at_once, on_signal, only_voice, raise_stopped, watch_parent
from serve.logs import log_as_json
from serve.settings import ServeSettings
from serve.supervise import adopt_orphans, end_descendants, supervise

CLUSTER_VARIABLE = "OCTAVIA_BENCHMARK_CLUSTER"
"""JSON of a `Cluster`, from whoever starts this process."""

SAMPLE_S = 0.5
UPDATE_S = 1
"""How often the autoscaler looks; 5 s is Ray's default."""

STORE_BYTES = 100 * 2**20
HEAD_CPUS = 2
HEAD_TYPE, GPU_TYPE = "ray.head.default", "gpu"
HEAD_ID = "f" * 51 + "00000"
"""The id that the fake provider has for the head."""

UNUSED_LISTS = (
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
    "cluster_synced_files",
    "rsync_exclude",
    "rsync_filter",
)
"""Must be there, though nothing is to be set up."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Cluster:
    """GPU nodes from min_nodes to max_nodes, taken away after idle_timeout_s; samples go to a file of JSON lines."""

    samples: str
    model: str
    max_nodes: int
    idle_timeout_s: float
    min_nodes: int = 0


def autoscaling_config(cluster: Cluster, gcs_address: str) -> dict[str, Any]:
    """The cluster as Ray's autoscaler reads it."""
    worker = {"CPU": 1, "GPU": 1, "object_store_memory": STORE_BYTES}
    bounds = {"min_workers": cluster.min_nodes, "max_workers": cluster.max_nodes}
    return {
        "cluster_name": "octavia",
        "max_workers": cluster.max_nodes,
        "idle_timeout_minutes": cluster.idle_timeout_s / 60,
        "provider": {
            "type": "external",
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
            "launch_multiple": True,
            "head_node_id": HEAD_ID,
            "gcs_address": gcs_address,
        },
        "available_node_types": {
            HEAD_TYPE: {"resources": {"CPU": HEAD_CPUS}, "node_config": {}, "max_workers": 0},
            GPU_TYPE: {"resources": worker, "node_config": {}, **bounds},
        },
        "head_node_type": HEAD_TYPE,
        **{name: [] for name in UNUSED_LISTS},
        **{name: {} for name in ("auth", "docker", "file_mounts")},
        "file_mounts_sync_continuously": False,
    }


def start_head(settings: ServeSettings, cluster: Cluster, folder: Path) -> str:
    """Starts the head with its autoscaler; the address of its GCS. CalledProcessError when it does not start."""
    gcs, client, agent = free_ports(3)
    address = f"127.0.0.1:{gcs}"
    config = folder / "autoscaler.json"
    config.write_text(json.dumps(autoscaling_config(cluster, address)), encoding="utf-8")
    fake = {
        "AUTOSCALER_UPDATE_INTERVAL_S": str(UPDATE_S),
        "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": "1",
        "RAY_CLOUD_INSTANCE_ID": HEAD_ID,
        "RAY_NODE_TYPE_NAME": HEAD_TYPE,
    }
    command = [
        str(Path(sys.executable).parent / "ray"),
        "start",
        "--head",
        "--node-ip-address=127.0.0.1",
        f"--port={gcs}",
        f"--ray-client-server-port={client}",
        f"--dashboard-agent-listen-port={agent}",
        f"--metrics-export-port={settings.serve_metrics_port}",
        "--min-worker-port=0",
        "--max-worker-port=0",
        "--include-dashboard=false",
        f"--temp-dir={folder / 'ray'}",
        f"--num-cpus={HEAD_CPUS}",
        "--num-gpus=0",
        f"--object-store-memory={STORE_BYTES}",
        f"--autoscaling-config={config}",
    ]
    subprocess.run(command, env=os.environ | fake, check=True, stdout=subprocess.DEVNULL)
    return address


def sample(address: str, model: str) -> dict[str, Any]:
    """Nodes with a GPU and replicas of the model by their states, now."""
    from ray import serve  # noqa: PLC0415 - reads the environment
    from ray.autoscaler.v2.sdk import get_cluster_status  # noqa: PLC0415

    from serve.app import APPLICATION  # noqa: PLC0415

    status = get_cluster_status(address)

    def gpus(nodes: Any) -> int:
        return sum(node.ray_node_type_name == GPU_TYPE for node in nodes)

    nodes = {
        "active": gpus(status.active_nodes),
        "idle": gpus(status.idle_nodes),
        "pending": gpus(status.pending_nodes),
        "launching": sum(each.count for each in status.pending_launches),
    }
    states = serve.status().applications[APPLICATION].deployments[model].replica_states
    return {"at": time.time(), "nodes": nodes, "replicas": {str(state): count for state, count in states.items()}}


def keep_sampling(address: str, cluster: Cluster) -> None:
    """Appends a sample every SAMPLE_S, until the process ends. What cannot be asked for once is logged, and missing."""
    with Path(cluster.samples).open("a", encoding="utf-8") as file:
        while True:
            began = time.monotonic()
            try:
                file.write(json.dumps(sample(address, cluster.model)) + "\n")
                file.flush()
            except Exception:
                log.warning("no sample", exc_info=True)
            time.sleep(max(0.05, SAMPLE_S - (time.monotonic() - began)))


def run(settings: ServeSettings, cluster: Cluster) -> int:
    """Starts cluster and plane, prints the ready line, samples, and waits for a signal."""
    say = only_voice()
    # Ray's token authentication stays on, with a token of this cluster alone.
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    prepare_environment(
        OCTAVIA_SERVE_HOST=settings.serve_host,
        OCTAVIA_SERVE_MAX_REQUEST_BYTES=str(settings.serve_max_request_bytes),
    )
    import ray  # noqa: PLC0415 - reads the environment

    from serve import plane  # noqa: PLC0415

    def start(folder: Path) -> tuple[str, dict[str, Any]]:
        application = plane.application(settings)
        address = start_head(settings, cluster, folder)
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        ray.init(address=address, namespace="octavia", logging_level=logging.ERROR, log_to_driver=True)
        return address, plane.start_models(settings, application)

    with tempfile.TemporaryDirectory(prefix="octavia-scaling-", ignore_cleanup_errors=True) as folder:
        try:
            plane.check_ports(settings)
            address, ready = Beside()(lambda: start(Path(folder)))
            on_signal(raise_stopped)
            threading.Thread(target=keep_sampling, args=(address, cluster), daemon=True).start()
            say(json.dumps(ready | {"cluster": asdict(cluster)}))
            while True:
                signal.pause()
        finally:
            on_signal(signal.SIG_IGN)
            plane.stop()
            end_descendants()


def main() -> int:
    """The supervisor, which leaves no orphan behind; or with the argument `run` the plane itself."""
    if sys.argv[1:] != ["run"]:
        return supervise([sys.executable, "-m", "benchmarks.scaling.plane", "run"])
    log_as_json()
    adopt_orphans()
    on_signal(end_at_once)
    watch_parent()
    try:
        return run(ServeSettings(), Cluster(**json.loads(os.environ[CLUSTER_VARIABLE])))
    except SystemExit:
        return 0


if __name__ == "__main__":
    sys.exit(main())
