"""Settings: each that a manifest names is there, all together are valid, and the start would not refuse them."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pydantic import TypeAdapter, ValidationError

from orchestrator.settings import Settings
from orchestrator.settings_check import missing
from scripts.kubernetes.manifests import Deployed, quantity
from serve.settings import ServeSettings

PREFIX = "OCTAVIA_"
CONFIGURED = ("api", "worker", "models", "weights")
"""Components that read one of the two ConfigMaps of settings."""
OF_LIBRARIES = {"AWS_REGION", "AWS_ENDPOINT", "AWS_ALLOW_HTTP", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
STAND_INS = {
    "OCTAVIA_DATABASE_URL": "postgresql://octavia:secret@octavia-db-rw/octavia",
    "OCTAVIA_JWT_SECRET": "thirty-two characters or more of it",
    "OCTAVIA_POLAR_ACCESS_TOKEN": "polar_oat_secret",
    "OCTAVIA_POLAR_WEBHOOK_SECRETS": '["a secret of polar"]',
}
"""In the place of secrets, for the settings to be complete."""

BODY_SIZES = ("nginx.ingress.kubernetes.io/proxy-body-size", "nginx.org/client-max-body-size")
UNBUFFERED = {
    "nginx.ingress.kubernetes.io/proxy-buffering": "off",
    "nginx.ingress.kubernetes.io/proxy-request-buffering": "off",
    "nginx.org/proxy-buffering": "false",
}
READ_TIMEOUTS = ("nginx.ingress.kubernetes.io/proxy-read-timeout", "nginx.org/proxy-read-timeout")


def named(deployed: Deployed) -> Iterator[str]:
    """A setting that a manifest gives is one that some program reads."""
    planes = {"models": ServeSettings, "weights": ServeSettings}
    for pod in deployed.pods:
        fields = planes.get(pod.component, Settings).model_fields
        for container in pod.every_container:
            given = {*deployed.config(container), *(each["name"] for each in container.get("env", ()))}
            for name in sorted(given):
                if name.startswith(PREFIX) and name.removeprefix(PREFIX).lower() not in fields:
                    yield f"{pod.where}, {container['name']}: there is no setting {name}"


def sources(deployed: Deployed) -> Iterator[str]:
    """A ConfigMap that a container reads is there."""
    for pod in deployed.pods:
        for container in pod.every_container:
            for source in container.get("envFrom", ()):
                name = source.get("configMapRef", {}).get("name", "")
                if deployed.find("ConfigMap", name) is None:
                    yield f"{pod.where}, {container['name']}: there is no ConfigMap {name!r}"


def valid(deployed: Deployed) -> Iterator[str]:
    """The programs would start with them."""
    for pod in deployed.pods:
        if pod.component not in CONFIGURED:
            continue
        container = pod.containers[0]
        secret = {
            each["name"]: STAND_INS.get(each["name"], "secret")
            for each in container.get("env", ())
            if "secretKeyRef" in each.get("valueFrom", {}) and not each["valueFrom"]["secretKeyRef"].get("optional")
        }
        with _environment(deployed.config(container) | secret):
            try:
                if pod.component in ("models", "weights"):
                    ServeSettings()
                    continue
                settings = Settings()
            except ValidationError as error:
                for each in error.errors():
                    yield f"{pod.where}: {PREFIX}{str(each['loc'][0]).upper()}: {each['msg']}"
                continue
        if settings.mode == "production":
            yield from (f"{pod.where}: {problem}" for problem in missing(settings))


def billing(deployed: Deployed) -> Iterator[str]:
    """Both planes agree on whether people pay: with jobs that cost credits, no weights load but cleared ones."""
    paying: set[str] = set()
    others: set[str] = set()
    for pod in deployed.pods:
        if pod.component in CONFIGURED:
            said = deployed.config(pod.containers[0]).get("OCTAVIA_BILLING", "false")
            (paying if TypeAdapter(bool).validate_python(said) else others).add(pod.component)
    if paying and others:
        on, off = (", ".join(sorted(each)) for each in (paying, others))
        yield f"OCTAVIA_BILLING is on for {on} and off for {off}: take the component billing, or neither"


def scratch(deployed: Deployed) -> Iterator[str]:
    """A worker measures its scratch folder by what the folder's volume may hold: at that the pod is evicted, not at the
    end of the node's disk."""
    for pod in deployed.pods_of("worker"):
        container = pod.containers[0]
        given = deployed.config(container)
        folder, told = given.get("OCTAVIA_SCRATCH_DIR"), given.get("OCTAVIA_SCRATCH_ROOM_BYTES")
        mounted = {each["mountPath"]: each["name"] for each in container.get("volumeMounts", ())}
        volumes = {each["name"]: each for each in pod.spec.get("volumes", ())}
        limit = volumes.get(mounted.get(folder, ""), {}).get("emptyDir", {}).get("sizeLimit")
        if told != (None if limit is None else str(quantity(limit))):
            there = (
                f"the volume at {folder} may hold {quantity(limit)} bytes"
                if limit
                else f"no volume at {folder} ends there"
            )
            yield f"{pod.where}: OCTAVIA_SCRATCH_ROOM_BYTES is {told or 'not set'}, but {there}"


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """These values alone in our own environment, for a while: pydantic-settings reads nothing else."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def ingress(deployed: Deployed) -> Iterator[str]:
    """The way in leads somewhere, by TLS, takes the largest upload, and neither collects nor cuts a stream."""
    api = next(iter(deployed.pods_of("api")), None)
    given = deployed.config(api.containers[0]) if api else {}
    most = int(given.get("OCTAVIA_MAX_VIDEO_BYTES", Settings.model_fields["max_video_bytes"].default))
    silence = float(given.get("OCTAVIA_SSE_HEARTBEAT_S", Settings.model_fields["sse_heartbeat_s"].default))
    for each in deployed.of("Ingress"):
        where = f"Ingress {each['metadata']['name']}"
        said = each["metadata"].get("annotations", {})
        hosts = {host for tls in each["spec"].get("tls", ()) for host in tls["hosts"]}
        for rule in each["spec"]["rules"]:
            if rule["host"] not in hosts:
                yield f"{where}: {rule['host']} has no TLS"
            for path in rule["http"]["paths"]:
                service = path["backend"]["service"]
                found = deployed.find("Service", service["name"])
                ports = {port.get("name") for port in (found or {}).get("spec", {}).get("ports", ())}
                if service["port"].get("name") not in ports:
                    yield f"{where}: there is no service {service['name']} with a port {service['port'].get('name')}"
        for name in BODY_SIZES:
            if _bytes(said.get(name, "1m")) <= most:
                yield f"{where}: {name} is less than the largest upload of {most} bytes"
        for name, value in UNBUFFERED.items():
            if said.get(name) != value:
                yield f"{where}: {name} is not {value}: uploads or event streams would be held up"
        for name in READ_TIMEOUTS:
            if float(said.get(name, "60").removesuffix("s")) < max(600, 2 * silence):
                yield f"{where}: {name} would cut event streams and long uploads"


def _bytes(size: str) -> int:
    units = {"k": 10, "m": 20, "g": 30}
    number, unit = (size[:-1], size[-1].lower()) if size[-1].isalpha() else (size, "")
    return int(number) << units.get(unit, 0)
