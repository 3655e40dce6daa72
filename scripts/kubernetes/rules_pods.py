"""What every pod must be: of a pinned release, without privileges, with limits, probes and nothing secret in it."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import chain
from typing import Any

from scripts.kubernetes.generate import CHECKOUT
from scripts.kubernetes.manifests import Deployed, Pod
from scripts.kubernetes.routes import answered

OWN_IMAGE = re.compile(r"/octavia/(orchestrator|models):(?P<tag>[^@]+)")
TAG = re.compile(r"^[^@]+:(?P<tag>[\w.-]+)(@sha256:[0-9a-f]{64})?$")
MOVING = {"latest", "main", "master", "stable", "edge", "nightly"}
SHELL = re.compile(r"^(\S*/)?(ba|da)?sh -[a-z]*c$")
SECRET_NAME = re.compile(r"(SECRET|PASSWORD|TOKEN$|ACCESS_KEY|DATABASE_URL|CREDENTIAL)", re.IGNORECASE)
NO_SECRET = {"HF_HUB_DISABLE_TELEMETRY", "COQUI_TOS_AGREED"}
SECRET_VALUE = re.compile(r"(polar_oat_|whsec_|://[^/\s:@]+:[^/\s@]+@|-----BEGIN)")
TALKS_TO_KUBERNETES = {"head"}
"""Ray's autoscaler runs beside its head."""

COMMANDS = {"sh", "pg_isready", "/app/containers/weights.sh"}
"""What an exec probe runs: each is in the image that it runs in."""


@cache
def release() -> str:
    """The tag of our own images: v and the version in pyproject.toml."""
    with (CHECKOUT / "pyproject.toml").open("rb") as file:
        return f"v{tomllib.load(file)['project']['version']}"


def images(deployed: Deployed) -> Iterator[str]:
    """Every image has a version of its own, ours that of the release; so have the names of jobs that cannot change."""
    for pod, container in _containers(deployed):
        image = container.get("image", "")
        if pod.kind == "Cluster":
            continue
        yield from (f"{pod.where}: {wrong}" for wrong in _image(image))
    for cluster in deployed.of("Cluster"):
        yield from (f"Cluster {cluster['metadata']['name']}: {wrong}" for wrong in _image(cluster["spec"]["imageName"]))
    for job in deployed.of("Job"):
        name = job["metadata"]["name"]
        if not name.endswith(release().replace(".", "-")):
            yield f"Job {name}: its name does not end in the release {release()}, so a new release could not be applied"


def _image(image: str) -> Iterator[str]:
    match = TAG.match(image)
    if match is None or match["tag"] in MOVING:
        yield f"image {image!r} has no pinned tag"
        return
    own = OWN_IMAGE.search(image)
    if own is not None and own["tag"].removesuffix("-cuda") != release():
        yield f"image {image!r} is not of release {release()}"


def privileges(deployed: Deployed) -> Iterator[str]:
    """No pod runs as root, writes its root file system, gains privileges, or is told of other services."""
    for pod in _ours(deployed):
        whole = pod.spec.get("securityContext", {})
        if not whole.get("runAsNonRoot"):
            yield f"{pod.where}: runAsNonRoot is not set"
        if not whole.get("runAsUser"):
            yield f"{pod.where}: runAsUser is no user id other than root's"
        if whole.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{pod.where}: seccompProfile is not RuntimeDefault"
        if pod.name not in TALKS_TO_KUBERNETES and pod.spec.get("automountServiceAccountToken", True):
            yield f"{pod.where}: it is given a token of the Kubernetes API, which it has no use for"
        if pod.spec.get("enableServiceLinks", True):
            yield f"{pod.where}: enableServiceLinks is on: a service octavia-api would set OCTAVIA_API_PORT"
    for pod, container in _containers(deployed):
        context = container.get("securityContext", {})
        name = f"{pod.where}, {container['name']}"
        if context.get("allowPrivilegeEscalation", True):
            yield f"{name}: allowPrivilegeEscalation is not false"
        if not context.get("readOnlyRootFilesystem"):
            yield f"{name}: readOnlyRootFilesystem is not set"
        if "ALL" not in context.get("capabilities", {}).get("drop", ()):
            yield f"{name}: capabilities are not dropped"
        if context.get("runAsUser") == 0 or context.get("privileged"):
            yield f"{name}: it runs as root"


