"""The dashboards: as they are generated, and asking for metrics that somebody tells."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from orchestrator.observability.house import QUERIES
from orchestrator.observability.metrics import REGISTRY
from scripts.make_dashboards import DASHBOARDS, FOLDER, INTERVAL, written
from tests.fixtures_monitoring import alerts

SERVE = (Path(__file__).parents[2] / "serve" / "metrics.py").read_text()
NOT_OURS = {"up", "process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"} | {
    "ray_serve_deployment_replica_healthy"
}
OF_DISKS = {"octavia_disk_free_bytes", "octavia_disk_size_bytes"}
OF_MODELS = {f"nv_inference_{name}_duration_us" for name in ("request", "queue", "compute_infer")}


def told() -> set[str]:
    """The names of all series that are told."""
    names = {query.name for query in QUERIES} | OF_DISKS | OF_MODELS | {"octavia_database_up"}
    names |= set(re.findall(r'"(nv_\w+)"', SERVE))
    for family in REGISTRY.collect():
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(family.type, [""])
        names |= {f"{family.name}{suffix}" for suffix in suffixes}
    return names


def names_in(query: str) -> set[str]:
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(by|on|without)\s*\([^)]*\)", " ", query)
    return set(re.findall(r"\b(?:octavia|nv|process|ray)_\w+|\bup\b", bare))


def panels(name: str) -> list[dict[str, Any]]:
    return list(json.loads((FOLDER / f"{name}.json").read_text())["panels"])


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_is_as_it_is_generated(name: str) -> None:
    assert (FOLDER / f"{name}.json").read_text() == written(name), "run python -m scripts.make_dashboards"


def test_no_dashboard_is_left_of_what_is_gone() -> None:
    assert {file.stem for file in FOLDER.glob("*.json")} == set(DASHBOARDS)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_lie_side_by_side_and_ask_the_prometheus_that_is_chosen(name: str) -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels(name)]
    assert len(set(places)) == len(places)
    assert all(x + 8 <= 24 for x, _ in places)
    assert {panel["datasource"]["uid"] for panel in panels(name)} == {"${datasource}"}


def test_panels_and_alerts_ask_for_nothing_that_nobody_tells() -> None:
    asked = [target["expr"] for name in DASHBOARDS for panel in panels(name) for target in panel["targets"]]
    asked += [rule["expr"] for rule in alerts().values()]
    assert set().union(*map(names_in, asked)) - told() - NOT_OURS == set()


def test_rates_are_over_grafanas_interval() -> None:
    for name in DASHBOARDS:
        for panel in panels(name):
            for target in panel["targets"]:
                assert set(re.findall(r"\[(.+?)\]", target["expr"])) <= {INTERVAL}
