"""Manifests broken on purpose: for each the checks say what is wrong, and nothing else.

Beside how a manifest is broken stands what must be said of it, and after " || " what may be said too, for it follows.
"""

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from scripts.kubernetes.check import problems
from scripts.kubernetes.manifests import Deployed

Breaking = Callable[[Deployed], object]


def spec(deployed: Deployed, kind: str, name: str) -> Any:
    """The spec of a manifest, to be changed."""
    found = deployed.find(kind, name)
    assert found is not None
    return found["spec"]


def pod(deployed: Deployed, kind: str, name: str) -> Any:
    return spec(deployed, kind, name)["template"]["spec"]


def api(deployed: Deployed) -> Any:
    return pod(deployed, "Deployment", "octavia-api")["containers"][0]


def worker(deployed: Deployed) -> Any:
    return pod(deployed, "Deployment", "octavia-worker")["containers"][0]


def unset(container: Any, name: str) -> None:
    """Take a variable away from a container."""
    container["env"] = [each for each in container["env"] if each["name"] != name]


def cluster(deployed: Deployed) -> Any:
    return spec(deployed, "RayService", "octavia-models")["rayClusterConfig"]


def node(deployed: Deployed, group: str = "cpu") -> Any:
    (found,) = [each for each in cluster(deployed)["workerGroupSpecs"] if each["groupName"] == group]
    return found


def node_pod(deployed: Deployed) -> Any:
    return node(deployed)["template"]["spec"]


def serve(deployed: Deployed, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the embedded Serve config; its deployments by name are under "by_name" for as long."""
    models = spec(deployed, "RayService", "octavia-models")
    config = yaml.safe_load(models["serveConfigV2"])
    config["by_name"] = {each["name"]: each for each in config["applications"][0]["deployments"]}
    change(config)
    config["applications"][0]["deployments"] = list(config.pop("by_name").values())
    models["serveConfigV2"] = yaml.safe_dump(config)


def option(name: str, key: str, value: object) -> Breaking:
    """A deployment's setting of the Serve config."""
    return lambda d: serve(d, lambda config: config["by_name"][name].__setitem__(key, value))


def settings(deployed: Deployed, name: str) -> dict[str, str]:
    """A generated ConfigMap's data, by the beginning of its name."""
    (found,) = [each for each in deployed.of("ConfigMap") if re.fullmatch(rf"{name}-\w+", each["metadata"]["name"])]
    data: dict[str, str] = found["data"]
    return data


def annotations(deployed: Deployed) -> dict[str, str]:
    found = deployed.find("Ingress", "octavia-api")
    assert found is not None
    said: dict[str, str] = found["metadata"]["annotations"]
    return said


def scraping(deployed: Deployed) -> dict[str, str]:
    """What the API's pods say to Prometheus."""
    said: dict[str, str] = spec(deployed, "Deployment", "octavia-api")["template"]["metadata"]["annotations"]
    return said


def remove(deployed: Deployed, kind: str, name: str) -> None:
    found = deployed.find(kind, name)
    assert isinstance(deployed.manifests, list)
    deployed.manifests.remove(found)


def add(deployed: Deployed, manifest: dict[str, Any]) -> None:
    assert isinstance(deployed.manifests, list)
    deployed.manifests.append(manifest)


def change(of: Callable[[Deployed], Any], **values: object) -> Breaking:
    return lambda d: of(d).update(values)


def without(of: Callable[[Deployed], Any], key: str) -> Breaking:
    return lambda d: of(d).pop(key)


def budget(group: str, **given: object) -> Breaking:
    """A PodDisruptionBudget for a group of Ray's nodes, or the head."""
    manifest = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "octavia-models"},
        "spec": {"selector": {"matchLabels": {"octavia/group": group}}, **given},
    }
    return lambda d: add(d, copy.deepcopy(manifest))


def policy(name: str) -> Callable[[Deployed], Any]:
    return lambda d: spec(d, "NetworkPolicy", name)


SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "octavia"}, "stringData": {"a": "b"}}
OF_THE_INGRESS = {
    "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}}],
}
MONITOR = {
    "apiVersion": "monitoring.coreos.com/v1",
    "kind": "PodMonitor",
    "metadata": {"name": "a"},
    "spec": {"selector": {"matchLabels": {}}, "podMetricsEndpoints": [{"port": "metrics", "paths": "/metrics"}]},
}
UNKNOWN = {"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "a"}}

BROKEN: dict[str, tuple[Breaking, str]] = {
    # The shape of manifests
    "a field that its kind does not know": (
        change(lambda d: spec(d, "HorizontalPodAutoscaler", "octavia-api"), maxReplica=3),
        "HorizontalPodAutoscaler octavia-api: .*maxReplica",
    ),
    "a value of the wrong type": (
        change(lambda d: spec(d, "PodDisruptionBudget", "octavia-api"), minReadySeconds="soon"),
        "PodDisruptionBudget octavia-api: .*minReadySeconds",
    ),
    "a misspelt field of a RayService": (
        change(node, minReplica=1),
        r"RayService octavia-models: .*workerGroupSpecs\[0\].*'minReplica' was unexpected",
    ),
    "a misspelt field of a pod within a RayService": (
        change(node_pod, tolerationz=[]),
        "RayService octavia-models: cpu: .*tolerationz",
    ),
    "an unknown way of upscaling": (
        lambda d: cluster(d)["autoscalerOptions"].update(upscalingMode="Quick"),
        r"upscalingMode: 'Quick' is not one of",
    ),
    "a trigger of KEDA without a query": (
        lambda d: spec(d, "ScaledObject", "octavia-worker")["triggers"][0]["metadata"].pop("query"),
        "ScaledObject octavia-worker: .*'query' is a required property",
    ),
    "a misspelt field of a ScaledObject": (
        change(lambda d: spec(d, "ScaledObject", "octavia-worker"), maxReplicas=5),
        "ScaledObject octavia-worker: .*'maxReplicas' was unexpected",
    ),
    "a database of no instance": (
        change(lambda d: spec(d, "Cluster", "octavia-db"), instances=0),
        "Cluster octavia-db: .*instances: 0 is less than the minimum",
    ),
    "a misspelt field of a PodMonitor": (lambda d: add(d, MONITOR), "PodMonitor a: .*'paths' was unexpected"),
    "a kind without a schema": (lambda d: add(d, UNKNOWN), "Thing a: there is no schema for example.org/v1 Thing"),
    "a manifest that is there twice": (
        lambda d: add(d, copy.deepcopy(d.find("Service", "octavia-api") or {})),
        "Service octavia-api: it is there twice",
    ),
    # Pods
    "an image without a tag": (lambda d: api(d).update(image="registry/x"), "image 'registry/x' has no pinned tag"),
    "an image that moves": (
        lambda d: api(d).update(image="registry/x:latest"),
        "'registry/x:latest' has no pinned tag",
    ),
    "an image of another release": (
        lambda d: api(d).update(image="registry/octavia/orchestrator:v0.0.9"),
        r"'registry/octavia/orchestrator:v0\.0\.9' is not of release v",
    ),
    "a job that no new release could replace": (
        lambda d: (d.find("Job", "octavia-migrate-v0-1-0") or {})["metadata"].update(name="octavia-migrate"),
        "Job octavia-migrate: its name does not end in the release",
    ),
    "a pod that may be root": (
        lambda d: pod(d, "Deployment", "octavia-api")["securityContext"].update(runAsNonRoot=False),
        "Deployment octavia-api: runAsNonRoot is not set",
    ),
    "a pod that is root": (
        lambda d: pod(d, "Deployment", "octavia-api")["securityContext"].update(runAsUser=0),
        "Deployment octavia-api: runAsUser is no user id other than root's",
    ),
    "a root file system to be written": (
        lambda d: api(d)["securityContext"].update(readOnlyRootFilesystem=False),
        "octavia-api, api: readOnlyRootFilesystem is not set",
    ),
    "capabilities that are kept": (
        lambda d: api(d)["securityContext"].pop("capabilities"),
        "octavia-api, api: capabilities are not dropped",
    ),
    "a token for who needs none": (
        change(lambda d: pod(d, "Deployment", "octavia-worker"), automountServiceAccountToken=True),
        "octavia-worker: it is given a token of the Kubernetes API",
    ),
    "variables of services": (
        without(lambda d: pod(d, "Deployment", "octavia-api"), "enableServiceLinks"),
        "a service octavia-api would set OCTAVIA_API_PORT",
    ),
    "memory without a limit": (
        lambda d: api(d)["resources"].pop("limits"),
        r"octavia-api, api: resources\.limits\.memory is missing",
    ),
    "a volume without an end": (
        lambda d: pod(d, "Deployment", "octavia-api")["volumes"][0].update(emptyDir={}),
        "octavia-api: the volume tmp has no sizeLimit",
    ),
    "a claim that nobody made": (
        lambda d: remove(d, "PersistentVolumeClaim", "octavia-weights"),
        "there is no PersistentVolumeClaim octavia-weights",
    ),
    "a mount of no volume": (
        lambda d: api(d)["volumeMounts"].append({"name": "cache", "mountPath": "/cache"}),
        "octavia-api, api: there is no volume cache",
    ),
    "a probe at a route that is not there": (
        lambda d: api(d)["readinessProbe"]["httpGet"].update(path="/ready"),
        "readinessProbe: nothing answers GET /ready at port 8000",
    ),
    "a probe of the models at a route that is not there": (
        lambda d: node_pod(d)["containers"][0]["readinessProbe"]["httpGet"].update(path="/v2/health/lively"),
        "RayService cpu, ray-worker, readinessProbe: nothing answers GET /v2/health/lively at port 8100",
    ),
    "a probe at a port that is not there": (
        lambda d: api(d)["livenessProbe"]["httpGet"].update(port="web"),
        "livenessProbe: there is no port web",
    ),
    "a program that is in no image": (
        lambda d: pod(d, "Deployment", "octavia-worker")["containers"][0]["livenessProbe"].update(
            exec={"command": ["curl", "localhost"]}
        ),
        "livenessProbe: curl is in no image",
    ),
    "no probe at all": (
        lambda d: [
            pod(d, "Deployment", "octavia-worker")["containers"][0].pop(each)
            for each in ("startupProbe", "livenessProbe")
        ],
        "octavia-worker, worker: it has no probe",
    ),
    "a program behind a pipe, which is sent no signal": (
        lambda d: api(d).update(command=["sh", "-c", "printf password | exec python -m orchestrator.app"]),
        "octavia-api, api: SIGTERM ends a shell, and what it runs is killed: end by exec",
    ),
    "a shell that waits for its program": (
        lambda d: api(d).update(command=["/bin/bash", "-ec", "umask 077; python -m orchestrator.app"]),
        "octavia-api, api: SIGTERM ends a shell",
    ),
    "a secret among the manifests": (lambda d: add(d, SECRET), "Secret octavia: a secret has no place among manifests"),
    "a secret in a ConfigMap": (
        lambda d: settings(d, "octavia-settings").update(OCTAVIA_SMTP_PASSWORD="hunter2"),
        "ConfigMap octavia-settings-.*: OCTAVIA_SMTP_PASSWORD is a secret and stands there in plain text",
    ),
    "a password in an address": (
        lambda d: api(d)["env"].append({"name": "OCTAVIA_POLAR_URL", "value": "https://me:pass@example.org"}),
        "OCTAVIA_POLAR_URL is a secret and stands there || OCTAVIA_POLAR_URL is set: only Polar",
    ),
    "all pods on one node": (
        without(lambda d: pod(d, "Deployment", "octavia-api"), "topologySpreadConstraints"),
        "octavia-api: it has no topologySpreadConstraints",
    ),
    # The model plane
    "a key that is not Ray's": (
        option("vad", "num_repliques", 2),
        "serveConfigV2: DeploymentSchema of Ray Serve has no key 'num_repliques' || is not what serve",
    ),
    "a value that is not Ray's": (
        option("vad", "max_ongoing_requests", -1),
        "serveConfigV2: .*max_ongoing_requests || is not what serve",
    ),
    "an application that is not there": (
        lambda d: serve(d, lambda config: config["applications"][0].update(import_path="serve.app:built")),
        "import_path serve.app:built leads nowhere || is not what serve",
    ),
    "a Serve config other than local runs'": (
        option("vad", "max_queued_requests", 65),
        "serveConfigV2 is not what serve/serve.yaml and models.yaml give",
    ),
    "a deployment that is no model": (
        lambda d: serve(d, lambda config: config["by_name"].update(wisper={"name": "wisper"})),
        "serveConfigV2: wisper is no model of model_repo || is not what serve || of 1 replicas of wisper",
    ),
    "a model without the weights it needs": (
        lambda d: serve(d, lambda config: config["by_name"].update(align=config["by_name"]["vad"] | {"name": "align"})),
        "align is deployed, but OCTAVIA_ALIGN names no weights || is not what serve || replicas of align",
    ),
    "weights without the model": (
        lambda d: settings(d, "octavia-models-settings").update(OCTAVIA_DIARIZE="diarize-community-1"),
        "OCTAVIA_DIARIZE names weights, but diarize is not deployed",
    ),
    "batches that never fill": (
        option("whisper", "max_ongoing_requests", 4),
        "whisper: max_ongoing_requests is less than its batches of || is not what serve",
    ),
    "a replica that is killed at work": (
        option("whisper", "graceful_shutdown_timeout_s", 20),
        "whisper: graceful_shutdown_timeout_s is 20, but a request may wait and run || is not what serve",
    ),
    "a protocol that is killed before its models": (
        option("protocol", "graceful_shutdown_timeout_s", 100),
        "protocol is killed before .* has answered || is not what serve",
    ),
    "a pod that ends before its node has drained": (
        change(node_pod, terminationGracePeriodSeconds=200),
        "RayService cpu: terminationGracePeriodSeconds 200 ends before its drain of 240 s",
    ),
    "a node that is not drained for long enough": (
        lambda d: node_pod(d)["containers"][0]["lifecycle"]["preStop"]["exec"]["command"].__setitem__(1, "100"),
        "RayService cpu: the node is drained for 100 s, but replicas may end only after",
    ),
    "a node that is not drained": (
        lambda d: node_pod(d)["containers"][0].pop("lifecycle"),
        "RayService cpu: no preStop drains the node",
    ),
    "a head that takes work": (
        lambda d: cluster(d)["headGroupSpec"]["rayStartParams"].pop("num-cpus"),
        "RayService head: num-cpus is not",
    ),
    "a node that believes in more than it has": (
        lambda d: node(d)["rayStartParams"].update({"num-cpus": "8"}),
        "RayService cpu: num-cpus is 8, but the limit of the pod is 4",
    ),
    "a GPU that Ray does not know of": (
        lambda d: node(d, "whisper")["template"]["spec"]["containers"][0]["resources"]["limits"].pop("nvidia.com/gpu"),
        "RayService whisper: num-gpus is 1, but the pod has 0",
    ),
    "more nodes than there may be": (
        change(node, replicas=99),
        "RayService cpu: replicas are not between minReplicas and maxReplicas",
    ),
    "another Ray than the images'": (
        lambda d: cluster(d).update(rayVersion="2.9.0"),
        r"rayVersion is 2\.9\.0, but the images have 2\.60\.0",
    ),
    "a replica that fits no node": (
        option("whisper", "ray_actor_options", {"num_cpus": 2, "num_gpus": 2}),
        "a replica of whisper .2 CPU, 2 GPU. fits no node of any group || is not what serve",
    ),
    "more replicas than fit": (
        lambda d: node(d, "whisper").update(maxReplicas=2),
        "of 8 replicas of whisper, 4 have no room on all nodes the groups may have",
    ),
    "an object store of Ray's own size": (
        lambda d: node(d)["rayStartParams"].pop("object-store-memory"),
        "RayService cpu: object-store-memory is not given, so Ray takes 30 % of the pod's memory",
    ),
    "an object store larger than shared memory": (
        lambda d: cluster(d)["headGroupSpec"]["rayStartParams"].update({"object-store-memory": "1600000000"}),
        "RayService head: object-store-memory is 1600000000 bytes, but /dev/shm has 1073741824",
    ),
    "an object store without shared memory": (
        lambda d: node(d, "whisper")["template"]["spec"]["volumes"][1]["emptyDir"].pop("medium"),
        "RayService whisper: object-store-memory is 1600000000 bytes, but /dev/shm has 67108864",
    ),
    "metrics that nobody finds": (
        lambda d: node(d)["rayStartParams"].update({"metrics-export-port": "8080"}),
        "RayService cpu: its metrics are not at port 8102",
    ),
    # What scales and ends
    "a scaler of nothing": (
        lambda d: spec(d, "HorizontalPodAutoscaler", "octavia-api")["scaleTargetRef"].update(name="octavia-web"),
        "HorizontalPodAutoscaler octavia-api: there is no Deployment octavia-web to scale",
    ),
    "a number of replicas beside a scaler": (
        change(lambda d: spec(d, "Deployment", "octavia-worker"), replicas=3),
        "Deployment octavia-worker: replicas is set, so each apply would undo",
    ),
    "two scalers of one deployment": (
        lambda d: spec(d, "ScaledObject", "octavia-worker")["scaleTargetRef"].update(name="octavia-api"),
        "Deployment octavia-api: 2 scalers pull at it",
    ),
    "more at least than at most": (
        change(lambda d: spec(d, "HorizontalPodAutoscaler", "octavia-api"), minReplicas=11),
        "at least 11 is more than at most 10",
    ),
    "a share of no request": (
        lambda d: api(d)["resources"]["requests"].pop("cpu"),
        r"api requests no cpu, of which its share could be told || resources\.requests\.cpu is missing",
    ),
    "more workers than the database has connections for": (
        change(lambda d: spec(d, "ScaledObject", "octavia-worker"), maxReplicaCount=40),
        r"max_connections is 700, but there may be 1004 \(154 of octavia-api, 820 of octavia-worker, 30 of others\)",
    ),
    "more API processes than the database has connections for": (
        change(lambda d: spec(d, "HorizontalPodAutoscaler", "octavia-api"), maxReplicas=30),
        "max_connections is 700, but there may be 884",
    ),
    "larger pools than the database has connections for": (
        lambda d: settings(d, "octavia-settings").update(OCTAVIA_DATABASE_POOL="20"),
        r"max_connections is 700, but there may be 1134",
    ),
    "a database with as many connections as it comes with": (
        lambda d: spec(d, "Cluster", "octavia-db")["postgresql"]["parameters"].pop("max_connections"),
        "max_connections is 100, but there may be 604",
    ),
    "a new release that brings all new workers at once": (
        lambda d: spec(d, "Deployment", "octavia-worker")["strategy"]["rollingUpdate"].update(maxSurge="100%"),
        "max_connections is 700, but there may be 984",
    ),
    "a trigger that cannot log in": (
        lambda d: remove(d, "TriggerAuthentication", "octavia-worker"),
        "there is no TriggerAuthentication 'octavia-worker'",
    ),
    "a budget for nobody": (
        lambda d: spec(d, "PodDisruptionBudget", "octavia-api")["selector"]["matchLabels"].update(
            {"app.kubernetes.io/component": "apis"}
        ),
        "PodDisruptionBudget octavia-api: its selector matches no pod || api: no PodDisruptionBudget protects it",
    ),
    "a budget that lets nothing go": (
        change(lambda d: spec(d, "PodDisruptionBudget", "octavia-worker"), maxUnavailable=0),
        "PodDisruptionBudget octavia-worker: it lets no pod go",
    ),
    "a budget that Kubernetes cannot work out for Ray's nodes": (
        budget("cpu", maxUnavailable=1),
        "PodDisruptionBudget octavia-models: a RayCluster has no scale subresource, so maxUnavailable",
    ),
    "a share of Ray's nodes": (
        budget("cpu", minAvailable="50%"),
        "PodDisruptionBudget octavia-models: a RayCluster has no scale subresource",
    ),
    "a budget that keeps the head where it is": (
        budget("head", minAvailable=1),
        "PodDisruptionBudget octavia-models: of 1 pods that there are at least, minAvailable 1 lets none go",
    ),
    "a budget for GPU nodes of which there may be none": (
        budget("whisper", minAvailable=1),
        "PodDisruptionBudget octavia-models: of 0 pods that there are at least, minAvailable 1 lets none go",
    ),
    "a worker that nothing protects": (
        lambda d: remove(d, "PodDisruptionBudget", "octavia-worker"),
        "worker: no PodDisruptionBudget protects it",
    ),
    "a worker that is killed while it drains": (
        change(lambda d: pod(d, "Deployment", "octavia-worker"), terminationGracePeriodSeconds=60),
        "octavia-worker: terminationGracePeriodSeconds is 60, but ending in good order takes 75 s",
    ),
    "an API that is killed while it is still asked": (
        change(lambda d: pod(d, "Deployment", "octavia-api"), terminationGracePeriodSeconds=10),
        "octavia-api: terminationGracePeriodSeconds is 10, but ending in good order takes 80 s",
    ),
    "an API that ends while proxies still send": (
        lambda d: settings(d, "octavia-settings").update(OCTAVIA_API_DRAIN_S="5"),
        "octavia-api: it takes requests for 5 s when it ends, but its probe sees that after 10 s",
    ),
    # The network
    "nothing denied by default": (
        lambda d: remove(d, "NetworkPolicy", "default-deny"),
        "none denies everything by default",
    ),
    "a policy for nobody": (
        lambda d: policy("weights")(d)["podSelector"]["matchLabels"].update({"app.kubernetes.io/component": "weight"}),
        "NetworkPolicy weights: its podSelector matches no pod || weights cannot reach the internet",
    ),
    "models that nobody may ask": (
        lambda d: policy("worker")(d)["egress"].pop(0),
        "NetworkPolicy: worker cannot reach models .node. at port 8101",
    ),
    "no names": (
        lambda d: remove(d, "NetworkPolicy", "names"),
        "cannot reach (kube-system|NodeLocal DNSCache) at port 53",
    ),
    "names by the cluster's DNS alone": (
        lambda d: policy("names")(d)["egress"][0]["to"].pop(),
        "cannot reach NodeLocal DNSCache at port 53",
    ),
    "a way to private addresses": (
        lambda d: policy("worker")(d)["egress"][2]["to"][0]["ipBlock"].pop("except"),
        "worker can reach a private address at port 443, and must not || worker can reach NodeLocal DNSCache",
    ),
    "a way to the cloud's metadata": (
        lambda d: policy("worker")(d)["egress"].append({"ports": [{"port": 80}]}),
        "worker can reach the cloud's metadata at port 80, and must not",
    ),
    "models that anybody may ask": (
        lambda d: policy("models")(d)["ingress"].append({"ports": [{"port": 8101}]}),
        "(the internet|ingress-nginx|default) can reach models .node. at port 8101, and must not",
    ),
    "a dashboard that everybody sees": (
        lambda d: policy("models")(d)["ingress"].append(OF_THE_INGRESS | {"ports": [{"port": 8265}]}),
        r"ingress-nginx can reach models \(head\) at port 8265, and must not",
    ),
    "a database that KEDA cannot ask": (
        lambda d: policy("database")(d)["ingress"][0]["from"].pop(),
        "keda cannot reach database at port 5432",
    ),
    "a database found by labels that not all of its pods have": (
        lambda d: policy("database")(d).update(podSelector={"matchLabels": {"cnpg.io/podRole": "instance"}}),
        r"database \(joining\) cannot reach (database at port 5432|the Kubernetes API at port 6443)",
    ),
    "a database that its clients look for by labels of ours": (
        lambda d: policy("database-clients")(d)["egress"][0]["to"][0]["podSelector"].update(
            matchLabels={"app.kubernetes.io/name": "octavia", "app.kubernetes.io/component": "database"}
        ),
        "NetworkPolicy: (api|worker|migrate) cannot reach database at port 5432",
    ),
    "a database that its operator cannot ask": (
        lambda d: policy("database")(d)["ingress"].pop(1),
        "(cnpg-system cannot reach database at port 8000|cannot reach database at port 5432)",
    ),
    "labels of the operator's own that are overwritten": (
        change(
            lambda d: spec(d, "Cluster", "octavia-db"),
            inheritedMetadata={"labels": {"app.kubernetes.io/name": "octavia", "team": "dubbing"}},
        ),
        "Cluster octavia-db: inheritedMetadata overwrites app.kubernetes.io/name, the operator's own",
    ),
    "traces that cannot leave": (
        lambda d: policy("models")(d)["egress"].pop(1),
        r"NetworkPolicy: models \(node\) cannot reach monitoring at port 4318",
    ),
    "a service of nobody": (
        lambda d: spec(d, "Service", "octavia-api")["selector"].update({"app.kubernetes.io/component": "web"}),
        "Service octavia-api: its selector matches no pod",
    ),
    "a service at a port that is not there": (
        lambda d: spec(d, "Service", "octavia-api")["ports"][0].update(targetPort="web"),
        "Service octavia-api: Deployment octavia-api has no port web",
    ),
    "one address for all proxies": (
        without(lambda d: spec(d, "Service", "octavia-models-grpc"), "clusterIP"),
        "clusterIP is not None: every connection would stay with one proxy",
    ),
    "proxies on the head alone": (
        lambda d: serve(d, lambda config: config.update(proxy_location="HeadOnly")),
        "proxy_location is not EveryNode || is not what serve",
    ),
    # What Prometheus finds
    "an API that Prometheus does not find": (
        lambda d: scraping(d).pop("prometheus.io/scrape"),
        'Deployment octavia-api: prometheus.io/scrape is not "true"',
    ),
    "metrics at a port that no container has": (
        lambda d: scraping(d).update({"prometheus.io/port": "8000"}),
        r"Deployment octavia-api: prometheus\.io/port is 8000, but its port metrics is 8003",
    ),
    "metrics at another path": (
        lambda d: scraping(d).update({"prometheus.io/path": "/metric"}),
        r"Deployment octavia-api: prometheus\.io/path is /metric, but metrics are told at /metrics",
    ),
    "metrics that are told elsewhere": (
        lambda d: settings(d, "octavia-settings").update(OCTAVIA_METRICS_PORT="9003"),
        "octavia-(api|worker): its metrics are told at port 9003",
    ),
    "metrics that Prometheus may not ask for": (
        lambda d: policy("api")(d)["ingress"].pop(1),
        "no NetworkPolicy lets monitoring reach its port 8003 || monitoring cannot reach api at port 8003",
    ),
    # Settings and the way in
    "a setting that is not there": (
        lambda d: settings(d, "octavia-settings").update(OCTAVIA_JOB_PER_WORKER="8"),
        "there is no setting OCTAVIA_JOB_PER_WORKER",
    ),
    "a setting of the models that is not there": (
        lambda d: settings(d, "octavia-models-settings").update(OCTAVIA_WISPER="x"),
        "there is no setting OCTAVIA_WISPER",
    ),
    "a setting that is not valid": (
        lambda d: settings(d, "octavia-settings").update(OCTAVIA_PREVIEW_SHARE="2"),
        "OCTAVIA_PREVIEW_SHARE: Input should be less than or equal to 1",
    ),
    "a start that would be refused": (
        lambda d: settings(d, "octavia-settings").pop("OCTAVIA_SMTP_HOST"),
        "OCTAVIA_SMTP_HOST is missing",
    ),
    "jobs that cost credits, by weights that are not cleared for it": (
        lambda d: settings(d, "octavia-settings").update(OCTAVIA_BILLING="true"),
        "OCTAVIA_BILLING is on for api, worker and off for models, weights || OCTAVIA_(POLAR_|PACKAGES)",
    ),
    "cleared weights alone, for jobs that cost nothing": (
        lambda d: settings(d, "octavia-models-settings").update(OCTAVIA_BILLING="true"),
        "OCTAVIA_BILLING is on for models, weights and off for api, worker",
    ),
    "a scratch folder that ends before the worker believes": (
        lambda d: pod(d, "Deployment", "octavia-worker")["volumes"][2]["emptyDir"].update(sizeLimit="20Gi"),
        "OCTAVIA_SCRATCH_ROOM_BYTES is 53687091200, but the volume at /scratch may hold 21474836480 bytes",
    ),
    "a scratch folder that is measured by the node's disk": (
        lambda d: unset(worker(d), "OCTAVIA_SCRATCH_ROOM_BYTES"),
        "OCTAVIA_SCRATCH_ROOM_BYTES is not set, but the volume at /scratch may hold 53687091200 bytes",
    ),
    "a scratch folder on a volume without a limit of its own": (
        lambda d: settings(d, "octavia-settings").update(OCTAVIA_SCRATCH_DIR="/weights"),
        "OCTAVIA_SCRATCH_ROOM_BYTES is 53687091200, but no volume at /weights ends there",
    ),
    "a secret that is not given": (
        lambda d: unset(api(d), "OCTAVIA_JWT_SECRET"),
        "octavia-api: OCTAVIA_JWT_SECRET is missing",
    ),
    "a ConfigMap that is not there": (
        lambda d: pod(d, "Deployment", "octavia-api")["initContainers"][0]["envFrom"][0]["configMapRef"].update(
            name="octavia-setting"
        ),
        "octavia-api, schema: there is no ConfigMap 'octavia-setting'",
    ),
    "an ingress that leads nowhere": (
        lambda d: spec(d, "Ingress", "octavia-api")["rules"][0]["http"]["paths"][0]["backend"]["service"].update(
            name="octavia"
        ),
        "Ingress octavia-api: there is no service octavia with a port http",
    ),
    "a host without TLS": (
        lambda d: spec(d, "Ingress", "octavia-api")["tls"][0].update(hosts=["example.org"]),
        r"Ingress octavia-api: api\.octavia\.example\.org has no TLS",
    ),
    "uploads that the ingress refuses": (
        lambda d: annotations(d).update({"nginx.ingress.kubernetes.io/proxy-body-size": "100m"}),
        "proxy-body-size is less than the largest upload of",
    ),
    "uploads larger than the ingress takes": (
        lambda d: settings(d, "octavia-settings").update(OCTAVIA_MAX_VIDEO_BYTES=str(2**30)),
        "is less than the largest upload of 1073741824 bytes",
    ),
    "event streams that are held up": (
        lambda d: annotations(d).pop("nginx.ingress.kubernetes.io/proxy-buffering"),
        "proxy-buffering is not off: uploads or event streams would be held up",
    ),
    "event streams that are cut": (
        lambda d: annotations(d).update({"nginx.ingress.kubernetes.io/proxy-read-timeout": "60"}),
        "proxy-read-timeout would cut event streams",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_named(overlay: Callable[[str], Deployed], name: str) -> None:
    breaking, said = BROKEN[name]
    whole = overlay("gpu")
    broken = Deployed(whole.overlay, copy.deepcopy(list(whole.manifests)))
    breaking(broken)
    found = list(problems(broken))
    expected = said.split(" || ")
    assert any(re.search(expected[0], each, re.DOTALL) for each in found), found or "nothing was noticed"
    for each in found:
        assert any(re.search(pattern, each, re.DOTALL) for pattern in expected), each
