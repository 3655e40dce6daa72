"""What Prometheus finds by monitoring/kubernetes.yml."""

from collections.abc import Iterator

from scripts.kubernetes.manifests import Deployed, Pod
from scripts.kubernetes.rules_network import Peer, allowed, beside

WATCHED = ("api", "worker", "models")
"""Components whose metrics alerts and dashboards ask for, as jobs octavia-…."""
PORT = "metrics"


def scraped(deployed: Deployed) -> Iterator[str]:
    """Annotations lead Prometheus to the port `metrics` of a container; metrics are told there, and it may ask."""
    for component in WATCHED:
        for pod in deployed.pods_of(component):
            yield from (f"{pod.where}: {wrong}" for wrong in _wrong(deployed, pod))


def _wrong(deployed: Deployed, pod: Pod) -> Iterator[str]:
    said, there = pod.annotations, pod.port(PORT)
    if said.get("prometheus.io/scrape") != "true":
        yield 'prometheus.io/scrape is not "true", so Prometheus does not find it'
    elif there is None or said.get("prometheus.io/port") != str(there):
        yield f"prometheus.io/port is {said.get('prometheus.io/port')}, but its port {PORT} is {there}"
    elif said.get("prometheus.io/path", "/metrics") != "/metrics":
        yield f"prometheus.io/path is {said['prometheus.io/path']}, but metrics are told at /metrics"
    elif not allowed(deployed, beside("monitoring"), Peer(pod.name, pod.labels), there):
        yield f"no NetworkPolicy lets monitoring reach its port {there}"
    if pod.component != "models":
        told = deployed.config(pod.containers[0]).get("OCTAVIA_METRICS_PORT")
        if told != str(there):
            yield f"its metrics are told at port {told} (OCTAVIA_METRICS_PORT), but its port {PORT} is {there}"
