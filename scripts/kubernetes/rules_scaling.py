"""What scales, what may be taken away, and how long it may take to end."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator.connections import OTHERS, of_api, of_worker
from orchestrator.settings import Settings
from scripts.kubernetes.manifests import Deployed, Pod, selects

HANDING_OVER_S = 15
"""What a worker needs beyond its drain, as `octavia up` gives it."""
CLOSING_S = 5
"""What the API needs beyond its drain and its last requests."""
POSTGRESQLS = 100
"""max_connections where nobody gives it."""


def targets(deployed: Deployed) -> Iterator[str]:
    """What a scaler scales is there, is scaled by it alone, and does not say how many there are itself."""
    scaled: Counter[tuple[str, str]] = Counter()
    for scaler in deployed.of("HorizontalPodAutoscaler", "ScaledObject"):
        where = f"{scaler['kind']} {scaler['metadata']['name']}"
        reference = scaler["spec"]["scaleTargetRef"]
        kind, name = reference.get("kind", "Deployment"), reference["name"]
        scaled[kind, name] += 1
        target = deployed.find(kind, name)
        if target is None:
            yield f"{where}: there is no {kind} {name} to scale"
            continue
        if "replicas" in target["spec"]:
            yield f"{kind} {name}: replicas is set, so each apply would undo what {where} did"
        least, most = _bounds(scaler)
        if least > most:
            yield f"{where}: at least {least} is more than at most {most}"
        if scaler["kind"] == "HorizontalPodAutoscaler":
            yield from _measured(deployed, where, name)
    for (kind, name), count in scaled.items():
        if count > 1:
            yield f"{kind} {name}: {count} scalers pull at it"


def _bounds(scaler: Mapping[str, Any]) -> tuple[int, int]:
    spec = scaler["spec"]
    if scaler["kind"] == "ScaledObject":
        return spec.get("minReplicaCount", 0), spec.get("maxReplicaCount", 100)
    return spec.get("minReplicas", 1), spec["maxReplicas"]


def _measured(deployed: Deployed, where: str, name: str) -> Iterator[str]:
    for pod in deployed.pods:
        if pod.name != name:
            continue
        for container in pod.containers:
            if "cpu" not in container.get("resources", {}).get("requests", {}):
                yield f"{where}: {container['name']} requests no cpu, of which its share could be told"


def connections(deployed: Deployed) -> Iterator[str]:
    """All processes there may be at once, in the middle of a new release, find a connection to the database of ours."""
    most = _max_connections(deployed)
    if most is None:
        return
    wanted = {}
    for component, of_one in (("api", of_api), ("worker", of_worker)):
        for pod in deployed.pods_of(component):
            wanted[pod.name] = _at_once(deployed, pod) * of_one(_number(deployed, pod, "database_pool"))
    needed = sum(wanted.values()) + OTHERS
    if needed > most:
        told = ", ".join(f"{count} of {name}" for name, count in wanted.items())
        yield f"database: max_connections is {most}, but there may be {needed} ({told}, {OTHERS} of others)"


def _max_connections(deployed: Deployed) -> int | None:
    """What the database among the manifests takes; None where it is not among them."""
    for cluster in deployed.of("Cluster"):
        return int(cluster["spec"].get("postgresql", {}).get("parameters", {}).get("max_connections", POSTGRESQLS))
    for pod in deployed.pods_of("database"):
        given = [each for each in pod.containers[0].get("args", ()) if each.startswith("max_connections=")]
        return int(given[-1].partition("=")[2]) if given else POSTGRESQLS
    return None


def _at_once(deployed: Deployed, pod: Pod) -> int:
    """How many there may be of a Deployment: as many as its scaler allows, and those that come before others go."""
    spec = (deployed.find(pod.kind, pod.name) or {}).get("spec", {})
    scalers = [
        each
        for each in deployed.of("HorizontalPodAutoscaler", "ScaledObject")
        if each["spec"]["scaleTargetRef"]["name"] == pod.name
    ]
    most = max((_bounds(each)[1] for each in scalers), default=spec.get("replicas", 1))
    surge = spec.get("strategy", {}).get("rollingUpdate", {}).get("maxSurge", "25%")
    return int(most) + (math.ceil(most * int(surge.removesuffix("%")) / 100) if isinstance(surge, str) else surge)


def triggers(deployed: Deployed) -> Iterator[str]:
    """KEDA is told how to log in, by an object that is there."""
    for scaler in deployed.of("ScaledObject"):
        for trigger in scaler["spec"]["triggers"]:
            name = trigger.get("authenticationRef", {}).get("name", "")
            if deployed.find("TriggerAuthentication", name) is None:
                yield f"ScaledObject {scaler['metadata']['name']}: there is no TriggerAuthentication {name!r}"


def budgets(deployed: Deployed) -> Iterator[str]:
    """A PodDisruptionBudget protects pods that are there, and lets one go at a time: else no node can be emptied."""
    protected = set()
    for budget in deployed.of("PodDisruptionBudget"):
        spec, where = budget["spec"], f"PodDisruptionBudget {budget['metadata']['name']}"
        pods = [pod for pod in deployed.pods if selects(spec.get("selector"), pod.labels)]
        protected |= {pod.component for pod in pods}
        if not pods:
            yield f"{where}: its selector matches no pod"
        if spec.get("maxUnavailable") in (0, "0%") or spec.get("minAvailable") == "100%":
            yield f"{where}: it lets no pod go, so no node could be emptied"
        if any(pod.kind == "RayService" for pod in pods):
            yield from (f"{where}: {wrong}" for wrong in _without_scale(spec, pods))
    for component in ("api", "worker"):
        if deployed.pods_of(component) and component not in protected:
            yield f"{component}: no PodDisruptionBudget protects it"


def _without_scale(budget: Mapping[str, Any], pods: Sequence[Pod]) -> Iterator[str]:
    """Of pods whose controller has no scale subresource Kubernetes knows only how many there are, never how many there
    should be: https://kubernetes.io/docs/tasks/run-application/configure-pdb/#arbitrary-controllers-and-selectors"""
    least = budget.get("minAvailable")
    if not isinstance(least, int):
        yield (
            "a RayCluster has no scale subresource, so maxUnavailable and percentages let none of its pods go, ever:"
            " give a number as minAvailable, or no budget"
        )
        return
    fewest = sum(pod.group.get("minReplicas", 1) for pod in pods)
    if least >= fewest:
        yield f"of {fewest} pods that there are at least, minAvailable {least} lets none go: no node could be emptied"


