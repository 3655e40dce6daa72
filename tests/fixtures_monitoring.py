"""A real Prometheus (Debian's) that scrapes a test's processes, and the alert rules at a test's pace."""

import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from orchestrator.local.ports import free_port

MONITORING = Path(__file__).parents[1] / "monitoring"
Json = dict[str, Any]

FOR = "1s"
WINDOW = "15s"
"""What every `for:` and every range of a rule becomes at a test's pace; thresholds of ages are given by the test."""


def rules() -> Json:
    """The alert rules as they are."""
    return dict(yaml.safe_load((MONITORING / "alerts.yml").read_text()))


def alerts() -> dict[str, Json]:
    """Each alert rule by its name."""
    return {rule["alert"]: rule for group in rules()["groups"] for rule in group["rules"]}


def hurried(thresholds: Mapping[str, tuple[str, str]]) -> Json:
    """The rules at a test's pace: a second's `for:`, ranges of 15 s, and of these alerts another threshold (from, to).

    What an alert looks at and how it compares stays as it is.
    """
    changed = rules()
    for group in changed["groups"]:
        group["interval"] = "1s"
        for rule in group["rules"]:
            rule["for"] = FOR
            rule["expr"] = re.sub(r"\[\d+m\]", f"[{WINDOW}]", rule["expr"])
            if rule["alert"] in thresholds:
                before, after = thresholds[rule["alert"]]
                assert before in rule["expr"], rule
                rule["expr"] = rule["expr"].replace(before, after)
    return changed


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running one."""

    url: str

    def query(self, query: str) -> Sequence[Json]:
        """The series of an instant query."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": query}, timeout=30, trust_env=False).json()
        assert answer["status"] == "success", (query, answer)
        return list(answer["data"]["result"])

    def firing(self) -> set[str]:
        """The names of the alerts that fire now."""
        answer = httpx.get(f"{self.url}/api/v1/alerts", timeout=30, trust_env=False).json()
        return {each["labels"]["alertname"] for each in answer["data"]["alerts"] if each["state"] == "firing"}

    def until(self, there: Callable[[], object], seconds: float = 300) -> None:
        """Wait until it is so. AssertionError after so many seconds."""
        deadline = time.monotonic() + seconds
        while not there():
            assert time.monotonic() < deadline, self.firing()
            time.sleep(0.5)

    def until_fires(self, alert: str, seconds: float = 300) -> None:
        self.until(lambda: alert in self.firing(), seconds)

    def until_quiet(self, alert: str, seconds: float = 300) -> None:
        self.until(lambda: alert not in self.firing(), seconds)


@contextmanager
def prometheus(folder: Path, targets: Mapping[str, str], rules_: Json | None = None) -> Iterator[Prometheus]:
    """One that scrapes the targets (a job's name and its address) every second, with the relabelling of our example."""
    folder.mkdir(parents=True, exist_ok=True)
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    (folder / "alerts.yml").write_text(yaml.safe_dump(rules_ or rules()))
    jobs = [job for job in config["scrape_configs"] if job["job_name"] in targets]
    for job in jobs:
        job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
    config["scrape_configs"] = jobs
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb"]
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [*command, f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"], stdout=log, stderr=log
        )
    running = Prometheus(f"http://127.0.0.1:{port}")
    try:
        _wait(running, process, folder / "prometheus.log")
        yield running
    finally:
        process.terminate()
        process.wait(timeout=60)


def _wait(running: Prometheus, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            httpx.get(f"{running.url}/-/ready", timeout=5, trust_env=False).raise_for_status()
        except httpx.HTTPError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        else:
            return
