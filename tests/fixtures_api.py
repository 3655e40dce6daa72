"""The API as a process of its own, for what a test kills, or whose memory it watches."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import psutil

from orchestrator.local.ports import free_port
from orchestrator.settings import Settings


@dataclass(frozen=True, slots=True)
class ApiProcess:
    """`address` is host and port. `process` may be killed."""

    address: str
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://{self.address}"


@contextmanager
def api_process(
    settings: Settings, log: Path, variables: Mapping[str, str] | None = None, *, largest_file: int | None = None
) -> Iterator[ApiProcess]:
    """An API on the test's database, storage and keys, without a model plane; killed at the end at the latest.

    `variables`: more of its environment. `largest_file`: bytes it can write into one file, as on a disk that is full.
    """
    port = free_port()
    assert settings.jwt_secret is not None
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("OCTAVIA_")},
        "OCTAVIA_DATA_DIR": str(settings.data_dir),
        "OCTAVIA_DATABASE_URL": str(settings.database_url),
        "OCTAVIA_JWT_SECRET": settings.jwt_secret.get_secret_value(),
        "OCTAVIA_RATE_LIMITS_ENABLED": "false",
        "OCTAVIA_MODEL_ADDRESS": "127.0.0.1:1",
        "OCTAVIA_API_PORT": str(port),
        **(variables or {}),
    }
    with log.open("ab") as output:
        limit = ["prlimit", f"--fsize={largest_file}"] if largest_file else []
        command = [*limit, sys.executable, "-m", "orchestrator.app"]
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    api = ApiProcess(f"127.0.0.1:{port}", process)
    try:
        _wait(api, log)
        yield api
    finally:
        process.kill()
        process.wait()


def _wait(api: ApiProcess, log: Path) -> None:
    deadline = time.monotonic() + 300
    while True:
        try:
            httpx.get(f"{api.url}/healthz", timeout=5).raise_for_status()
        except httpx.HTTPError:
            if api.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the API did not start: {log.read_text()[-4000:]}") from None
            time.sleep(0.1)
        else:
            return


@dataclass
class MemoryWatch:
    """The most memory (RSS, bytes) a process had while watched, beyond what it had at the start."""

    pid: int
    start: int = 0
    most: int = 0
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @property
    def growth(self) -> int:
        return self.most - self.start

    def __enter__(self) -> Self:
        self.start = self.most = psutil.Process(self.pid).memory_info().rss
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread:
            self._thread.join()

    def _watch(self) -> None:
        process = psutil.Process(self.pid)
        while not self._over.wait(0.02):
            try:
                self.most = max(self.most, process.memory_info().rss)
            except psutil.NoSuchProcess:
                return
