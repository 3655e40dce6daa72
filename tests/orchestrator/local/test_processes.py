"""What `octavia up` promises of its processes: kept while it runs, none left when it ends, however it ends."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from orchestrator.local.processes import Child
from orchestrator.local.up import _models, _reachable

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)",
]


async def until(condition: object, seconds: float = 60.0) -> None:
    assert callable(condition)
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {condition}")


def test_a_process_that_dies_is_started_again_and_its_death_is_told_first() -> None:
    async def scenario() -> None:
        told: list[str] = []

        async def died(environment: Mapping[str, str]) -> None:
            told.append(environment["NAME"])

        names = iter(["first", "second", "third"])
        child = Child("sleeper", SLEEP, lambda: {"NAME": next(names)}, died=died)
        await child.start()
        keeper = asyncio.create_task(child.keep())
        assert child.process is not None
        first = child.process.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: child.process is not None and child.process.pid != first)
        assert told == ["first"]
        await child.stop()
        await keeper

    asyncio.run(scenario())


def test_a_stopped_process_is_not_started_again() -> None:
    async def scenario() -> None:
        child = Child("sleeper", SLEEP, dict)
        await child.start()
        keeper = asyncio.create_task(child.keep())
        await child.stop()
        await asyncio.wait_for(keeper, 60)
        assert child.process is not None
        assert child.process.returncode == -signal.SIGTERM

    asyncio.run(scenario())


def test_a_process_that_ignores_the_request_to_stop_is_killed(tmp_path: Path) -> None:
    async def scenario() -> None:
        output = tmp_path / "stubborn.log"
        child = Child("stubborn", STUBBORN, dict, log_file=output, stop_timeout_s=0.5)
        await child.start()
        await until(lambda: output.exists() and "up" in output.read_text())
        await child.stop()
        assert child.process is not None
        assert child.process.returncode == -signal.SIGKILL

    asyncio.run(scenario())


def test_a_process_that_cannot_be_started_again_at_once_is_tried_again(tmp_path: Path) -> None:
    program = tmp_path / "sleeper"
    program.symlink_to("/bin/sleep")

    async def scenario() -> None:
        async def died(_: Mapping[str, str]) -> None:
            program.unlink()
            raise ValueError("the one who is told fails too")

        child = Child("sleeper", [str(program), "600"], dict, died=died)
        await child.start()
        keeper = asyncio.create_task(child.keep())
        assert child.process is not None
        first = child.process.pid
        child.process.kill()
        await until(lambda: not program.exists())
        await asyncio.sleep(1.5)  # at least one attempt fails
        program.symlink_to("/bin/sleep")
        await until(lambda: child.process is not None and child.process.pid != first)
        await child.stop()
        await asyncio.wait_for(keeper, 60)

    asyncio.run(scenario())


def test_a_process_inherits_what_it_is_given_and_its_own_variables_win(tmp_path: Path) -> None:
    output = tmp_path / "environment"
    program = "import os; print(os.environ.get('A'), os.environ.get('B'), 'HOME' in os.environ)"

    async def scenario() -> None:
        child = Child(
            "shown",
            [sys.executable, "-c", program],
            lambda: {"A": "own"},
            log_file=output,
            inherited=lambda: {"A": "inherited", "B": "kept"},
        )
        await child.start()
        assert child.process is not None
        await child.process.wait()

    asyncio.run(scenario())
    assert output.read_text() == "own kept False\n"


def test_the_model_plane_gets_no_secret_of_the_control_plane(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {
        "OCTAVIA_DATABASE_URL",
        "OCTAVIA_JWT_SECRET",
        "OCTAVIA_STORAGE_URL",
        "PGPASSWORD",
        "AWS_SECRET_ACCESS_KEY",
    }
    needed = {"OCTAVIA_WEIGHTS", "OCTAVIA_MODEL_REPO", "HF_HOME", "https_proxy", "PATH"}
    for name in secrets | needed:
        monkeypatch.setenv(name, "x")
    address = {"OCTAVIA_SERVE_GRPC_PORT": "1", "OCTAVIA_DATABASE_URL": "postgresql://", "OCTAVIA_DATA_DIR": "/"}
    child = _models(address, None)
    given = {**child.inherited(), **child.environment()}
    assert needed | {"OCTAVIA_SERVE_GRPC_PORT"} <= given.keys()
    assert not given.keys() & (secrets | {"OCTAVIA_DATA_DIR"})
    assert child.stop_timeout_s >= 130


@pytest.mark.parametrize(
    ("listening", "called"),
    [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]"), ("box", "box")],  # noqa: S104
)
def test_an_api_that_listens_everywhere_is_called_on_this_machine(listening: str, called: str) -> None:
    assert _reachable(listening) == called


def test_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    child_code = "import pathlib, time; from orchestrator.local.processes import end_with_parent as e"
    child_code += f"; e(); pathlib.Path({str(ready)!r}).touch(); time.sleep(600)"
    parent_code = f"""
        import asyncio, pathlib, sys
        from orchestrator.local.processes import Child
        async def main():
            child = Child("child", [sys.executable, "-c", {child_code!r}], dict)
            await child.start()
            while not pathlib.Path({str(ready)!r}).exists():
                await asyncio.sleep(0.02)
            print(child.process.pid, flush=True)
            await asyncio.sleep(600)
        asyncio.run(main())
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(parent_code)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    assert child.is_running()
    parent.kill()
    parent.wait()
    child.wait(timeout=60)
    assert not child.is_running()
