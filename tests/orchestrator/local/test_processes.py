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

from orchestrator.local.processes import Child

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)",
]


async def until(condition: object, seconds: float = 20.0) -> None:
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
        await asyncio.wait_for(keeper, 10)
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


def test_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    child_code = "import time; from orchestrator.local.processes import end_with_parent as e; e(); time.sleep(600)"
    parent_code = f"""
        import asyncio, sys
        from orchestrator.local.processes import Child
        async def main():
            child = Child("child", [sys.executable, "-c", {child_code!r}], dict)
            await child.start()
            await asyncio.sleep(2)
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
    child.wait(timeout=20)
    assert not child.is_running()