def grace(deployed: Deployed) -> Iterator[str]:
    """API and workers may end in good order before they are killed."""
    for pod in (*deployed.pods_of("api"), *deployed.pods_of("worker")):
        given = pod.spec.get("terminationGracePeriodSeconds", 30)
        needed = _needed(deployed, pod)
        if given <= needed:
            yield f"{pod.where}: terminationGracePeriodSeconds is {given}, but ending in good order takes {needed} s"


def _needed(deployed: Deployed, pod: Pod) -> int:
    if pod.component == "api":
        return _turning_away(deployed, pod) + _number(deployed, pod, "api_finish_s") + CLOSING_S
    return _before(pod) + _number(deployed, pod, "drain_s") + HANDING_OVER_S


def unnoticed(deployed: Deployed) -> Iterator[str]:
    """An API process that ends takes requests until its readiness probe has failed, which turns proxies away."""
    for pod in deployed.pods_of("api"):
        probe = pod.containers[0].get("readinessProbe", {})
        seen = probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3)
        given = _turning_away(deployed, pod)
        if given <= seen:
            yield f"{pod.where}: it takes requests for {given} s when it ends, but its probe sees that after {seen} s"


def _turning_away(deployed: Deployed, pod: Pod) -> int:
    return _before(pod) + _number(deployed, pod, "api_drain_s")


def _before(pod: Pod) -> int:
    return int(pod.containers[0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0))


def _number(deployed: Deployed, pod: Pod, setting: str) -> int:
    """The value of a setting that is a whole number."""
    default = Settings.model_fields[setting].default
    return int(deployed.config(pod.containers[0]).get(f"OCTAVIA_{setting.upper()}", default))
