"""The shape of manifests: Kubernetes' own kinds by its published schemas, custom resources by ours in k8s/schemas/,
which know the fields we use and refuse every other."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import kubernetes_validate
from jsonschema import Draft202012Validator

from scripts.kubernetes.generate import K8S
from scripts.kubernetes.manifests import Deployed
from scripts.kubernetes.render import Manifest

KUBERNETES = "1.34"
"""What the manifests are for. Older ones from 1.30 on (a preStop that sleeps) take them too."""


def schemas(deployed: Deployed) -> Iterator[str]:
    """Every manifest has the shape of its kind, and none a field that its kind does not know."""
    seen = set()
    for manifest in deployed.manifests:
        name = f"{manifest.get('kind')} {manifest.get('metadata', {}).get('name')}"
        if name in seen:
            yield f"{name}: it is there twice"
        seen.add(name)
        yield from (f"{name}: {wrong}" for wrong in _wrong(manifest))


def _wrong(manifest: Manifest) -> Iterator[str]:
    own = own_schemas().get((manifest.get("apiVersion", ""), manifest.get("kind", "")))
    if own is None:
        yield from _not_kubernetes(manifest)
        return
    errors = sorted(own.iter_errors(manifest), key=lambda error: error.json_path)
    yield from (f"{error.json_path.removeprefix('$.')}: {error.message}" for error in errors)
    if not errors and manifest["kind"] == "RayService":
        yield from _templates(manifest)


def _templates(service: Manifest) -> Iterator[str]:
    """A RayService holds whole templates of pods, which are Kubernetes' own."""
    cluster = service["spec"]["rayClusterConfig"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        template = group["template"]
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "node"} | template.get("metadata", {})}
        name = group.get("groupName", "head")
        yield from (f"{name}: {wrong}" for wrong in _not_kubernetes(pod | {"spec": template["spec"]}))


def _not_kubernetes(manifest: Manifest) -> Iterator[str]:
    yield from _complaints(json.dumps(manifest, sort_keys=True))


@cache
def _complaints(text: str) -> tuple[str, ...]:
    """Kept, for reading Kubernetes' schemas takes longer than everything else together."""
    return tuple(_validated(json.loads(text)))


def _validated(manifest: Manifest) -> Iterator[str]:
    try:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        path = ".".join(str(step) for step in error.path)
        yield f"{path}: {error.message}" if path else str(error.message)
    except kubernetes_validate.SchemaNotFoundError:
        yield f"there is no schema for {manifest.get('apiVersion')} {manifest.get('kind')}: add one to k8s/schemas"


@cache
def own_schemas() -> Mapping[tuple[str, str], Draft202012Validator]:
    """Ours by apiVersion and kind."""
    found = {}
    for path in sorted((K8S / "schemas").glob("*.json")):
        schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        Draft202012Validator.check_schema(schema)
        properties = schema["properties"]
        found[properties["apiVersion"]["const"], properties["kind"]["const"]] = Draft202012Validator(schema)
    return found
