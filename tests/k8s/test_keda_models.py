"""KEDA's resources against KEDA's own shapes, as npm's @kubernetes-models/keda has them; `k8s/schemas/` knows fewer."""

import copy
import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from scripts.kubernetes.manifests import Deployed
from scripts.kubernetes.render import Manifest
from tests.fixtures_node import installed

MODELS = Path(__file__).parents[1] / "keda_models"

Complaints = Callable[[Sequence[Manifest]], list[str | None]]


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> Complaints:
    """What KEDA's models say against manifests, None where nothing."""
    folder = installed(MODELS, tmp_path_factory.mktemp("keda"))

    def ask(manifests: Sequence[Manifest]) -> list[str | None]:
        command = ["node", "validate.mjs"]
        done = subprocess.run(
            command, cwd=folder, check=True, timeout=60, input=json.dumps(manifests), capture_output=True, text=True
        )
        found: list[str | None] = json.loads(done.stdout)
        return found

    return ask


@pytest.fixture(scope="module")
def deployed(overlay: Callable[[str], Deployed]) -> list[Manifest]:
    """What the overlay with autoscaling gives KEDA."""
    found = [each for each in overlay("production").manifests if str(each["apiVersion"]).startswith("keda.sh/")]
    assert {each["kind"] for each in found} == {"ScaledObject", "TriggerAuthentication"}
    return found


def test_keda_takes_what_is_deployed(complaints: Complaints, deployed: list[Manifest]) -> None:
    assert complaints(deployed) == [None] * len(deployed)


def no_target(spec: dict[str, Any]) -> None:
    del spec["scaleTargetRef"]


def count_in_words(spec: dict[str, Any]) -> None:
    spec["minReplicaCount"] = "two"


def trigger_without_type(spec: dict[str, Any]) -> None:
    del spec["triggers"][0]["type"]


def number_for_text(spec: dict[str, Any]) -> None:
    spec["triggers"][0]["metadata"]["targetQueryValue"] = 4


@pytest.mark.parametrize(
    ("spoil", "names"),
    [
        (no_target, "scaleTargetRef"),
        (count_in_words, "minReplicaCount"),
        (trigger_without_type, "type"),
        (number_for_text, "targetQueryValue"),
    ],
)
def test_keda_refuses_what_is_broken(
    complaints: Complaints, deployed: list[Manifest], spoil: Callable[[dict[str, Any]], None], names: str
) -> None:
    broken = copy.deepcopy(next(each for each in deployed if each["kind"] == "ScaledObject"))
    spoil(broken["spec"])
    (said,) = complaints([broken])
    assert said is not None
    assert names in said
