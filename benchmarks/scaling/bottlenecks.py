"""How close each part comes to what it can carry at the day's peak. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from orchestrator.connections import OTHERS, POOL, of_api, of_worker

K8S = Path(__file__).parents[2] / "k8s" / "overlays" / "production"
CONNECTIONS = "/spec/postgresql/parameters/max_connections"


@dataclass(frozen=True, slots=True)
class Part:
    """`needed` of `there` at the peak; which is measured, cited, assumed, or set in a manifest says `basis`."""

    name: str
    needed: float
    there: float
    unit: str
    basis: str

    @property
    def share(self) -> float:
        return self.needed / self.there


def manifest_limits() -> dict[str, int]:
    """The most that k8s/overlays/production lets each part grow to."""
    found: dict[str, int] = {}
    operations = yaml.safe_load((K8S / "models.yaml").read_text(encoding="utf-8"))
    groups = {each["path"].split("/")[4]: each["value"] for each in operations if each["path"].endswith("groupName")}
    for each in operations:
        if each["path"].endswith("maxReplicas"):
            found[f"{groups[each['path'].split('/')[4]]} nodes"] = int(each["value"])
    kustomization = yaml.safe_load((K8S / "kustomization.yaml").read_text(encoding="utf-8"))
    for patch in kustomization["patches"]:
        for each in yaml.safe_load(patch["patch"]) if "patch" in patch else ():
            if each.get("path") in {"/spec/maxReplicas", "/spec/maxReplicaCount"}:
                found[str(patch["target"]["name"])] = int(each["value"])
            if each.get("path") == CONNECTIONS:
                found["connections"] = int(each["value"])
    return found


def parts(
    peak_minutes_per_s: float,
    measured: Mapping[str, Any],
    limits: Mapping[str, Any],
    nodes: Mapping[str, float],
) -> list[Part]:
    """Every part at a peak of so many minutes of video a second; `nodes` are the GPU nodes of whisper and coqui and the
    CPU nodes at their peak. The nearest to its end comes first.
    """
    cost, most = measured["per_minute"], manifest_limits()
    use = float(limits["utilization"])

    def cores(kind: str, utilization: float = use) -> float:
        return peak_minutes_per_s * float(cost["cpu_s"].get(kind, 0.0)) / utilization

    api, workers = cores("api", float(limits["api_utilization"])), cores("worker") / WORKER_CORES
    here = f"measured here: {measured['command']}"
    found = [
        Part("API processes", api, most["octavia-api"], "of a core each", here),
        Part("workers", workers, most["octavia-worker"], f"of {WORKER_CORES} core each", here),
        Part(
            "PostgreSQL, connections",
            api * of_api(POOL) + workers * of_worker(POOL),
            most["connections"] - OTHERS,
            "connections",
            "processes as above, with full pools (orchestrator/connections.py)",
        ),
        Part(
            "PostgreSQL, transactions that write",
            peak_minutes_per_s * float(cost["commits"]),
            use * float(measured["commits_per_second"]),
            "a second",
            f"{here}, one embedded PostgreSQL on this machine",
        ),
        Part(
            "PostgreSQL log to this machine's disk",
            peak_minutes_per_s * float(cost["log_bytes"]) / 1e6,
            use * float(measured["disk_bytes_per_second"]) / 1e6,
            "MB/s",
            here,
        ),
        Part(
            "object store, written and read once",
            2 * peak_minutes_per_s * float(cost["storage_bytes"]) / 1e6,
            use * float(limits["network_bytes_per_s"]) / 1e6,
            "MB/s",
            "bytes measured here (a test picture, so its files are small), network assumed",
        ),
        Part("proxies, one a node", cores("proxy"), max(1.0, sum(nodes.values())), "of a core each", here),
        Part("protocol replicas", cores("protocol"), PROTOCOL_REPLICAS, "of a core each", here),
        *(Part(f"{name} nodes", count, most[f"{name} nodes"], "nodes", "simulated") for name, count in nodes.items()),
    ]
    return sorted(found, key=lambda part: part.share, reverse=True)


WORKER_CORES = 1
"""What a worker asks for in k8s/base/worker.yaml."""

PROTOCOL_REPLICAS = 8
"""k8s/models.yaml, production."""


def first(found: Sequence[Part]) -> Part:
    """The part that ends first when everything grows."""
    return max(found, key=lambda part: part.share)
