"""What is made, not written: each overlay's Serve config, from serve/serve.yaml and k8s/models.yaml, the environment of
the model plane's pods, from serve/environment.py, and the alerts as the Prometheus Operator takes them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from serve.environment import ENVIRONMENT

CHECKOUT = Path(__file__).resolve().parents[2]
K8S = CHECKOUT / "k8s"
SERVE_YAML = CHECKOUT / "serve" / "serve.yaml"
CHANGES = K8S / "models.yaml"
ENVIRONMENT_FILE = K8S / "base" / "environment.env"
ALERTS = CHECKOUT / "monitoring" / "alerts.yml"
OF_THE_OPERATOR = K8S / "components" / "prometheus-operator" / "rules.yaml"
OVERLAYS = ("single-node", "gpu", "production")

LOOPBACK_ONLY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"}
"""What keeps a machine's own Ray on loopback, where the nodes of a cluster could not reach it."""

OF_PODS = {
    "RAY_TMPDIR": "/tmp/ray",  # noqa: S108 - a volume of the pod
    "HOME": "/tmp",  # noqa: S108
    "NUMBA_CACHE_DIR": "/tmp/numba",  # noqa: S108
}
"""What the pods need beside it: the root file system is read-only."""

NOTE = "# Made by `python -m scripts.kubernetes generate` from {sources}. Do not edit."

Config = dict[str, Any]


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> Config:
    """`base` with `changes`: tables are merged, None takes a key away, everything else replaces.

    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"c": None}, "d": 3})
    {'a': {'b': 1}, 'd': 3}
    """
    result = dict(base)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            result[key] = merged(result.get(key) or {}, value)
        else:
            result[key] = value
    return result


def serve_config(base: Mapping[str, Any], changes: Mapping[str, Any], overlay: str) -> Config:
    """The Serve config of an overlay. KeyError for an overlay that `changes` does not have, ValueError for a deployment
    that `base` does not have."""
    config = dict(base)
    for part in (changes["everywhere"], changes[overlay]):
        config = _changed(config, part)
    return config


def _changed(config: Config, part: Mapping[str, Any]) -> Config:
    (application,) = config["applications"]
    deployments = {each["name"]: each for each in application["deployments"]}
    of_deployments: Mapping[str, Any] = part.get("deployments", {})
    unknown = sorted(set(of_deployments) - set(deployments))
    if unknown:
        raise ValueError(f"{CHANGES.name}: there is no deployment {unknown[0]!r} in {SERVE_YAML.name}")
    changed = merged(deployments, of_deployments)
    outside = merged(config, {key: value for key, value in part.items() if key != "deployments"})
    return outside | {"applications": [application | {"deployments": list(changed.values())}]}


class _Text(str):
    """A string that is written as a block of lines."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        del indentless
        super().increase_indent(flow, False)


_Dumper.add_representer(_Text, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|"))


def written(value: object) -> str:
    """YAML in the order given."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
    return text


def patch(config: Mapping[str, Any]) -> str:
    """The patch that puts a Serve config into the RayService."""
    note = NOTE.format(sources="serve/serve.yaml and k8s/models.yaml")
    resource = {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": "octavia-models"},
        "spec": {"serveConfigV2": _Text(written(config))},
    }
    return f"{note}\n{written(resource)}"


def environment() -> str:
    """The environment of the pods, as a file for a ConfigMap."""
    values = {name: value for name, value in ENVIRONMENT.items() if name not in LOOPBACK_ONLY} | OF_PODS
    lines = [f"{name}={value}" for name, value in sorted(values.items())]
    return "\n".join([NOTE.format(sources="serve/environment.py"), *lines, ""])


def alerts() -> str:
    """The alert rules as a resource of the Prometheus Operator's."""
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "octavia", "labels": {"app.kubernetes.io/name": "octavia"}},
        "spec": yaml.safe_load(ALERTS.read_text(encoding="utf-8")),
    }
    return f"{NOTE.format(sources='monitoring/alerts.yml')}\n{written(resource)}"


def everything() -> dict[Path, str]:
    """Every file that is made, and what it holds."""
    base, changes = (yaml.safe_load(path.read_text(encoding="utf-8")) for path in (SERVE_YAML, CHANGES))
    made = {K8S / "overlays" / each / "serve.yaml": patch(serve_config(base, changes, each)) for each in OVERLAYS}
    return made | {ENVIRONMENT_FILE: environment(), OF_THE_OPERATOR: alerts()}
