"""Child processes of `octavia up`: each in a session of its own, restarted when it dies, ended with its parent."""

import asyncio
import ctypes
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

PARENT_PID = "OCTAVIA_PARENT_PID"
EXECUTOR_ID = "OCTAVIA_EXECUTOR_ID"
"""A worker's name for itself, given by a supervisor that can then say on its behalf that it is gone."""
_PR_SET_PDEATHSIG = 1
LONGEST_PAUSE_S = 15.0


def end_with_parent() -> None:
    """In a child: be sent SIGTERM when the process that started us dies, even by kill -9. Linux only, else a no-op."""
    parent = os.environ.get(PARENT_PID)
    if parent is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        raise SystemExit("the process that started this one is gone")


@dataclass
class Child:
    """One kept process. Its environment is what it inherits and, over that, its own (both asked at each start).

    `died` is awaited with the dead process's environment before a new one starts.
    """

    name: str
    command: list[str]
    environment: Callable[[], Mapping[str, str]]
    log_file: Path | None = None
    stop_timeout_s: float = 30.0
    died: Callable[[Mapping[str, str]], Awaitable[None]] | None = None
    inherited: Callable[[], Mapping[str, str]] = lambda: os.environ
    process: asyncio.subprocess.Process | None = field(default=None, init=False)
    _current: Mapping[str, str] = field(default_factory=dict, init=False)
    _stopping: bool = field(default=False, init=False)

    async def start(self) -> None:
        self._current = {**self.inherited(), **self.environment(), PARENT_PID: str(os.getpid())}
        output = self.log_file.open("ab") if self.log_file else None
        try:
            self.process = await asyncio.create_subprocess_exec(
                *self.command,
                env=self._current,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        finally:
            if output:
                output.close()

    async def keep(self) -> None:
        """Start again whenever the process ends on its own, ever more slowly while it ends at once or cannot start."""
        pause = 0.5
        while True:
            if self.process is None:
                raise RuntimeError(f"{self.name} was never started")
            started = time.monotonic()
            code = await self.process.wait()
            if self._stopping:
                return
            log.warning("process ended, starting it again", process=self.name, code=code)
            pause = 0.5 if time.monotonic() - started > 60 else min(pause * 2, LONGEST_PAUSE_S)
            await self._say_died()
            await asyncio.sleep(pause)
            await self._start_again()

    async def _say_died(self) -> None:
        if self.died is None:
            return
        try:
            await self.died(self._current)
        except Exception:  # whatever it is: a process that nobody keeps would be worse
            log.exception("the death of the process could not be told", process=self.name)

    async def _start_again(self) -> None:
        """Memory, disk or process table may be full for a while."""
        pause = 1.0
        while not self._stopping:
            try:
                await self.start()
            except OSError:
                log.exception("process could not be started, trying again", process=self.name)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_S)
            else:
                return

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL to its whole session when it has not ended in time."""
        self._stopping = True
        if self.process is None or self.process.returncode is not None:
            return
        self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), self.stop_timeout_s)
        except TimeoutError:
            log.warning("process did not stop in time, killing it", process=self.name)
            os.killpg(self.process.pid, signal.SIGKILL)
            await self.process.wait()
