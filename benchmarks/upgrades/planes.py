"""The upgrades: each plane's processes are replaced in the documented order while users and callers go on."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import httpx

from benchmarks.load.stats import Noted
from benchmarks.resilience import MODELS, Load, changed
from benchmarks.upgrades.outcome import Asked, Clock, Row, Upgrade, row, rows_of
from benchmarks.upgrades.stage import KIND, PATIENCE_S, Stage, end, until
from tests.standins import odd_worker

NEW_ORIGIN = "https://new.example.org"
"""A page that only processes of the new configuration let in."""
CALLERS = 2
NEW_VERSION = "2"

_JOBS_OF = (
    "select distinct left(workflow_uuid, 36), application_version, executor_id from dbos.workflow_status"
    " where left(workflow_uuid, 36) in (select id::text from job where kind = %s)"
)
_LEFT = "select count(*) from dbos.workflow_status where status in ('ENQUEUED', 'PENDING') and application_version = %s"
_UNDER_WAY = (
    "select count(*) from dbos.workflow_status w join job j on w.workflow_uuid = j.id::text"
    " where w.status = 'PENDING' and w.executor_id = %s"
)


def upgrade_api(stage: Stage, seconds: float) -> Upgrade:
    """Each of the two processes in turn gets SIGTERM, ends, and a new one takes its place."""
    seen, wrong, clock = list[str](), list[str](), Clock()
    old = {name: process.pid for name, process in stage.apis.items()}

    def replace() -> None:
        for name in stage.ports:
            process, began = stage.apis[name], time.monotonic()
            process.send_signal(signal.SIGTERM)
            unready = until(lambda: not _is_ready(stage.ports[name]), "the process says that it ends")  # noqa: B023
            turned = until(lambda: not stage.proxy.is_up(name), "HAProxy turns away")  # noqa: B023
            if process.poll() is not None:
                wrong.append(f"{name} ended before HAProxy had turned away")
            status = process.wait(PATIENCE_S)
            if status:
                wrong.append(f"{name} ended with status {status}")
            took = time.monotonic() - began
            stage.start_api(name, OCTAVIA_WEB_ORIGINS=f'["{NEW_ORIGIN}"]')
            seen.append(
                f"API {name}: not ready after {unready:.1f} s, no more requests after {unready + turned:.1f} s,"
                f" ended with status {status} after {took:.1f} s; process {old[name]} -> {stage.apis[name].pid}"
            )

    notes = _under_load(stage, seconds, clock, replace)
    if not all(_lets_in(stage.proxy.url, NEW_ORIGIN) for _ in range(4)):
        wrong.append("a process of the old configuration still answers")
    return Upgrade(
        rows_of("api", notes, clock), tuple(seen), (*wrong, *_unchanged(old, stage), *stage.until_jobs_end())
    )


def upgrade_workers(stage: Stage, seconds: float) -> Upgrade:
    """A worker is drained while another of the same version stands beside it; then a new version comes, the old one's
    jobs end where they began, and its worker goes.
    """
    seen, wrong, clock = list[str](), list[str](), Clock()
    (old,) = [name for name, process in stage.workers.items() if process.poll() is None]

    def go(name: str) -> None:
        process, began = stage.workers[name], time.monotonic()
        carried = stage.rows(_UNDER_WAY, name)[0][0]
        status = end(process)
        seen.append(
            f"worker {name}: SIGTERM with {carried} jobs under way, ended with status {status} after"
            f" {time.monotonic() - began:.1f} s"
        )
        if status:
            wrong.append(f"the worker {name} ended with status {status}")

    def replace() -> None:
        stage.start_worker("second")
        until(lambda: stage.rows(_UNDER_WAY, old)[0][0] > 0, "the worker that goes has a job")
        go(old)
        stage.start_worker("next", "tests.standins.odd_worker", **{odd_worker.VERSION: NEW_VERSION})
        until(lambda: stage.rows(_UNDER_WAY, "next")[0][0] > 0, "the new version takes a job")
        until(lambda: stage.rows(_LEFT, "1")[0][0] == 0, "the old version's work ends")
        go("second")

    notes = _under_load(stage, seconds, clock, replace)
    wrong += stage.until_jobs_end()
    versions: dict[str, set[str]] = {}
    for job, version, _ in stage.rows(_JOBS_OF, KIND):
        versions.setdefault(job, set()).add(version)
    count = {version: sum(each == {version} for each in versions.values()) for version in ("1", NEW_VERSION)}
    seen.append(f"{count['1']} jobs were wholly of version 1, {count[NEW_VERSION]} of version {NEW_VERSION}")
    if sum(count.values()) != len(versions) or not all(count.values()):
        wrong.append(f"of {len(versions)} jobs {count} were of one version from beginning to end")
    return Upgrade(rows_of("workers", notes, clock), tuple(seen), tuple(wrong))


def upgrade_models(stage: Stage, seconds: float) -> Upgrade:
    """serve.yaml is changed and read again, which replaces every replica, under jobs and direct callers."""
    seen, wrong, clock = list[str](), list[str](), Clock()
    before = _replicas(stage)

    def replace() -> None:
        changed(stage.serve_yaml)
        os.kill(stage.plane.process.pid, signal.SIGUSR1)
        took = until(lambda: _all_new(stage, before), "every replica is replaced", max(PATIENCE_S, seconds))
        seen.append(
            f"{sum(map(len, before.values()))} replicas of {len(before)} models were replaced within {took:.0f} s"
        )

    with _callers(stage.plane.address, clock) as called:
        notes = _under_load(stage, seconds, clock, replace)
    return Upgrade((*rows_of("models", notes, clock), called()), tuple(seen), (*wrong, *stage.until_jobs_end()))


UPGRADES: Mapping[str, Callable[[Stage, float], Upgrade]] = {
    "api": upgrade_api,
    "workers": upgrade_workers,
    "models": upgrade_models,
}


def _under_load(stage: Stage, seconds: float, clock: Clock, replace: Callable[[], None]) -> list[Noted]:
    """Replace under all profiles, with so many seconds before and after; what locust noted."""
    with stage.load() as locust:
        clock.run("before", lambda: time.sleep(seconds))
        clock.run("during", replace)
        clock.run("after", lambda: time.sleep(seconds))
        locust.stop()
        return locust.notes()


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=10, trust_env=False).is_success
    except httpx.TransportError:
        return False


def _lets_in(url: str, origin: str) -> bool:
    answer = httpx.get(f"{url}/healthz", headers={"Origin": origin}, timeout=30, trust_env=False)
    return bool(answer.headers.get("Access-Control-Allow-Origin") == origin)


def _unchanged(old: Mapping[str, int], stage: Stage) -> list[str]:
    return [f"{name} is the process it was" for name, pid in old.items() if stage.apis[name].pid == pid]


def _replicas(stage: Stage) -> dict[str, set[int]]:
    """The processes that hold a replica, by model, where there is one."""
    found = {model: {process.pid for process in stage.plane.replicas(model)} for model in MODELS}
    return {model: pids for model, pids in found.items() if pids}


def _all_new(stage: Stage, before: Mapping[str, set[int]]) -> bool:
    now = _replicas(stage)
    return all(now.get(model) and not now[model] & pids for model, pids in before.items())


@contextmanager
def _callers(address: str, clock: Clock) -> Iterator[Callable[[], Row]]:
    """Direct callers of the protocol with the README's retry policy while the context lasts; then their row."""
    load = Load(address, CALLERS)
    thread = threading.Thread(target=lambda: asyncio.run(load.run()), daemon=True)
    thread.start()

    def outcome() -> Row:
        asked = [Asked(began, seconds * 1e3) for began, seconds in load.outcome.took]
        repeated = load.outcome.repeated.total()
        return row("models", "calls over gRPC", asked, repeated, load.outcome.failed, clock)

    try:
        yield outcome
    finally:
        load.stopping = True
        thread.join(PATIENCE_S)
