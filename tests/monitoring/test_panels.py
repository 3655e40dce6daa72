"""A real run under a real Prometheus: every panel of every dashboard has data, and the job is one trace.

What only a fault shows is provoked: storage that is away for a while, a job that fails of it, a request that a model
refuses. NEEDS names what this machine or its settings cannot have.
"""

import json
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from benchmarks.trace import DUB, ask_for_mails, draw, rows, trace_of_a_mail
from orchestrator.local.ports import free_port
from scripts.make_dashboards import DASHBOARDS, FOLDER, INTERVAL
from tests.fixtures_model_plane import Plane, start_plane
from tests.fixtures_monitoring import Prometheus, prometheus
from tests.fixtures_system import System, run_job, system_environment
from tests.standins.otlp import Collector, SpanSeen
from tests.standins.smtp import SmtpServer

pytestmark = pytest.mark.soak

NEEDS: Mapping[str, str] = {
    "Memory of GPUs": "a GPU",
    "Captured of what was settled": "billing, under which no weights of the starter set load",
}
WINDOW = "10m"
STEPS = {"begin", "extract", "listen", "transcribe", "segment", "translate", "speak", "place", "render"}


@dataclass(frozen=True, slots=True)
class Run:
    """A system that has dubbed one file and met with faults since."""

    system: System
    plane: Plane
    watch: Prometheus
    collector: Collector
    job: Mapping[str, Any]


def two_ports() -> int:
    """The first of two free ports in a row."""
    first = free_port()
    while (second := free_port()) != first + 1:
        first = second
    return first


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, server_folder: Path, eight_seconds: Path) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("monitored")
    data, metrics = server_folder / "monitored", two_ports()
    with ExitStack() as stack:
        collector = stack.enter_context(Collector())
        smtp = stack.enter_context(SmtpServer())
        traced = {"OCTAVIA_OTLP_ENDPOINT": collector.endpoint}
        plane = start_plane(folder / "plane.log", OCTAVIA_PARENT_PID=str(os.getpid()), **traced)
        stack.callback(plane.stop)
        mail = {"HOST": "127.0.0.1", "PORT": str(smtp.port), "TLS": "none"}
        environment = system_environment(
            data,
            plane.address,
            OCTAVIA_METRICS_PORT=str(metrics),
            **{f"OCTAVIA_SMTP_{name}": value for name, value in mail.items()},
            **traced,
        )
        system = System(data, environment)
        system.start()
        stack.callback(system.stop)
        targets = {
            "octavia-api": f"127.0.0.1:{metrics}",
            "octavia-worker": f"127.0.0.1:{metrics + 1}",
            "octavia-models": str(plane.ready["http"]),
        }
        watch = stack.enter_context(prometheus(folder / "prometheus", targets))
        watch.until(lambda: len(watch.query("up == 1")) == len(targets))
        ask_for_mails(system)
        job = system.ask(lambda client: run_job(client, eight_seconds, **DUB))
        assert job["status"] == "completed", job
        _faults(system, plane, eight_seconds, data / "storage")
        # Ray has no counters at 0: the first job made them, this one raises them.
        system.ask(lambda client: run_job(client, eight_seconds, **DUB))
        yield Run(system, plane, watch, collector, job)


def _faults(system: System, plane: Plane, media: Path, storage: Path) -> None:
    """Storage is away until a job has failed of it; a model is sent what it cannot take."""
    uploaded = system.ask(lambda client: client.upload(media))
    aside = storage.with_name("storage.aside")
    storage.rename(aside)
    storage.touch()
    try:
        with media.open("rb") as file, httpx.Client(trust_env=False, timeout=60) as client:
            headers = {"Authorization": f"Bearer {system.token()}"}
            answer = client.post(f"{system.state['api_url']}/v1/media", files={"file": file}, headers=headers)
            assert answer.status_code >= 500, answer.text
        started = system.ask(lambda client: client.start({"media_id": uploaded["id"], **DUB}))
        deadline = time.monotonic() + 400
        while system.ask(lambda client: client.job(started["id"]))["status"] != "failed":
            assert time.monotonic() < deadline
            time.sleep(2)
    finally:
        storage.unlink()
        aside.rename(storage)
    httpx.get(f"{system.state['api_url']}/v1/billing/offers", trust_env=False, timeout=60)
    wrong = triton.InferInput("AUDIO", [1, 1], "FP32")
    wrong.set_data_from_numpy(np.zeros((1, 1), np.float32))
    with triton.InferenceServerClient(plane.address) as client, pytest.raises(InferenceServerException):
        client.infer("vad", [wrong])


def panels() -> list[tuple[str, str, str]]:
    """Dashboard, title and query of every target."""
    return [
        (name, panel["title"], target["expr"])
        for name in DASHBOARDS
        for panel in json.loads((FOLDER / f"{name}.json").read_text())["panels"]
        for target in panel["targets"]
    ]


def test_every_panel_has_data(run: Run) -> None:
    def empty() -> list[tuple[str, str, str]]:
        return [each for each in panels() if each[1] not in NEEDS and not _figures(run.watch, each[2])]

    deadline = time.monotonic() + 60  # Ray's agents export every few seconds
    while missing := empty():
        assert time.monotonic() < deadline, missing
        time.sleep(3)


def _figures(watch: Prometheus, query: str) -> Sequence[float]:
    """What a panel would draw."""
    found = watch.query(query.replace(INTERVAL, WINDOW))
    return [value for each in found if not math.isnan(value := float(each["value"][1]))]


def test_every_alert_can_be_evaluated_and_none_of_them_is_wrong_about_the_house(run: Run) -> None:
    rules = httpx.get(f"{run.watch.url}/api/v1/rules", trust_env=False, timeout=60).json()["data"]["groups"]
    assert all(rule["health"] == "ok" for group in rules for rule in group["rules"]), rules
    assert run.watch.firing() <= {"ApiErrors", "JobsFailing", "DiskNearlyFull"}


def test_a_job_is_one_trace_from_its_upload_to_its_mail(run: Run, tmp_path: Path) -> None:
    run.collector.until(lambda spans: bool(trace_of_a_mail(spans)))
    trace = trace_of_a_mail(run.collector.spans)
    names = {span.name for span in trace}
    assert {"POST /v1/media", "POST /v1/jobs", "job", "wait in the queue", "tell", "send an e-mail"} <= names
    assert names >= STEPS
    assert {"serve whisper", "serve coqui_tts", "wait for a batch", "compute"} <= names
    assert {span.service for span in trace} == {"octavia-api", "octavia-worker", "octavia-models"}
    (whole,) = [span for span in trace if span.name == "job"]
    assert whole.attributes["octavia.job_id"] == run.job["id"]
    _assert_nested(trace)
    draw(trace, tmp_path / "trace.png")
    assert (tmp_path / "trace.png").stat().st_size > 10_000
    said = " ".join(segment["text"] for segment in run.system.ask(lambda client: client.segments(run.job["id"])))
    told = json.dumps([[span.name, span.attributes] for span in run.collector.spans], default=str)
    assert not [word for word in said.split() if len(word) > 6 and word in told]
    assert run.system.token() not in told
    assert "@" not in told


def _assert_nested(trace: Sequence[SpanSeen]) -> None:
    """Each span's parent is there, but for the caller's own, and all of them hang together."""
    ids = {span.id for span in trace}
    roots = [span for span in trace if span.parent not in ids]
    assert {span.name for span in roots} <= {"POST /v1/media", "POST /v1/jobs", "GET /v1/jobs/{job_id}"} | {
        "GET /v1/jobs/{job_id}/events"
    }
    assert len(rows(trace)) == len(trace)
