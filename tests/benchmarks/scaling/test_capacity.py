"""A day's answers add up, and what is assumed is named."""

import tomllib
from collections.abc import Mapping
from typing import Any

import pytest

from benchmarks.scaling.bottlenecks import manifest_limits, parts
from benchmarks.scaling.capacity import (
    DATA,
    Answer,
    Following,
    answer,
    cheapest,
    control_plane_dollars,
    simulate,
    works,
)
from benchmarks.scaling.demand import HOUR_S, day, rates
from benchmarks.scaling.measure import Seen, group

MEASURED: Mapping[str, Any] = {  # of no machine: numbers to calculate with
    "command": "a test",
    "weights": "no",
    "commits_per_second": 100.0,
    "disk_bytes_per_second": 1e8,
    "per_minute": {
        "cpu_s": {"vad": 0.5, "whisper": 6.0, "coqui_tts": 12.0, "api": 1.0, "worker": 9.0, "database": 2.0},
        "commits": 50.0,
        "log_bytes": 1e6,
        "storage_bytes": 1e7,
    },
}


OVERLAY = Following(5, 30)


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    return tomllib.loads(DATA.read_text(encoding="utf-8"))


def test_every_figure_has_a_source_or_is_called_assumed(data: dict[str, Any]) -> None:
    for name, price in data["prices"].items():
        assert "source" in price, name
    for name, model in data["models"].items():
        assert {"source", "measured"} & set(model), name
    for section in ("video", "day", "start", "scaling", "limits"):
        assert data[section]["assumed"]
    assert len(data["day"]["hours"]) == 24


def test_a_day_has_as_many_minutes_as_it_should(data: dict[str, Any]) -> None:
    hours = data["day"]["hours"]
    assert sum(rates(48_000, 5, hours)) * HOUR_S * 5 == pytest.approx(48_000)
    minutes = list(day(48_000, 5, hours, 2.0, seed=1))
    assert len(minutes) == pytest.approx(48_000, rel=0.06)
    assert sum(seconds for _, seconds in minutes) / len(minutes) == pytest.approx(2.0, rel=0.02)
    times = [at for at, _ in minutes]
    assert times == sorted(times)
    busiest = max(range(24), key=lambda hour: hours[hour])
    there = sum(busiest * HOUR_S <= at < (busiest + 1) * HOUR_S for at in times)
    assert there == pytest.approx(48_000 * hours[busiest] / sum(hours), rel=0.15)


def test_a_day_answers_all_and_its_machines_do_the_work(data: dict[str, Any]) -> None:
    short = {**data, "day": {**data["day"], "hours": [1, 3, 1]}}
    whisper, *_ = works(short, MEASURED, gpus=True)
    outcome = simulate(whisper, 6_000, short, OVERLAY, seed=2)
    found = answer(whisper, outcome, short, OVERLAY, gpu_price=2.0)
    assert found.lost == 0
    assert found.peak_nodes >= found.mean_nodes >= found.utilization
    work = sum(seconds for _, seconds in day(6_000, short["video"]["minutes"], [1, 3, 1], whisper.seconds, 2))
    assert outcome.busy_s == pytest.approx(work)
    assert found.dollars == pytest.approx(found.mean_nodes * outcome.end / 3600 * 2.0)


def test_the_cheapest_in_time_is_the_answer_and_the_quickest_where_none_is(data: dict[str, Any]) -> None:
    whisper, *_ = works(data, MEASURED, gpus=True)
    times = ((5, 9), (9, 5), (40, 1))
    dear, cheap, slow = (Answer(whisper, OVERLAY, 1, 1.0, 1, 0.5, p95, 0, dollars) for p95, dollars in times)
    assert cheapest([dear, cheap, slow], 30) is cheap
    assert cheapest([slow, cheap], 2) is cheap


def test_without_gpus_the_measured_models_take_the_place_of_the_cited(data: dict[str, Any]) -> None:
    on_gpus = {each.model: each for each in works(data, MEASURED, gpus=True)}
    on_cpus = {each.model: each for each in works(data, MEASURED, gpus=False)}
    assert {name for name, each in on_gpus.items() if each.device == "gpu"} == {"whisper", "coqui_tts"}
    assert on_gpus["whisper"].basis.startswith("cited")
    assert all(each.device == "cpu" for each in on_cpus.values())
    assert on_cpus["coqui_tts"].seconds == 12.0
    assert on_cpus["vad"].basis.startswith("measured")


def test_the_part_nearest_to_its_end_comes_first_and_twice_the_load_takes_twice_the_share(data: dict[str, Any]) -> None:
    nodes = {"whisper": 1.0, "coqui": 1.0, "cpu": 1.0}
    found = parts(1.0, MEASURED, data["limits"], nodes)
    assert [each.share for each in found] == sorted((each.share for each in found), reverse=True)
    database = next(each for each in found if each.name == "PostgreSQL, transactions that write")
    assert database.share == pytest.approx(50 / 70)
    twice = next(each for each in parts(2.0, MEASURED, data["limits"], nodes) if each.name == database.name)
    assert twice.share == pytest.approx(2 * database.share)


def test_connections_are_those_of_the_processes_that_the_peak_needs(data: dict[str, Any]) -> None:
    found = {each.name: each for each in parts(1.0, MEASURED, data["limits"], {"cpu": 1.0})}
    connections = found["PostgreSQL, connections"]
    assert connections.needed == pytest.approx(14 * found["API processes"].needed + 20 * found["workers"].needed)
    assert connections.there == manifest_limits()["connections"] - 30


def test_the_manifests_say_how_far_parts_may_grow() -> None:
    assert {"whisper nodes", "coqui nodes", "cpu nodes", "octavia-api", "octavia-worker", "connections"} <= set(
        manifest_limits()
    )


def test_the_control_plane_is_paid_by_its_cpu_time(data: dict[str, Any]) -> None:
    price = data["prices"]["cpu"]["node"]
    expected = 1000 * (1 + 9 + 2) / data["limits"]["utilization"] / 3600 * price
    assert control_plane_dollars(1000, MEASURED, data) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("ray::ServeReplica:octavia:coqui_tts", "coqui_tts"),
        ("ray::ServeReplica:octavia:protocol", "protocol"),
        ("ray::ProxyActor", "proxy"),
        ("python -m orchestrator.app", "api"),
        ("ffmpeg -i a.mp4", "worker"),
        ("postgres: octavia [local] idle", "database"),
        ("ray::ServeController", "ray"),
        ("bash", None),
    ],
)
def test_processes_are_told_apart(command: str, kind: str | None) -> None:
    assert group(command) == kind


def test_what_an_idle_system_spends_is_taken_off() -> None:
    before = Seen({"api": 1.0}, 10, 100, 5, {"vad": 1})
    after = Seen({"api": 9.0, "worker": 2.0}, 110, 1100, 25, {"vad": 4})
    idle = Seen({"api": 2.0}, 20, 200, 0, {})
    spent = after.since(before, idle, share=2)
    assert spent == Seen({"api": 4.0, "worker": 2.0}, 60, 600, 20, {"vad": 3})
