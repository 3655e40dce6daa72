"""What Prometheus makes of our pods by monitoring/kubernetes.yml, said by promtool itself.

Debian's Prometheus is built without Kubernetes' discovery, so the pods are handed to it as that would: with its labels.
"""

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.kubernetes.generate import OVERLAYS
from scripts.kubernetes.manifests import Deployed, Pod, selects
from tests.fixtures_monitoring import MONITORING, alerts

Overlay = Callable[[str], Deployed]
META = "__meta_kubernetes_pod_"
DISCOVERY = "kubernetes_sd_configs"


def configured(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((MONITORING / name).read_text(encoding="utf-8"))
    return found


def the_job() -> dict[str, Any]:
    (job,) = configured("kubernetes.yml")["scrape_configs"]
    assert isinstance(job, dict)
    return job


def labelled(kind: str, values: Mapping[str, str]) -> dict[str, str]:
    return {f"{META}{kind}_{re.sub(r'[^a-zA-Z0-9_]', '_', name)}": value for name, value in values.items()}


def offered(pod: Pod, address: str, phase: str = "Running") -> Iterator[dict[str, Any]]:
    """The targets of a pod as Prometheus' discovery offers them: each port of each container, or the container."""
    known = {f"{META}name": f"{pod.name}-abc", f"{META}node_name": "node-1", f"{META}phase": phase}
    known |= labelled("label", pod.labels) | labelled("annotation", pod.annotations)
    for container in pod.every_container:
        own = known | {f"{META}container_name": container["name"]}
        for port in container.get("ports", ()):
            number = str(port["containerPort"])
            yield {"targets": [f"{address}:{number}"], "labels": own | {f"{META}container_port_number": number}}
        if not container.get("ports"):
            yield {"targets": [address], "labels": own}


def found(folder: Path, targets: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The labels of the targets that are scraped."""
    job = {key: value for key, value in the_job().items() if key != DISCOVERY} | {"static_configs": targets}
    (folder / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": [job]}))
    said = promtool(folder, "check", "service-discovery", "--timeout=1s", "prometheus.yml", job["job_name"])
    return [each["labels"] for each in json.loads(said) if each["labels"]]


def promtool(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["promtool", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_finds_nothing_wrong_with_the_config_but_for_the_discovery_it_was_built_without(
    tmp_path: Path,
) -> None:
    config = configured("kubernetes.yml")
    (job,) = config["scrape_configs"]
    (discovery,) = job.pop(DISCOVERY)
    (tmp_path / "kubernetes.yml").write_text(yaml.safe_dump(config))
    (tmp_path / "alerts.yml").write_text((MONITORING / "alerts.yml").read_text())
    promtool(tmp_path, "check", "config", "kubernetes.yml")
    assert discovery["role"] == "pod"
    assert discovery["namespaces"] == {"names": ["octavia"]}
    assert discovery["selectors"] == [{"role": "pod", "label": "app.kubernetes.io/name=octavia"}]


def test_on_one_machine_and_in_a_cluster_metrics_get_the_same_names() -> None:
    (models,) = [job for job in configured("prometheus.yml")["scrape_configs"] if job["job_name"] == "octavia-models"]
    assert the_job()["metric_relabel_configs"] == models["metric_relabel_configs"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_pod_of_both_planes_is_scraped_once_under_the_job_that_alerts_and_dashboards_ask_for(
    overlay: Overlay, tmp_path: Path, name: str
) -> None:
    pods = list(overlay(name).pods)
    targets = [each for pod, number in zip(pods, count(1), strict=False) for each in offered(pod, f"10.0.0.{number}")]
    scraped = found(tmp_path, targets)
    at = {f"10.0.0.{number}": pod for pod, number in zip(pods, count(1), strict=False)}
    told = {labels["instance"]: labels for labels in scraped}
    assert len(told) == len(scraped)
    assert set(told) == {f"{pod.name}-abc" for pod in pods if pod.component in ("api", "worker", "models")}
    for labels in scraped:
        address, _, port = labels["__address__"].rpartition(":")
        pod = at[address]
        assert labels["instance"] == f"{pod.name}-abc"
        assert labels["job"] == f"octavia-{pod.component}"
        assert (labels["__metrics_path__"], int(port)) == ("/metrics", pod.port("metrics"))
    assert {labels["job"] for labels in scraped} == asked_for()


def asked_for() -> set[str]:
    """The jobs of the example for one machine, among which are those that rules and dashboards name."""
    names = {job["job_name"] for job in configured("prometheus.yml")["scrape_configs"]}
    panels = [file.read_text(encoding="utf-8") for file in (MONITORING / "dashboards").glob("*.json")]
    texts = [rule["expr"] for rule in alerts().values()] + panels
    named = {job for text in texts for job in re.findall(r'job=\\?"(octavia-\w+)', text)}
    assert {"octavia-api", "octavia-models"} <= named <= names
    return names


def test_a_pod_that_does_not_run_is_not_down(overlay: Overlay, tmp_path: Path) -> None:
    pods, phases = overlay("gpu").pods, ("Pending", "Succeeded", "Failed")
    targets = [each for phase in phases for pod in pods for each in offered(pod, "10.0.0.1", phase)]
    assert found(tmp_path, targets) == []


def spelt(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rules of relabelling as the Prometheus Operator spells their keys."""
    return [{re.sub(r"_(.)", lambda found: found[1].upper(), key): rule[key] for key in rule} for rule in rules]


def test_the_prometheus_operator_finds_the_same_pods_and_names_them_alike(ours: Deployed) -> None:
    monitor = ours.find("PodMonitor", "octavia")
    assert monitor is not None
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    by_annotations = [rule for rule in the_job()["relabel_configs"] if "annotation" not in str(rule)]
    assert endpoint["relabelings"] == spelt(by_annotations)
    assert endpoint["metricRelabelings"] == spelt(the_job()["metric_relabel_configs"])
    chosen = [pod for pod in ours.pods if selects(monitor["spec"]["selector"], pod.labels)]
    annotated = [pod for pod in ours.pods if pod.annotations.get("prometheus.io/scrape") == "true"]
    assert chosen == annotated
    for pod in chosen:
        assert str(pod.port(endpoint["port"])) == pod.annotations["prometheus.io/port"]
        assert endpoint["path"] == pod.annotations["prometheus.io/path"]


def test_the_prometheus_operator_gets_the_alerts_as_they_are(ours: Deployed) -> None:
    rule = ours.find("PrometheusRule", "octavia")
    assert rule is not None
    assert rule["spec"] == configured("alerts.yml")
