"""The model plane: its Serve config is Ray's and ours, its replicas fit the nodes there may be, and end in time."""

import math
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from scripts.kubernetes.generate import CHANGES, CHECKOUT, OVERLAYS, SERVE_YAML, serve_config
from scripts.kubernetes.manifests import Deployed, Pod, quantity
from serve.models import BY_CHOICE
from serve.repository import ModelSpec, read_repository

INGRESS = "protocol"
STOP_MARGIN_S = 10
"""What a node needs beyond its drain to stop Ray."""

Replica = Mapping[str, float]
"""What one replica takes of a node: CPU, GPU and resources by name."""


@cache
def specs() -> Mapping[str, ModelSpec]:
    """The models of model_repo/ that are deployed by themselves."""
    return {name: spec for name, spec in read_repository(CHECKOUT / "model_repo").items() if not spec.steps}


def config_is_rays(deployed: Deployed) -> Iterator[str]:
    """serveConfigV2 is text to Kubernetes: Ray's own schema reads it, and what it names is there."""
    from serve.app import read_config  # noqa: PLC0415 - imports Ray

    if not deployed.models:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "serveConfigV2")
        path.write_text(deployed.models.get("serveConfigV2", ""), encoding="utf-8")
        try:
            config = read_config(path)
        except (ValidationError, ValueError, TypeError, KeyError) as error:
            yield f"serveConfigV2: {str(error).removeprefix(str(path) + ': ')}"
            return
    for application in config.applications:
        module, _, function = application.import_path.partition(":")
        try:
            getattr(import_module(module), function)
        except (ImportError, AttributeError):
            yield f"serveConfigV2: import_path {application.import_path} leads nowhere"


def config_is_made(deployed: Deployed) -> Iterator[str]:
    """It is what serve/serve.yaml and k8s/models.yaml give."""
    if deployed.overlay not in OVERLAYS:
        return
    base, changes = (yaml.safe_load(path.read_text(encoding="utf-8")) for path in (SERVE_YAML, CHANGES))
    if deployed.serve != serve_config(base, changes, deployed.overlay):
        yield (
            f"serveConfigV2 is not what serve/serve.yaml and {CHANGES.name} give:"
            " run `python -m scripts.kubernetes generate`"
        )


def deployments(deployed: Deployed) -> Iterator[str]:
    """Each deployment is a model, takes in enough for its batches, and ends its longest request before it is killed."""
    from serve.app import check_drain  # noqa: PLC0415 - imports Ray

    placed = _placed(deployed)
    if deployed.models and INGRESS not in placed:
        yield f"serveConfigV2: there is no deployment {INGRESS}, so nothing answers"
    for name, options in placed.items():
        if name == INGRESS:
            continue
        spec = specs().get(name)
        if spec is None:
            yield f"serveConfigV2: {name} is no model of model_repo/"
            continue
        rows = spec.max_batch_size if spec.dynamic_batching else 1
        least = rows * int(spec.parameters.get("concurrent_batches", "1"))
        if options.get("max_ongoing_requests", 5) < least:
            yield f"serveConfigV2: {name}: max_ongoing_requests is less than its batches of {least}, which never fill"
        try:
            check_drain(spec, options)
        except ValueError as error:
            yield f"serveConfigV2: {error}"
        ingress = placed.get(INGRESS, {}).get("graceful_shutdown_timeout_s", 20)
        if ingress <= options.get("graceful_shutdown_timeout_s", 20):
            yield f"serveConfigV2: {INGRESS} is killed before {name} has answered: raise graceful_shutdown_timeout_s"


def chosen(deployed: Deployed) -> Iterator[str]:
    """A model that is served by choice has its setting and its deployment, or neither: Ray refuses one alone."""
    placed = _placed(deployed)
    for pod in _nodes(deployed)[:1]:
        given = deployed.config(pod.containers[0])
        for name, setting in BY_CHOICE.items():
            if name in placed and setting not in given:
                yield f"serveConfigV2: {name} is deployed, but {setting} names no weights for it"
            if name not in placed and setting in given:
                yield f"serveConfigV2: {setting} names weights, but {name} is not deployed (see models.yaml)"


def drain(deployed: Deployed) -> Iterator[str]:
    """A node of Ray that is to go stays until its replicas have ended, and its pod until the node has."""
    longest = max((each.get("graceful_shutdown_timeout_s", 20) for each in _placed(deployed).values()), default=0)
    for pod in _nodes(deployed):
        grace = pod.spec.get("terminationGracePeriodSeconds", 30)
        for container in pod.containers:
            command = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["", "0"])
            if not command[0].endswith("drain_node.sh"):
                yield f"{pod.where}: no preStop drains the node"
                continue
            seconds = int(command[1])
            if seconds <= longest:
                yield f"{pod.where}: the node is drained for {seconds} s, but replicas may end only after {longest:g} s"
            if grace < seconds + STOP_MARGIN_S:
                yield f"{pod.where}: terminationGracePeriodSeconds {grace} ends before its drain of {seconds} s"


