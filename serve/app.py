"""Builds the Ray Serve application from model_repo/ and serve.yaml."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from ray import serve
from ray.serve import Application
from ray.serve.schema import DeploymentSchema, ServeApplicationSchema, ServeDeploySchema

from serve.backends import APPLICATION
from serve.catalogue import CatalogueEntry
from serve.deployments import ModelReplica, Protocol
from serve.graph import ENSEMBLE
from serve.models import BY_CHOICE, CLASSES
from serve.repository import ModelSpec, RepositoryError, read_repository, stuck_s
from serve.settings import ServeSettings, get_settings
from serve.weights import selection_for

INGRESS = "protocol"

__all__ = ["APPLICATION", "INGRESS", "assemble", "build", "check_drain", "options", "read_config"]


def read_config(path: Path) -> ServeDeploySchema:
    """serve.yaml as Ray validates it; ValueError when a value is not Ray's, or a key, which Ray itself would ignore."""
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    config: ServeDeploySchema = ServeDeploySchema.model_validate(raw)
    _known(raw, ServeDeploySchema, path)
    for application in raw["applications"]:
        _known(application, ServeApplicationSchema, path)
        for deployment in application.get("deployments", ()):
            _known(deployment, DeploymentSchema, path)
    return config


def _known(raw: Mapping[str, Any], schema: type[BaseModel], path: Path) -> None:
    unknown = sorted(set(raw) - set(schema.model_fields))
    if unknown:
        raise ValueError(f"{path}: {schema.__name__} of Ray Serve has no key {unknown[0]!r}")


def options(application: ServeApplicationSchema) -> dict[str, dict[str, Any]]:
    """Each deployment's settings of the file, as Deployment.options takes them."""
    return {d.name: d.model_dump(exclude_unset=True, exclude={"name"}) for d in application.deployments}


def check_drain(spec: ModelSpec, deployment: Mapping[str, Any]) -> None:
    """ValueError when a replica that is told to stop would be killed before its longest request has ended."""
    longest = (spec.queue_timeout_s or 0.0) + stuck_s(spec)
    drain = deployment.get("graceful_shutdown_timeout_s", longest + 1)
    if drain <= longest:
        raise ValueError(
            f"{spec.name}: graceful_shutdown_timeout_s is {drain:g}, but a request may wait and run for {longest:g} s "
            "(queue timeout and stuck_s in config.pbtxt): raise it"
        )


def build(arguments: Mapping[str, Any]) -> Application:
    """The application: a deployment per model of model_repo/, and in front of them the protocol, which runs ensembles.

    Ray Serve calls this as serve.yaml's import_path and then applies the file's deployment settings itself; arguments
    are the file's `args`. Raises RepositoryError or WeightsError.
    """
    del arguments
    return assemble(get_settings(), {})


def assemble(settings: ServeSettings, overrides: Mapping[str, Mapping[str, Any]]) -> Application:
    """As `build`, with each deployment's settings given by its name."""
    specs = read_repository(settings.model_repo)
    single = {name: spec for name, spec in specs.items() if spec.platform != ENSEMBLE}
    without = sorted(name for name, spec in single.items() if name not in CLASSES and "class" not in spec.parameters)
    if without:
        raise RepositoryError(f"{settings.model_repo}: no class serves the model {', '.join(without)}")
    entries: list[CatalogueEntry] = selection_for(specs, settings)
    absent = {name: missing(settings, name) for name in without_weights(single, entries)}
    handles = {}
    for name, spec in single.items():
        if name in absent:
            continue
        check_drain(spec, overrides.get(name, {}))
        own = [entry for entry in entries if entry.model == name]
        deployment = serve.deployment(name=name)(ModelReplica).options(**overrides.get(name, {}))
        handles[name] = deployment.bind(spec, own, settings)
    ingress = serve.deployment(name=INGRESS)(Protocol).options(**overrides.get(INGRESS, {}))
    served = {name: spec for name, spec in specs.items() if name not in absent}
    return ingress.bind(served, absent, **handles)


def without_weights(specs: Iterable[str], entries: Sequence[CatalogueEntry]) -> list[str]:
    """The models that are served by choice and for which no weights were chosen."""
    return [name for name in specs if name in BY_CHOICE and all(entry.model != name for entry in entries)]


def missing(settings: ServeSettings, name: str) -> str:
    """Why a model has no weights, and what to do."""
    if getattr(settings, name):
        return f"the weights in {BY_CHOICE[name]} are not cleared for paid use: allow them in OCTAVIA_ALLOW_WEIGHTS"
    return f"no weights configured: set {BY_CHOICE[name]} to what the catalogue has for it (octavia models list)"
