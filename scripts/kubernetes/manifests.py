"""Rendered manifests as the rules look at them: by kind, and the pods that they bring about."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import yaml

from scripts.kubernetes.render import Manifest

COMPONENT = "app.kubernetes.io/component"
CLUSTER = "cnpg.io/cluster"


@dataclass(frozen=True)
class Pod:
    """A kind of pod: what makes it, its labels as the cluster has them, its spec, its annotations."""

    kind: str
    name: str
    labels: Mapping[str, str]
    spec: Mapping[str, Any]
    group: Mapping[str, Any] = field(default_factory=dict)
    """Of a group of Ray's nodes, the group."""
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def where(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def component(self) -> str:
        if self.kind == "Cluster":
            return "database"
        return self.labels.get(COMPONENT, "")

    @property
    def lasting(self) -> bool:
        return self.kind != "Job"

    @property
    def containers(self) -> Sequence[Mapping[str, Any]]:
        containers: Sequence[Mapping[str, Any]] = self.spec.get("containers", ())
        return containers

    @property
    def every_container(self) -> Sequence[Mapping[str, Any]]:
        return [*self.spec.get("initContainers", ()), *self.containers]

    def ports(self) -> Iterator[Mapping[str, Any]]:
        for container in self.containers:
            yield from container.get("ports", ())

    def port(self, named: str | int) -> int | None:
        """The number of a port by its name or number; None where no container has it."""
        for port in self.ports():
            if named in (port.get("name"), port["containerPort"]):
                return int(port["containerPort"])
        return None


@dataclass(frozen=True)
class Deployed:
    """One overlay, rendered."""

    overlay: str
    manifests: Sequence[Manifest]

    def of(self, *kinds: str) -> Iterator[Manifest]:
        return (each for each in self.manifests if each.get("kind") in kinds)

    def find(self, kind: str, name: str) -> Manifest | None:
        return next((each for each in self.of(kind) if each["metadata"]["name"] == name), None)

    @cached_property
    def pods(self) -> Sequence[Pod]:
        return list(_pods(self))

    def pods_of(self, component: str) -> list[Pod]:
        return [pod for pod in self.pods if pod.component == component]

    @cached_property
    def models(self) -> Mapping[str, Any]:
        """The spec of the RayService; empty where there is none."""
        for service in self.of("RayService"):
            spec: Mapping[str, Any] = service["spec"]
            return spec
        return {}

    @cached_property
    def serve(self) -> Mapping[str, Any]:
        """The Serve config, as it stands in the RayService."""
        return yaml.safe_load(self.models.get("serveConfigV2", "")) or {}

    def config(self, container: Mapping[str, Any]) -> dict[str, str]:
        """What a container's environment has from ConfigMaps and plain values."""
        values: dict[str, str] = {}
        for source in container.get("envFrom", ()):
            found = self.find("ConfigMap", source.get("configMapRef", {}).get("name", ""))
            values |= (found or {}).get("data", {})
        return values | {each["name"]: each["value"] for each in container.get("env", ()) if "value" in each}


def quantity(text: str) -> int:
    """An amount of memory as Kubernetes writes it, in bytes.

    >>> quantity("2Gi"), quantity("500M"), quantity("1024")
    (2147483648, 500000000, 1024)
    """
    for power, letter in enumerate("KMGT", 1):
        for suffix, base in ((f"{letter}i", 1024), (letter, 1000), (letter.lower(), 1000)):
            if text.endswith(suffix):
                return int(float(text.removesuffix(suffix)) * base**power)
    return int(text)


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a label selector (matchLabels, matchExpressions) matches. An empty one matches all, None nothing."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(_holds(each, labels) for each in selector.get("matchExpressions", ()))


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value = labels.get(expression["key"])
    match expression["operator"]:
        case "In":
            return value in expression["values"]
        case "NotIn":
            return value not in expression["values"]
        case "Exists":
            return value is not None
        case _:
            return value is None


def _pods(deployed: Deployed) -> Iterator[Pod]:
    for each in deployed.of("Deployment", "StatefulSet", "Job"):
        template = each["spec"]["template"]
        said = template.get("metadata", {})
        name, labels, annotations = each["metadata"]["name"], said.get("labels", {}), said.get("annotations", {})
        yield Pod(each["kind"], name, labels, template["spec"], annotations=annotations)
    for each in deployed.of("RayService"):
        cluster = each["spec"]["rayClusterConfig"]
        yield _ray_pod(cluster["headGroupSpec"], "head", {"ray.io/node-type": "head", "ray.io/serve": "false"})
        for group in cluster.get("workerGroupSpecs", ()):
            yield _ray_pod(group, group["groupName"], {"ray.io/node-type": "worker", "ray.io/serve": "true"})
    for each in deployed.of("Cluster"):
        yield from _postgres_pods(each)


def _postgres_pods(cluster: Manifest) -> Iterator[Pod]:
    """An instance, and the job that makes one out of another, with the labels that they have by every release of
    CloudNativePG: its jobs' pods inherit nothing (pkg/specs/jobs.go)."""
    name = cluster["metadata"]["name"]
    inherited = cluster["spec"].get("inheritedMetadata", {}).get("labels", {})
    port = {"containers": [{"name": "postgres", "ports": [{"name": "postgres", "containerPort": 5432}]}]}
    yield Pod("Cluster", name, {CLUSTER: name, "cnpg.io/podRole": "instance"} | inherited, port)
    yield Pod("Cluster", f"{name} (joining)", {CLUSTER: name, "cnpg.io/jobRole": "join"}, {})


def _ray_pod(group: Mapping[str, Any], name: str, kuberays: Mapping[str, str]) -> Pod:
    template = group["template"]
    said = template.get("metadata", {})
    labels, annotations = said.get("labels", {}) | kuberays, said.get("annotations", {})
    return Pod("RayService", name, labels, template["spec"], group, annotations)