def resources(deployed: Deployed) -> Iterator[str]:
    """Every container says what it needs and what it may take; volumes in memory or on the node are bounded."""
    for pod, container in _containers(deployed):
        wanted = container.get("resources", {})
        for kind, name in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
            if name not in wanted.get(kind, {}):
                yield f"{pod.where}, {container['name']}: resources.{kind}.{name} is missing"
    for pod in _ours(deployed):
        volumes = {volume["name"]: volume for volume in pod.spec.get("volumes", ())}
        volumes |= {each["metadata"]["name"]: each for each in _templates(deployed, pod)}
        for volume in volumes.values():
            if "emptyDir" in volume and "sizeLimit" not in (volume["emptyDir"] or {}):
                yield f"{pod.where}: the volume {volume['name']} has no sizeLimit"
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            if claim is not None and deployed.find("PersistentVolumeClaim", claim) is None:
                yield f"{pod.where}: there is no PersistentVolumeClaim {claim}"
        for container in pod.every_container:
            for mount in container.get("volumeMounts", ()):
                if mount["name"] not in volumes:
                    yield f"{pod.where}, {container['name']}: there is no volume {mount['name']}"


def _templates(deployed: Deployed, pod: Pod) -> Iterable[Mapping[str, Any]]:
    made_by = deployed.find(pod.kind, pod.name)
    found: Iterable[Mapping[str, Any]] = (made_by or {}).get("spec", {}).get("volumeClaimTemplates", ())
    return found


def probes(deployed: Deployed) -> Iterator[str]:
    """What lasts says whether it lives, and whether it may be asked, at routes that are there."""
    for pod in _ours(deployed):
        if not pod.lasting:
            continue
        for container in pod.containers:
            name = f"{pod.where}, {container['name']}"
            if not any(probe in container for probe in ("livenessProbe", "readinessProbe")):
                yield f"{name}: it has no probe"
            if pod.component == "api" and "readinessProbe" not in container:
                yield f"{name}: it has no readinessProbe, so it is asked before it can answer"
            for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
                yield from (f"{name}, {kind}: {wrong}" for wrong in _probe(pod, container.get(kind, {})))


def _probe(pod: Pod, probe: Mapping[str, Any]) -> Iterator[str]:
    for place in (probe.get("httpGet"), probe.get("tcpSocket")):
        if place is not None and pod.port(place["port"]) is None:
            yield f"there is no port {place['port']}"
    if "httpGet" in probe:
        path, number = probe["httpGet"]["path"], pod.port(probe["httpGet"]["port"])
        if number is not None and path not in answered(pod.component, number):
            yield f"nothing answers GET {path} at port {number}"
    command = probe.get("exec", {}).get("command")
    if command is not None and command[0] not in COMMANDS:
        yield f"{command[0]} is in no image"


def signals(deployed: Deployed) -> Iterator[str]:
    """A signal to end reaches the program, not a shell that waits for it: what a shell starts takes its place."""
    for pod in _ours(deployed):
        for container in pod.containers if pod.lasting else ():
            command = [*container.get("command", ()), *container.get("args", ())]
            if not SHELL.search(" ".join(command[:2])):
                continue
            last = re.split(r"&&|;|\n", command[-1].strip())[-1].strip()
            if not last.startswith("exec ") or "|" in last:
                yield f"{pod.where}, {container['name']}: SIGTERM ends a shell, and what it runs is killed: end by exec"


def nothing_secret(deployed: Deployed) -> Iterator[str]:
    """Secrets are named, never written down."""
    for secret in deployed.of("Secret"):
        yield f"Secret {secret['metadata']['name']}: a secret has no place among manifests; make it elsewhere"
    for source in deployed.of("ConfigMap"):
        yield from _secret(f"ConfigMap {source['metadata']['name']}", source.get("data", {}))
    for pod, container in _containers(deployed):
        plain = {each["name"]: each["value"] for each in container.get("env", ()) if "value" in each}
        yield from _secret(f"{pod.where}, {container['name']}", plain)
        for argument in chain(container.get("command", ()), container.get("args", ())):
            if SECRET_VALUE.search(argument):
                yield f"{pod.where}, {container['name']}: an argument holds a secret"


def _secret(where: str, values: Mapping[str, str]) -> Iterator[str]:
    for name, value in values.items():
        if (SECRET_NAME.search(name) and name not in NO_SECRET) or SECRET_VALUE.search(value):
            yield f"{where}: {name} is a secret and stands there in plain text: use secretKeyRef"


def spread(deployed: Deployed) -> Iterator[str]:
    """What there may be several of does not sit on one node."""
    for pod in deployed.pods:
        if pod.kind != "Deployment" or pod.component not in ("api", "worker"):
            continue
        constraints = pod.spec.get("topologySpreadConstraints", ())
        if not constraints:
            yield f"{pod.where}: it has no topologySpreadConstraints"
        for each in constraints:
            labels = each.get("labelSelector", {}).get("matchLabels", {})
            if not labels.items() <= dict(pod.labels).items():
                yield f"{pod.where}: a topologySpreadConstraint looks at other pods than its own"


def _ours(deployed: Deployed) -> list[Pod]:
    """Every pod but those whose operator writes their spec."""
    return [pod for pod in deployed.pods if pod.kind != "Cluster"]


def _containers(deployed: Deployed) -> Iterator[tuple[Pod, Mapping[str, Any]]]:
    for pod in _ours(deployed):
        for container in pod.every_container:
            yield pod, container
