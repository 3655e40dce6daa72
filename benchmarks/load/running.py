"""locust in a process of its own, and its result."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.load.stats import LoadResult, Noted, read_errors, read_notes, read_rows
from benchmarks.machine import machine

ROOT = Path(__file__).parents[2]
PROFILES: Mapping[str, str] = {
    "browse": "Browser",
    "translate": "Translator",
    "uploads": "Uploader",
    "webhooks": "Polar",
    "watchers": "Watcher",
}
"""The class of locust users in the file of profiles/ of this name."""
STARTED_AT_ONCE = 20
"""Users a second: each logs in, which costs a processor 30 ms or more."""
END_S = 30.0


class LoadError(Exception):
    """locust did not run to its end."""


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who can log in. `jobs`: some that they may look at or follow."""

    email: str
    password: str
    jobs: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked, and by whom."""

    host: str
    accounts: Sequence[Account] = ()
    webhook_secret: str | None = None


class Locust:
    """Users of some profiles, from entering the context until `stop` or its end.

    `users`: how many of each profile. `think_s`: the mean of their pauses between requests. `job`: what translators ask
    for, the file and the rest of the request.
    """

    def __init__(
        self,
        target: Target,
        users: Mapping[str, int],
        folder: Path,
        *,
        seconds: float | None = None,
        think_s: float = 0.0,
        job: tuple[Path, Mapping[str, object]] | None = None,
    ) -> None:
        self._users = dict(users)
        self._seconds, self._think_s = seconds, think_s
        self._stats, self._log = folder / "stats.json", folder / "locust.log"
        self._csv, self._notes = folder / "locust", folder / "requests.tsv"
        self._notes.touch()
        told = {
            "accounts": [
                {"email": each.email, "password": each.password, "jobs": list(each.jobs)} for each in target.accounts
            ],
            "webhook_secret": target.webhook_secret,
            "think_s": think_s,
            "notes": str(self._notes),
            "file": str(job[0]) if job else None,
            "request": dict(job[1]) if job else None,
        }
        (folder / "load.json").write_text(json.dumps(told))
        files = ",".join(str(Path(__file__).parent / "profiles" / f"{name}.py") for name in users)
        classes = [{"user_class_name": PROFILES[name], "fixed_count": count} for name, count in users.items()]
        self._command = [sys.executable, "-m", "locust", "--headless", "--only-summary", "-f", files]
        self._command += ["--host", target.host, "--users", str(sum(users.values()))]
        self._command += ["--spawn-rate", str(STARTED_AT_ONCE), "--config-users", *map(json.dumps, classes)]
        self._command += [
            "--json-file",
            str(self._stats.with_suffix("")),
            "--csv",
            str(self._csv),
            "--loglevel",
            "WARNING",
        ]
        self._command += ["--run-time", f"{seconds:.0f}s"] if seconds else []
        self._environment = {"OCTAVIA_LOAD": str(folder / "load.json"), "PYTHONPATH": str(ROOT)}
        self._process: subprocess.Popen[bytes] | None = None
        self._began = 0.0

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, env=os.environ | self._environment, stdout=log, stderr=subprocess.STDOUT
            )
        self._began = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._running()
        if process.poll() is None:
            process.kill()
            process.wait()

    def notes(self) -> list[Noted]:
        """Every request that was answered until now."""
        return read_notes(self._notes)

    def wait(self) -> LoadResult:
        """The result after `seconds`. Raises LoadError."""
        if self._seconds is None:
            raise ValueError("this run has no end of its own")
        return self._result(self._seconds + END_S + 30)

    def stop(self) -> LoadResult:
        """End it now. Raises LoadError."""
        self._running().terminate()
        return self._result(END_S)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise ValueError("locust was not started")
        return self._process

    def _result(self, timeout_s: float) -> LoadResult:
        try:
            self._running().wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise LoadError(f"locust did not end: {self._said()}") from error
        if not self._stats.exists():
            raise LoadError(f"locust gave no result: {self._said()}")
        if "Traceback" in self._said():
            raise LoadError(f"a user of locust ended by an exception of its own: {self._said()}")
        return LoadResult(
            profile=" + ".join(self._users),
            users=sum(self._users.values()),
            seconds=self._seconds or time.monotonic() - self._began,
            think_s=self._think_s,
            requests=read_rows(self._stats),
            errors=read_errors(Path(f"{self._csv}_failures.csv")),
            machine=machine(),
        )

    def _said(self) -> str:
        return self._log.read_text(errors="replace")[-3000:]


def run(
    profile: str,
    *,
    users: int = 20,
    seconds: float = 30.0,
    think_s: float = 0.0,
    host: str | None = None,
    accounts: Path | None = None,
    webhook_secret: str | None = None,
) -> LoadResult:
    """Run a profile against `host`, or against an API started for it on loopback (`site`).

    A host needs `accounts`, a JSON file of [{"email", "password"}], but for webhooks the secret instead. Their users
    have the host's rate limits. Raises LoadError.
    """
    if profile not in PROFILES:
        raise LoadError(f"there is no profile {profile!r}; there are {', '.join(PROFILES)}")
    with tempfile.TemporaryDirectory(prefix="octavia-load-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # for the database's own user
        if host is not None:
            known = json.loads(accounts.read_text()) if accounts else []
            target = Target(host, [Account(**each) for each in known], webhook_secret)
            return _drive(target, profile, users, seconds, think_s, folder)
        from benchmarks.load.site import site  # noqa: PLC0415  (the whole control plane, which a host makes needless)

        with site(folder, users, with_models=profile == "translate", with_news=profile == "watchers") as started:
            return _drive(started.target, profile, users, seconds, think_s, folder)


def _drive(target: Target, profile: str, users: int, seconds: float, think_s: float, folder: Path) -> LoadResult:
    with Locust(target, {profile: users}, folder, seconds=seconds, think_s=think_s) as locust:
        return locust.wait()
