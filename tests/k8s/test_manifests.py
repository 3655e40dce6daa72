"""Every overlay renders, keeps to every rule, and is made from what local runs use."""

import copy
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from scripts.kubernetes import render
from scripts.kubernetes.check import RULES, problems
from scripts.kubernetes.generate import (
    CHANGES,
    CHECKOUT,
    ENVIRONMENT_FILE,
    LOOPBACK_ONLY,
    OVERLAYS,
    SERVE_YAML,
    everything,
    merged,
    serve_config,
)
from scripts.kubernetes.manifests import Deployed
from scripts.kubernetes.rules_scaling import connections
from serve.environment import ENVIRONMENT

Overlay = Callable[[str], Deployed]
EXPECTED = {
    "single-node": {"cpu"},
    "gpu": {"cpu", "whisper", "coqui"},
    "production": {"cpu", "whisper", "coqui"},
}


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_keeps_to_every_rule(overlay: Overlay, name: str) -> None:
    assert list(problems(overlay(name))) == []


def test_an_overlay_with_every_component_that_is_optional_keeps_to_every_rule(ours: Deployed) -> None:
    assert list(problems(ours)) == []


def test_billing_begins_in_both_planes_and_not_without_polars_keys(ours: Deployed) -> None:
    for component in ("api", "worker", "models", "weights"):
        for pod in ours.pods_of(component):
            assert ours.config(pod.containers[0])["OCTAVIA_BILLING"] == "true", pod.where
    for component in ("api", "worker"):
        (pod,) = ours.pods_of(component)
        assert ours.config(pod.containers[0])["OCTAVIA_POLAR_SERVER"] == "production"
        given = {
            each["name"]: each["valueFrom"]["secretKeyRef"] for each in pod.containers[0]["env"] if "valueFrom" in each
        }
        assert not given["OCTAVIA_POLAR_ACCESS_TOKEN"]["optional"]
        assert not given["OCTAVIA_POLAR_WEBHOOK_SECRETS"]["optional"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_has_both_planes_their_database_and_their_migrations(overlay: Overlay, name: str) -> None:
    deployed = overlay(name)
    assert {pod.component for pod in deployed.pods} >= {"api", "worker", "migrate", "models", "weights", "database"}
    assert {pod.name for pod in deployed.pods if pod.kind == "RayService"} == {"head", *EXPECTED[name]}


def test_gpu_nodes_go_away_when_nobody_asks_and_hold_nothing_but_their_model(overlay: Overlay) -> None:
    deployed = overlay("gpu")
    (application,) = deployed.serve["applications"]
    placed = {each["name"]: each for each in application["deployments"]}
    for model, group in (("whisper", "whisper"), ("coqui_tts", "coqui")):
        (pod,) = [pod for pod in deployed.pods if pod.name == group]
        assert (pod.group["minReplicas"], pod.group["replicas"]) == (0, 0)
        assert placed[model]["autoscaling_config"]["min_replicas"] == 0
        assert f"{group}_node" in placed[model]["ray_actor_options"]["resources"]
    for model in ("vad", "opus_mt", "protocol"):
        assert "num_gpus" not in placed[model]["ray_actor_options"]


def test_production_survives_the_death_of_rays_head_and_of_a_database(overlay: Overlay) -> None:
    deployed = overlay("production")
    assert deployed.models["rayClusterConfig"]["gcsFaultToleranceOptions"]["redisAddress"].startswith("redis://")
    (cluster,) = deployed.of("Cluster")
    assert cluster["spec"]["instances"] == 3


def test_a_database_that_is_not_among_the_manifests_is_not_held_to_our_figures(overlay: Overlay) -> None:
    whole = overlay("production")
    own = Deployed("production", [each for each in whole.manifests if each["kind"] != "Cluster"])
    (scaler,) = own.of("ScaledObject")
    assert scaler["spec"]["maxReplicaCount"] == 50
    assert list(connections(own)) == []


def test_the_database_of_a_single_node_is_held_to_what_its_arguments_say(overlay: Overlay) -> None:
    whole = overlay("single-node")
    assert list(connections(whole)) == []
    few = Deployed("single-node", copy.deepcopy(list(whole.manifests)))
    database = few.find("StatefulSet", "octavia-db")
    assert database is not None
    database["spec"]["template"]["spec"]["containers"][0]["args"][1] = "max_connections=50"
    (said,) = connections(few)
    assert "max_connections is 50, but there may be 78 (28 of octavia-api, 20 of octavia-worker" in said


def test_valkey_takes_the_shells_place_and_its_password_stands_in_no_argument(overlay: Overlay, tmp_path: Path) -> None:
    valkey = overlay("production").find("StatefulSet", "octavia-valkey")
    assert valkey is not None
    command = valkey["spec"]["template"]["spec"]["containers"][0]["command"]
    server = tmp_path / "valkey-server"
    server.write_text('#!/bin/sh\necho "$$ $*"\n')
    server.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PASSWORD": "swordfish"}
    words = [word.replace("/config", str(tmp_path)) for word in command]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as process:
        said, _ = process.communicate(timeout=60)
    config = tmp_path / "valkey.conf"
    assert said == f"{process.pid} {config}\n"
    assert config.read_text() == 'requirepass swordfish\nappendonly yes\ndir /data\nsave ""\n'
    assert config.stat().st_mode & 0o077 == 0


def test_nothing_that_is_made_was_changed_by_hand() -> None:
    for path, text in everything().items():
        assert path.read_text(encoding="utf-8") == text, f"{path}: run `python -m scripts.kubernetes generate`"


def test_on_one_node_the_serve_config_is_that_of_local_runs_but_for_what_a_cluster_needs() -> None:
    base, changes = (yaml.safe_load(path.read_text(encoding="utf-8")) for path in (SERVE_YAML, CHANGES))
    made = serve_config(base, changes, "single-node")
    assert made["proxy_location"] == "EveryNode"
    local = {each["name"]: each for each in base["applications"][0]["deployments"]}
    for each in made["applications"][0]["deployments"]:
        differing = {key for key in local[each["name"]] if local[each["name"]][key] != each.get(key)}
        assert differing <= {"graceful_shutdown_timeout_s"}, each["name"]


def test_changes_for_a_deployment_that_local_runs_do_not_have_are_refused() -> None:
    base = {"applications": [{"deployments": [{"name": "vad"}]}]}
    with pytest.raises(ValueError, match=r"there is no deployment 'wisper' in serve\.yaml"):
        serve_config(base, {"everywhere": {}, "gpu": {"deployments": {"wisper": {"num_replicas": 2}}}}, "gpu")


def test_changes_are_merged_taken_away_by_null_and_else_replace() -> None:
    base = {"a": {"b": 1, "c": [1]}, "d": 2}
    assert merged(base, {"a": {"b": None, "c": [2]}, "e": {"f": 3}}) == {"a": {"c": [2]}, "d": 2, "e": {"f": 3}}


def test_the_pods_of_the_models_have_the_environment_of_local_runs_but_for_what_binds_ray_to_loopback() -> None:
    lines = ENVIRONMENT_FILE.read_text(encoding="utf-8").splitlines()
    given = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    assert ENVIRONMENT.items() - given.items() == {(name, ENVIRONMENT[name]) for name in LOOPBACK_ONLY}


def test_every_secret_that_a_manifest_names_is_explained_to_who_has_to_make_it(overlay: Overlay) -> None:
    told = (CHECKOUT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    named = {reference for name in OVERLAYS for reference in secrets(list(overlay(name).manifests))}
    assert {("octavia", "jwt-secret"), ("octavia-db-app", "uri"), ("octavia-valkey", "password")} <= named
    for name, key in sorted(named):
        assert f"`{name}`" in told
        assert f"`{key}`" in told


def secrets(value: object) -> Iterator[tuple[str, str]]:
    """Name and key of every secret that is named anywhere within."""
    if isinstance(value, list):
        for each in value:
            yield from secrets(each)
    if isinstance(value, dict):
        references = [value["secretKeyRef"]] if "secretKeyRef" in value else value.get("secretTargetRef", [])
        yield from ((each["name"], each["key"]) for each in references)
        for each in value.values():
            yield from secrets(each)


PLACE = re.compile(r"(?:exec|logs) (?:-\w+ )*(?:deploy/)?(octavia-[\w-]+) -c ([\w-]+)")


@pytest.mark.parametrize("document", ["kubernetes.md", "monitoring.md", "runbook.md"])
def test_the_documents_call_pods_and_containers_that_are_there(overlay: Overlay, document: str) -> None:
    pods = [pod for name in OVERLAYS for pod in overlay(name).pods]
    there = {(pod.name, container["name"]) for pod in pods for container in pod.containers}
    text = (CHECKOUT / "docs" / document).read_text(encoding="utf-8")
    called = {(name.removesuffix("-0"), container) for name, container in PLACE.findall(text)}
    assert ("octavia-worker", "worker") in called
    assert called <= there


def test_each_rule_says_what_it_insists_on() -> None:
    assert all(rule.__doc__ for rule in RULES)


def test_without_kubectl_it_is_said_loudly_that_nothing_was_checked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old = tmp_path / "kubectl"
    old.write_text("#!/bin/sh\necho Client Version: v1.20.2\n")
    old.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(render.NoKubectlError, match=r"NOTHING WAS RENDERED OR CHECKED: kubectl 1\.27.*is 1\.20"):
        render.find_kubectl()
    old.unlink()
    with pytest.raises(render.NoKubectlError, match="none was found"):
        render.find_kubectl()


def test_what_kubectl_refuses_is_told_in_its_words(kubectl: str, tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: [missing.yaml]\n")
    with pytest.raises(render.RenderError, match=r"missing\.yaml"):
        render.render(tmp_path, kubectl)