def nodes(deployed: Deployed) -> Iterator[str]:
    """What Ray believes a node to have is what its pod has; the head takes no work."""
    for pod in deployed.pods:
        if pod.kind != "RayService":
            continue
        parameters = pod.group.get("rayStartParams", {})
        limits = pod.containers[0].get("resources", {}).get("limits", {})
        if pod.name == "head":
            if parameters.get("num-cpus") != "0":
                yield f'{pod.where}: num-cpus is not "0", so replicas may land on the head'
            continue
        cpus = str(limits.get("cpu", ""))
        if parameters.get("num-cpus") != cpus:
            yield f"{pod.where}: num-cpus is {parameters.get('num-cpus')}, but the limit of the pod is {cpus or 'none'}"
        gpus = str(limits.get("nvidia.com/gpu", "0"))
        if parameters.get("num-gpus", "0") != gpus:
            yield f"{pod.where}: num-gpus is {parameters.get('num-gpus', '0')}, but the pod has {gpus}"
        if not pod.group["minReplicas"] <= pod.group.get("replicas", 0) <= pod.group["maxReplicas"]:
            yield f"{pod.where}: replicas are not between minReplicas and maxReplicas"
        if pod.port(8102) is None or parameters.get("metrics-export-port") != "8102":
            yield f"{pod.where}: its metrics are not at port 8102"


def object_store(deployed: Deployed) -> Iterator[str]:
    """Ray's object store lies in shared memory: it is given a size, and /dev/shm is larger. Else Ray takes 30 % of the
    memory, and puts what /dev/shm has no room for on disk."""
    for pod in deployed.pods:
        if pod.kind != "RayService":
            continue
        given = pod.group.get("rayStartParams", {}).get("object-store-memory")
        if given is None:
            yield f"{pod.where}: object-store-memory is not given, so Ray takes 30 % of the pod's memory"
            continue
        room = _shared_memory(pod)
        if int(given) >= room:
            yield f"{pod.where}: object-store-memory is {given} bytes, but /dev/shm has {room}"


def _shared_memory(pod: Pod) -> int:
    """Bytes of the volume in memory at /dev/shm; the runtime's 64 MiB where there is none."""
    mounted = [each["name"] for each in pod.containers[0].get("volumeMounts", ()) if each["mountPath"] == "/dev/shm"]  # noqa: S108
    for volume in pod.spec.get("volumes", ()):
        room = volume.get("emptyDir", {})
        if volume["name"] in mounted and room.get("medium") == "Memory":
            return quantity(room["sizeLimit"])
    return 64 << 20


def version(deployed: Deployed) -> Iterator[str]:
    """Operator and image agree on Ray's version."""
    lines = (CHECKOUT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    locked = next(line.partition("==")[2] for line in lines if line.startswith("ray=="))
    said = deployed.models.get("rayClusterConfig", {}).get("rayVersion")
    if deployed.models and said != locked:
        yield f"RayService: rayVersion is {said}, but the images have {locked}"


def fits(deployed: Deployed) -> Iterator[str]:
    """One replica fits a node of some group; all there may be at once fit the nodes there may be at once."""
    groups = _nodes(deployed)
    free = [(pod.name, _capacity(pod)) for pod in groups for _ in range(pod.group["maxReplicas"])]
    for name, options in sorted(_placed(deployed).items(), key=lambda item: -_demand(item[1]).get("GPU", 0)):
        demand = _demand(options)
        if not any(_holds(_capacity(pod), demand) for pod in groups):
            yield f"serveConfigV2: a replica of {name} ({_told(demand)}) fits no node of any group"
            continue
        most = _most(options)
        left = most - _place(free, demand, most, options.get("max_replicas_per_node", math.inf))
        if left:
            yield f"serveConfigV2: of {most} replicas of {name}, {left} have no room on all nodes the groups may have"


def _place(free: list[tuple[str, dict[str, float]]], demand: Replica, count: int, per_node: float) -> int:
    """Take up to `count` replicas out of the free nodes, first fit; how many found room."""
    placed = 0
    for _, node in free:
        here = 0
        while placed < count and here < per_node and _holds(node, demand):
            for resource, amount in demand.items():
                node[resource] = round(node[resource] - amount, 6)
            placed += 1
            here += 1
    return placed


def _most(options: Mapping[str, Any]) -> int:
    scaling = options.get("autoscaling_config")
    return int(scaling["max_replicas"]) if scaling else int(options.get("num_replicas") or 1)


def _demand(options: Mapping[str, Any]) -> dict[str, float]:
    actor = options.get("ray_actor_options") or {}
    demand = {"CPU": float(actor.get("num_cpus", 1)), "GPU": float(actor.get("num_gpus", 0))}
    demand |= {name: float(amount) for name, amount in actor.get("resources", {}).items()}
    return {name: amount for name, amount in demand.items() if amount}


def _capacity(pod: Pod) -> dict[str, float]:
    parameters = pod.group.get("rayStartParams", {})
    capacity = {"CPU": float(parameters.get("num-cpus", 0)), "GPU": float(parameters.get("num-gpus", 0))}
    return capacity | {name: float(value) for name, value in _named(parameters.get("resources", "")).items()}


def _named(text: str) -> dict[str, float]:
    """rayStartParams.resources is JSON in quotes, for it passes through a shell."""
    parsed = yaml.safe_load(text.strip().strip("'").removeprefix('"').removesuffix('"').replace('\\"', '"') or "{}")
    return dict(parsed)


def _holds(node: Mapping[str, float], demand: Replica) -> bool:
    return all(node.get(resource, 0) >= amount for resource, amount in demand.items())


def _told(demand: Replica) -> str:
    return ", ".join(f"{amount:g} {resource}" for resource, amount in demand.items())


def _nodes(deployed: Deployed) -> list[Pod]:
    return [pod for pod in deployed.pods if pod.kind == "RayService" and pod.name != "head"]


def _placed(deployed: Deployed) -> dict[str, Mapping[str, Any]]:
    return {
        each["name"]: each
        for application in deployed.serve.get("applications", ())
        for each in application.get("deployments", ())
    }
