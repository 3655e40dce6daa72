"""Who may talk to whom, worked out from the NetworkPolicies as the cluster does; and the services in between."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from scripts.kubernetes.manifests import CLUSTER, COMPONENT, Deployed, selects

OF_OPERATORS = ("app.kubernetes.io/", "cnpg.io/")
NAMESPACE = "kubernetes.io/metadata.name"


@dataclass(frozen=True)
class Peer:
    """One end of a connection: a component of ours, a namespace beside ours, or an address outside of all pods."""

    name: str
    labels: Mapping[str, str] | None = None
    namespace: str | None = None
    address: str | None = None


def _ours(component: str, **more: str) -> Peer:
    labels = {"app.kubernetes.io/name": "octavia", COMPONENT: component}
    return Peer(component, labels | {key.replace("_", "/", 1): value for key, value in more.items()})


API, WORKER, MIGRATE, WEIGHTS = (_ours(name) for name in ("api", "worker", "migrate", "weights"))
DATABASE, VALKEY = _ours("database"), _ours("valkey")
INSTANCE = Peer("database", {CLUSTER: "octavia-db", "cnpg.io/podRole": "instance"})
JOINING = Peer("database (joining)", {CLUSTER: "octavia-db", "cnpg.io/jobRole": "join"})
HEAD = Peer("models (head)", {**(_ours("models").labels or {}), "ray.io/node-type": "head"})
NODE = Peer("models (node)", {**(_ours("models").labels or {}), "ray.io/node-type": "worker"})
INTERNET = Peer("the internet", address="203.0.113.7")
METADATA = Peer("the cloud's metadata", address="169.254.169.254")
PRIVATE = Peer("a private address", address="10.1.2.3")
NAMES = Peer("kube-system", namespace="kube-system")
KUBERNETES = Peer("the Kubernetes API", namespace="default")
NODES_NAMES = Peer("NodeLocal DNSCache", address="169.254.20.10")


def beside(name: str) -> Peer:
    return Peer(name, namespace=name)


NEEDED: Sequence[tuple[Peer, Peer, int]] = (
    (beside("ingress-nginx"), API, 8000),
    *((each, names, 53) for each in (API, WORKER, MIGRATE, WEIGHTS, HEAD, NODE) for names in (NAMES, NODES_NAMES)),
    *((each, database, 5432) for each in (API, WORKER, MIGRATE) for database in (DATABASE, INSTANCE)),
    *((each, INSTANCE, 5432) for each in (INSTANCE, JOINING)),
    *((each, NAMES, 53) for each in (INSTANCE, JOINING)),
    *((each, KUBERNETES, 6443) for each in (INSTANCE, JOINING, HEAD)),
    (beside("cnpg-system"), INSTANCE, 8000),
    (beside("monitoring"), INSTANCE, 9187),
    *((each, NODE, 8101) for each in (API, WORKER)),
    *((each, INTERNET, 443) for each in (API, WORKER, WEIGHTS)),
    *((WORKER, INTERNET, port) for port in (8443, 465, 587)),
    (NODE, HEAD, 6379),
    (HEAD, NODE, 10_002),
    (NODE, NODE, 30_000),
    *((beside("kuberay-system"), each, 8100) for each in (HEAD, NODE)),
    (beside("kuberay-system"), HEAD, 8265),
    *((beside("monitoring"), each, 8102) for each in (HEAD, NODE)),
    *((beside("monitoring"), each, 8003) for each in (API, WORKER)),
    *((each, beside("monitoring"), 4318) for each in (API, WORKER, NODE)),
    (HEAD, VALKEY, 6379),
    (NODE, VALKEY, 6379),
)
"""Connections that must be possible, where both ends are there."""

FORBIDDEN: Sequence[tuple[Peer, Peer, int]] = (
    *((INTERNET, each, port) for each, port in ((API, 8000), (NODE, 8101), (HEAD, 8265))),
    *((each, database, 5432) for each in (INTERNET, NODE, WEIGHTS) for database in (DATABASE, INSTANCE)),
    *((beside("ingress-nginx"), each, port) for each, port in ((NODE, 8100), (NODE, 8101), (HEAD, 8265))),
    (beside("default"), API, 8000),
    (beside("ingress-nginx"), API, 8003),
    (beside("default"), NODE, 8101),
    (API, HEAD, 8265),
    (WORKER, HEAD, 10_001),
    (NODE, INTERNET, 443),
    *((each, METADATA, 80) for each in (API, WORKER, WEIGHTS, HEAD, NODE)),
    *((each, PRIVATE, 443) for each in (API, WORKER, WEIGHTS, NODE)),
    (WORKER, NODES_NAMES, 443),
    (API, VALKEY, 6379),
    (WORKER, API, 8000),
)
"""Connections that must not be."""


def denied_by_default(deployed: Deployed) -> Iterator[str]:
    """One policy denies everything to every pod, both ways."""
    for policy in deployed.of("NetworkPolicy"):
        spec = policy["spec"]
        silent = not spec.get("ingress") and not spec.get("egress")
        if spec.get("podSelector") == {} and set(spec.get("policyTypes", ())) == {"Ingress", "Egress"} and silent:
            return
    yield "NetworkPolicy: none denies everything by default"


def selections(deployed: Deployed) -> Iterator[str]:
    """A policy or service that selects no pod is misspelt."""
    for each in deployed.of("NetworkPolicy"):
        if not any(selects(each["spec"]["podSelector"], pod.labels) for pod in deployed.pods):
            yield f"NetworkPolicy {each['metadata']['name']}: its podSelector matches no pod"
    for each in deployed.of("Service"):
        where, selector = f"Service {each['metadata']['name']}", {"matchLabels": each["spec"].get("selector", {})}
        pods = [pod for pod in deployed.pods if selects(selector, pod.labels)]
        if not pods:
            yield f"{where}: its selector matches no pod"
        for port in each["spec"]["ports"]:
            target = port.get("targetPort", port["port"])
            yield from (f"{where}: {pod.where} has no port {target}" for pod in pods if pod.port(target) is None)


def flows(deployed: Deployed) -> Iterator[str]:
    """What must be able to talk can; what must not cannot."""
    for source, target, port in NEEDED:
        if _there(deployed, source) and _there(deployed, target) and not allowed(deployed, source, target, port):
            yield f"NetworkPolicy: {source.name} cannot reach {target.name} at port {port}"
    for database in (DATABASE, INSTANCE):
        asked = deployed.find("ScaledObject", "octavia-worker") and _there(deployed, database)
        if asked and not allowed(deployed, beside("keda"), database, 5432):
            yield "NetworkPolicy: keda cannot reach database at port 5432"
    for source, target, port in FORBIDDEN:
        if _there(deployed, source) and _there(deployed, target) and allowed(deployed, source, target, port):
            yield f"NetworkPolicy: {source.name} can reach {target.name} at port {port}, and must not"


def left_to_operators(deployed: Deployed) -> Iterator[str]:
    """CloudNativePG finds volumes and pods by labels of its own, which inheritedMetadata would overwrite: its backups
    then wait for ever (https://github.com/cloudnative-pg/cloudnative-pg/issues/9920)."""
    for cluster in deployed.of("Cluster"):
        for label in cluster["spec"].get("inheritedMetadata", {}).get("labels", {}):
            if label.startswith(OF_OPERATORS):
                yield f"Cluster {cluster['metadata']['name']}: inheritedMetadata overwrites {label}, the operator's own"


def _there(deployed: Deployed, peer: Peer) -> bool:
    return peer.labels is None or any(peer.labels.items() <= dict(pod.labels).items() for pod in deployed.pods)


def allowed(deployed: Deployed, source: Peer, target: Peer, port: int) -> bool:
    """Whether every policy there is lets `source` connect to `target`: the one's egress and the other's ingress."""
    policies = list(deployed.of("NetworkPolicy"))
    out = _lets(policies, "Egress", source, target, port)
    return out and _lets(policies, "Ingress", target, source, port)


def _lets(policies: Sequence[Mapping[str, Any]], way: str, of: Peer, other: Peer, port: int) -> bool:
    if of.labels is None:  # not ours to rule
        return True
    own = [each["spec"] for each in policies if selects(each["spec"]["podSelector"], of.labels)]
    ruling = [spec for spec in own if way in spec.get("policyTypes", ["Ingress"])]
    if not ruling:
        return True
    key, ends = ("egress", "to") if way == "Egress" else ("ingress", "from")
    rules = [rule for spec in ruling for rule in spec.get(key, ())]
    return any(_ports(rule, port) and _matches(rule.get(ends), other) for rule in rules)


def _ports(rule: Mapping[str, Any], port: int) -> bool:
    ports = rule.get("ports")
    return not ports or any(each.get("port") in (None, port) for each in ports)


def _matches(ends: Sequence[Mapping[str, Any]] | None, other: Peer) -> bool:
    return not ends or any(_is(end, other) for end in ends)


def _is(end: Mapping[str, Any], other: Peer) -> bool:
    if "ipBlock" in end:
        return other.address is not None and _within(end["ipBlock"], ip_address(other.address))
    if "namespaceSelector" in end:
        if other.namespace is None or "podSelector" in end:
            return False
        return selects(end["namespaceSelector"], {NAMESPACE: other.namespace})
    return other.labels is not None and selects(end["podSelector"], other.labels)


def _within(block: Mapping[str, Any], address: IPv4Address | IPv6Address) -> bool:
    inside = address in ip_network(block["cidr"])
    return inside and not any(address in ip_network(each) for each in block.get("except", ()))


def grpc(deployed: Deployed) -> Iterator[str]:
    """Calls are spread over the proxies: each has an address of its own, which the client is told by name."""
    service = deployed.find("Service", "octavia-models-grpc")
    if service is None:
        yield "Service octavia-models-grpc: it is missing"
        return
    if service["spec"].get("clusterIP") != "None":
        yield "Service octavia-models-grpc: clusterIP is not None: every connection would stay with one proxy for ever"
    port = service["spec"]["ports"][0]["port"]
    if deployed.serve.get("grpc_options", {}).get("port") != port:
        yield f"Service octavia-models-grpc: the proxies do not listen at its port {port}"
    if deployed.serve.get("http_options", {}).get("host") != "0.0.0.0":  # noqa: S104 - pods are reached from outside
        yield "serveConfigV2: http_options.host is not 0.0.0.0, so the probes reach nothing"
    if deployed.serve.get("proxy_location") != "EveryNode":
        yield "serveConfigV2: proxy_location is not EveryNode, but the head is kept from answering"
    address = f"dns:///octavia-models-grpc:{port}"
    for pod in (*deployed.pods_of("api"), *deployed.pods_of("worker")):
        told = deployed.config(pod.containers[0]).get("OCTAVIA_MODEL_ADDRESS")
        if told != address:
            yield f"{pod.where}: OCTAVIA_MODEL_ADDRESS is {told}, not {address}"
