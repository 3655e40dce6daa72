"""A whole Octavia whose parts are replaced while it is used: two API processes behind HAProxy, workers, models."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.load.running import Locust, Target
from benchmarks.load.site import Ground, ground, news
from benchmarks.ready import until_ready
from benchmarks.upgrades.haproxy import CHECK_S, FALL, Haproxy, haproxy
from orchestrator.local.ports import free_port, free_ports
from tests.fixtures_api_process import api_process
from tests.fixtures_model_plane import Plane, start_plane
from tests.fixtures_system import SAMPLE
from tests.fixtures_worker import worker_process

SERVE_YAML = Path(__file__).parents[2] / "serve" / "serve.yaml"
DRAIN_S = 10 * CHECK_S * FALL
"""How long an API process that ends still takes requests: ten times what HAProxy needs to see it."""
FINISH_S = 20
USERS: Mapping[str, int] = {"browse": 4, "uploads": 3, "watchers": 4, "translate": 2}
THINK_S = 0.1
PATIENCE_S = 240.0
CLIP_S = 8
KIND = "audio_translation"
WISH = {"kind": KIND, "source_language": "en", "target_languages": ["es"]}


class UpgradeError(Exception):
    """An upgrade did not get to its end."""


@dataclass
class Stage:
    """What runs now. `apis` and `workers` by name. `drains`: whether an API process that ends lets requests come and
    end first."""

    there: Ground
    plane: Plane
    serve_yaml: Path
    proxy: Haproxy
    ports: Mapping[str, int]
    clip: Path
    drains: bool = True
    apis: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    workers: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)
    _runs: int = 0

    def start_api(self, name: str, **variables: str) -> None:
        """A process that answers at the port of this name; None stands there now."""
        self._runs += 1
        own = {
            **self.there.variables,
            "OCTAVIA_MODEL_ADDRESS": self.plane.address,
            "OCTAVIA_API_PORT": str(self.ports[name]),
            "OCTAVIA_API_DRAIN_S": str(DRAIN_S if self.drains else 0),
            "OCTAVIA_API_FINISH_S": str(FINISH_S if self.drains else 1),
            **variables,
        }
        running = api_process(self.there.settings, self.there.folder, f"api-{name}-{self._runs}", **own)
        self.apis[name] = self._stack.enter_context(running)
        until_ready(f"http://127.0.0.1:{self.ports[name]}")
        self.proxy.until_up(name)

    def start_worker(self, name: str, module: str = "orchestrator.jobs.worker", **variables: str) -> None:
        own = {
            **self.there.variables,
            "OCTAVIA_MODEL_ADDRESS": self.plane.address,
            "OCTAVIA_STALE_AFTER_S": "30",
            "OCTAVIA_READ_BACK": "none",
            "OCTAVIA_LOG_LEVEL": "INFO",
            **variables,
        }
        running = worker_process(self.there.settings, self.there.folder, name, module, **own)
        self.workers[name] = self._stack.enter_context(running)
        log = self.there.folder / f"{name}.log"
        until(lambda: "worker ready" in log.read_text(), f"the worker {name} takes work")

    @contextmanager
    def load(self) -> Iterator[Locust]:
        """Users of all profiles, from the first finished job on."""
        self._runs += 1
        folder = self.there.folder / f"locust-{self._runs}"
        folder.mkdir()
        target = Target(self.proxy.url, self.there.accounts)
        with (
            news(self.there),
            Locust(target, USERS, folder, think_s=THINK_S, job=(self.clip, WISH)) as locust,
        ):
            until(lambda: any(note.kind == "JOB" for note in locust.notes()), "a first job ends")
            yield locust

    def rows(self, statement: str, *values: object) -> Sequence[tuple[Any, ...]]:
        with psycopg.connect(str(self.there.settings.database_url)) as connection:
            return connection.execute(statement.encode(), values).fetchall()

    def until_jobs_end(self) -> list[str]:
        """Wait for every job that was accepted; what is wrong with them, in sentences."""
        open_ = "select count(*) from job where kind = %s and status in ('pending', 'processing')"
        until(lambda: self.rows(open_, KIND)[0][0] == 0, "the jobs that were accepted end")
        wrong = [
            f"{count} jobs {status}"
            for status, count in self.rows("select status, count(*) from job where kind = %s group by 1", KIND)
            if status != "completed"
        ]
        settled = (
            "select count(*) from job j where kind = %s"
            " and (select coalesce(array_agg(e.kind order by e.sequence), '{}')"
            " from credit_entry e where e.reference = 'job:' || j.id)::text[] <> array['hold', 'capture']"
        )
        unsettled = self.rows(settled, KIND)[0][0]
        return wrong + ([f"{unsettled} jobs whose credits were not held and captured once"] if unsettled else [])


@contextmanager
def stage(folder: Path, *, drains: bool = True) -> Iterator[Stage]:
    """All of it on loopback, in a folder that everybody may enter."""
    serve_yaml = Path(shutil.copy(SERVE_YAML, folder / "serve.yaml"))
    with ExitStack() as stack:
        there = stack.enter_context(ground(folder, sum(USERS.values())))
        plane = start_plane(
            folder / "serve.log", OCTAVIA_PARENT_PID=str(os.getpid()), OCTAVIA_SERVE_CONFIG=str(serve_yaml)
        )
        stack.callback(plane.stop)
        ports = dict(zip("ab", free_ports(2), strict=True))
        proxy = stack.enter_context(haproxy(folder, free_port(), list(ports.values())))
        set_up = Stage(there, plane, serve_yaml, proxy, ports, cut(folder / "clip.wav"), drains)
        stack.enter_context(set_up._stack)
        for name in ports:
            set_up.start_api(name)
        set_up.start_worker("first")
        yield set_up


def cut(path: Path) -> Path:
    """The beginning of the sample's sound."""
    options = ["-vn", "-ar", "16000", "-t", str(CLIP_S)]
    subprocess.run(["ffmpeg", "-nostdin", "-loglevel", "error", "-i", str(SAMPLE), *options, str(path)], check=True)
    return path


def until(there: Callable[[], bool], what: str, timeout_s: float = PATIENCE_S) -> float:
    """Wait for it; seconds it took. Raises UpgradeError."""
    began = time.monotonic()
    while not there():
        if time.monotonic() - began > timeout_s:
            raise UpgradeError(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(0.1)
    return time.monotonic() - began


def end(process: subprocess.Popen[Any]) -> int:
    """SIGTERM; the exit status. Raises subprocess.TimeoutExpired."""
    process.send_signal(signal.SIGTERM)
    return process.wait(PATIENCE_S)
