"""A part's process: started, watched, and read; whatever happens to it, the report goes on."""

import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report.parts import Part, UnreadableResultError, merged
from benchmarks.report.results import PartResult

PATIENCE = 5
"""Times the expected seconds that a part may take, …"""
START_S = 240
"""… besides the start of whatever it needs, which a machine at work can make long."""
LAST_LINES = 15
GOING_S = 90
"""What a stopped part has to stop its own processes."""


class PartFailedError(RuntimeError):
    """A part's process ended badly, or not at all."""


def run_part(part: Part, *, quick: bool, log: Path) -> PartResult:
    """Run a part as often as it wants, its output in `log`. A failure is in the result, never raised."""
    began = time.perf_counter()
    runs, failure = [], ""
    with log.open("w", encoding="utf-8"):
        pass
    try:
        for _ in range(part.times(quick)):
            runs.append(part.measurements(_result(part, quick, log)))
    except (PartFailedError, UnreadableResultError) as error:
        tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:])
        failure = f"{error}\n{tail}".strip()
    command = shlex.join(["python", "-m", *part.argv(quick)])
    runs = [[each.model_copy(update={"command": each.command or command}) for each in run] for run in runs]
    return PartResult(
        name=part.name,
        about=part.about,
        command=command,
        seconds=round(time.perf_counter() - began, 1),
        measurements=() if failure else tuple(merged(runs)),
        failure=failure,
    )


def _result(part: Part, quick: bool, log: Path) -> bytes:
    """The JSON of one run. PartFailedError where there is none."""
    with tempfile.TemporaryDirectory(prefix="octavia-bench-") as folder, log.open("a", encoding="utf-8") as output:
        result = Path(folder) / "result.json"
        command = [sys.executable, "-m", *part.argv(quick), "--json", str(result)]
        limit = START_S + PATIENCE * part.expected_s(quick)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired as error:
            raise PartFailedError(f"not done after {limit} s, stopped") from error
        finally:
            _end(process)
        if status:
            raise PartFailedError(f"ended with status {status}")
        if not result.exists():
            raise PartFailedError("wrote no result")
        return result.read_bytes()


def _end(process: subprocess.Popen[bytes]) -> None:
    """As Ctrl-C does, so that it stops what it started; by force where that takes too long."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        process.wait(GOING_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
