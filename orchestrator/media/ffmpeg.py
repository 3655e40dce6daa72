"""ffmpeg and ffprobe as subprocesses: never a shell, never blocking the loop, never left running, never unbounded."""

import asyncio
import contextlib
import os
import signal
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ffmpeg

from orchestrator.media.failures import MediaError, complaints, failure, hidden, stopped, took_too_long
from orchestrator.media.limits import LONGEST, THREADS, Limits, bounded
from orchestrator.media.whitelists import PROTOCOL, READING
from orchestrator.observability.metrics import running

Progress = Callable[[float], None]
"""Told how many seconds of the output are done."""

Line = Callable[[str], None]
"""Told each line a command writes."""

QUIET = "error"
TELLING = "level+info"
"""ffmpeg tells of the file and sums up what its filters measured; each line's level says which of them are errors."""
TERMINATE_S = 2.0
KEPT_ERRORS = 65_536
KEPT_OUTPUT = 8 * 2**20
INPUTS: dict[str, Any] = {**READING, "threads": THREADS}
RESTRICTED = tuple(part for name, value in INPUTS.items() for part in (f"-{name}", str(value)))
"""What stands before the file on a command line that `source` does not make."""
ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "TMPDIR", "LANG", "LC_ALL")
"""What a process sees of ours: no secret, no proxy, no FFREPORT that would make it write."""
LONGEST_MEDIA_S = 36_000.0


@dataclass(frozen=True, slots=True)
class Completed:
    output: bytes
    errors: str


def source(path: Path, **options: Any) -> Any:
    """A user's file as an input; its name is never taken for an option or a protocol."""
    return ffmpeg.input(f"file:{path}", **INPUTS, **options)


def own_subtitles(path: Path) -> Any:
    """A SubRip file we have written as an input."""
    return ffmpeg.input(f"file:{path}", protocol_whitelist=PROTOCOL, format_whitelist="srt", format="srt")


def target(*streams: Any, path: Path, beside: Any | None = None, **options: Any) -> list[str]:
    """The command line that writes these streams to a file, overwriting it; the stream `beside` is only read."""
    node = ffmpeg.output(*streams, f"file:{path}", threads=THREADS, **options)
    if beside is not None:
        node = ffmpeg.merge_outputs(node, ffmpeg.output(beside, os.devnull, format="null", c="copy"))
    command: list[str] = ffmpeg.compile(node.global_args("-nostdin", "-hide_banner"), overwrite_output=True)
    return command


async def run(
    command: Sequence[str],
    *,
    limits: Limits = LONGEST,
    progress: Progress | None = None,
    line: Line | None = None,
    stdin: AsyncIterator[bytes] | None = None,
    verbosity: str = QUIET,
) -> Completed:
    """Run a command to its end and return what it wrote; with `line`, that takes its output and none is kept.

    The kernel holds it to `limits`. Cancelling it, or the limits' seconds, ends the process and its children before
    this returns. `stdin` is fed as fast as it is taken. Raises MediaError with a reason people understand, among them
    `media_timeout`, `media_too_heavy` and `storage_full` where a limit was met. With any `verbosity` but `QUIET` the
    lines have to carry their levels, for they quote what the file says of itself.
    """
    arguments = [*command[:1], *_flags(command[0], verbosity, progress), *command[1:]]
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *bounded(arguments, limits),
        stdin=PIPE if stdin else DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        start_new_session=True,
        env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
    )
    try:
        async with asyncio.timeout(limits.seconds):
            with running(Path(command[0]).name):
                completed = await _communicate(process, stdin, _told(progress) if progress else line)
    except TimeoutError:
        raise took_too_long(limits) from None
    finally:
        await _end(process)
    code = process.returncode
    errors = completed.errors if verbosity == QUIET else complaints(completed.errors)
    if code != 0 or hidden(errors):
        raise stopped(code, time.monotonic() - began, limits) or failure(errors, code)
    return completed


def _flags(program: str, verbosity: str, progress: Progress | None) -> list[str]:
    if Path(program).name != "ffmpeg":
        return ["-v", verbosity]
    threads = ("-filter_threads", str(THREADS), "-filter_complex_threads", str(THREADS))
    return ["-v", verbosity, "-nostats", *threads, *(["-progress", "pipe:1"] if progress else [])]


def _told(progress: Progress) -> Line:
    """Reads ffmpeg's key=value report; `out_time_us` is "N/A" until there is output."""

    def read(line: str) -> None:
        key, _, value = line.partition("=")
        if key == "out_time_us" and value.lstrip("-").isdigit():
            progress(max(0.0, int(value) / 1e6))

    return read


async def _communicate(process: Process, stdin: AsyncIterator[bytes] | None, line: Line | None) -> Completed:
    assert process.stdout  # noqa: S101
    assert process.stderr  # noqa: S101
    read = _read_lines(process.stdout, line) if line else _read_all(process.stdout)
    try:
        async with asyncio.TaskGroup() as group:
            output = group.create_task(read)
            errors = group.create_task(_read_tail(process.stderr))
            if stdin:
                group.create_task(_feed(process, stdin))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    await process.wait()
    return Completed(output.result(), errors.result())


async def _feed(process: Process, blocks: AsyncIterator[bytes]) -> None:
    """Write blocks to the process; when it has gone, its own words say why."""
    assert process.stdin  # noqa: S101
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        async for block in blocks:
            process.stdin.write(block)
            await process.stdin.drain()
        process.stdin.close()
        await process.stdin.wait_closed()


async def _read_all(stream: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    size = 0
    while data := await stream.read(65_536):
        size += len(data)
        if size > KEPT_OUTPUT:
            raise MediaError("media_invalid", "The file describes itself without end: it is damaged or made to harm.")
        parts.append(data)
    return b"".join(parts)


async def _read_tail(stream: asyncio.StreamReader) -> str:
    tail = b""
    while data := await stream.read(65_536):
        tail = (tail + data)[-KEPT_ERRORS:]
    return tail.decode(errors="replace")


async def _read_lines(stream: asyncio.StreamReader, told: Line) -> bytes:
    while line := await stream.readline():
        told(line.decode(errors="replace").strip())
    return b""


async def _end(process: Process) -> None:
    """Make sure the process and all it started are gone, and reap it."""
    if process.returncode is None:
        _signal(process, signal.SIGTERM)
        try:
            async with asyncio.timeout(TERMINATE_S):
                await process.wait()
        except TimeoutError:
            pass
        finally:
            _signal(process, signal.SIGKILL)
        await process.wait()


def _signal(process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
