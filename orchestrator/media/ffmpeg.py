"""ffmpeg and ffprobe as subprocesses: never a shell, never blocking the loop, never left running."""

import asyncio
import contextlib
import errno
import os
import re
import shutil
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ffmpeg

from orchestrator.errors import OctaviaError

Progress = Callable[[float], None]
"""Told how many seconds of the output are done."""

TERMINATE_S = 2.0
TIMEOUT_S = 6 * 3600.0
"""Ten hours of picture take long to transcode; whatever takes longer than this hangs."""
KEPT_ERRORS = 65_536
KEPT_OUTPUT = 64 * 2**20
INPUTS = {"protocol_whitelist": "file", "format_whitelist": "mov,matroska,avi,asf,flv,mp3,wav,flac,ogg,aac,srt"}
"""What may be opened: local files of these containers, so that no playlist or concat script names others."""
RESTRICTED = tuple(part for name, value in INPUTS.items() for part in (f"-{name}", value))
LONGEST_MEDIA_S = 36_000.0


class MediaError(OctaviaError):
    """A media file could not be read, or its result not be written."""

    def __init__(self, code: str, message: str, status: int = 422, **detail: Any) -> None:
        super().__init__(code, message, status, **detail)


@dataclass(frozen=True, slots=True)
class Completed:
    output: bytes
    errors: str


@dataclass(frozen=True, slots=True)
class _Reason:
    pattern: str
    code: str
    message: str
    status: int = 422


FULL = "No space left on device|File too large|Disk quota exceeded"

REASONS = (
    _Reason(FULL, "disk_full", "The server's disk is full. Try again when space was made.", 507),
    _Reason("Cannot allocate memory", "out_of_memory", "The server ran out of memory. Try again later.", 503),
    _Reason("(?:matches no streams|does not contain any stream)", "media_empty", "The file has no such track."),
    _Reason(
        r"(?:Unknown decoder|Decoder .*not found|no decoder found|Could not find codec parameters|Unsupported codec)",
        "codec_unsupported",
        "The file uses a codec that cannot be read. Convert it to MP4 with H.264 and AAC.",
    ),
    _Reason(
        r"(?:moov atom not found|Invalid data found|Invalid NAL|EBML header parsing failed|End of file|partial file)",
        "media_invalid",
        "The file is incomplete, damaged or not a media file. Check that it plays, then upload it again.",
    ),
)
"""What ffmpeg's last words mean, most telling first."""


def source(path: Path, **options: Any) -> Any:
    """A file as an input; its name is never taken for an option or a protocol."""
    return ffmpeg.input(f"file:{path}", **INPUTS, **options)


def target(*streams: Any, path: Path, **options: Any) -> list[str]:
    """The command line that writes these streams to a file, overwriting it."""
    node = ffmpeg.output(*streams, f"file:{path}", **options).global_args("-nostdin", "-hide_banner")
    command: list[str] = ffmpeg.compile(node, overwrite_output=True)
    return command


async def run(
    command: Sequence[str],
    *,
    timeout: float = TIMEOUT_S,  # noqa: ASYNC109
    progress: Progress | None = None,
    stdin: AsyncIterator[bytes] | None = None,
    verbosity: str = "error",
) -> Completed:
    """Run a command to its end and return what it wrote.

    Cancelling it, or `timeout` seconds, ends the process and its children before this returns. `stdin` is fed as fast
    as it is taken. Raises MediaError with a reason people understand, `media_timeout` after the timeout.
    """
    arguments = [*command[:1], *_flags(command[0], verbosity, progress), *command[1:]]
    process = await asyncio.create_subprocess_exec(
        *_with_parent(arguments),
        stdin=PIPE if stdin else DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(timeout):
            completed = await _communicate(process, stdin, progress)
    except TimeoutError:
        raise MediaError("media_timeout", f"Working on the file took longer than {timeout:.0f} s.", 504) from None
    finally:
        await _end(process)
    if process.returncode != 0 or re.search(FULL, completed.errors):
        raise failure(completed.errors, process.returncode)
    return completed


def _flags(program: str, verbosity: str, progress: Progress | None) -> list[str]:
    if Path(program).name != "ffmpeg":
        return ["-v", verbosity]
    return ["-v", verbosity, "-nostats", *(["-progress", "pipe:1"] if progress else [])]


def _with_parent(arguments: Sequence[str]) -> list[str]:
    """The command, ended by the kernel when our own process is killed (Linux: util-linux's setpriv)."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", *arguments] if setpriv else list(arguments)


async def _communicate(process: Process, stdin: AsyncIterator[bytes] | None, progress: Progress | None) -> Completed:
    assert process.stdout  # noqa: S101
    assert process.stderr  # noqa: S101
    read = _read_progress(process.stdout, progress) if progress else _read_all(process.stdout)
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


async def _read_progress(stream: asyncio.StreamReader, progress: Progress) -> bytes:
    """ffmpeg's key=value report; `out_time_us` is "N/A" until there is output."""
    while line := await stream.readline():
        key, _, value = line.decode(errors="replace").strip().partition("=")
        if key == "out_time_us" and value.lstrip("-").isdigit():
            progress(max(0.0, int(value) / 1e6))
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


def failure(errors: str, code: int | None) -> MediaError:
    """The error behind a failed run, by what it wrote last, or the signal that a limit of file sizes sends."""
    if code == -signal.SIGXFSZ:
        errors = f"{errors}\n{os.strerror(errno.EFBIG)}"
    for reason in REASONS:
        if re.search(reason.pattern, errors):
            return MediaError(reason.code, reason.message, reason.status)
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    last = re.sub(r"(?:file:)?/\S+/", "", lines[-1])[:200] if lines else f"it ended with code {code}"
    return MediaError("media_failed", f"ffmpeg could not work on the file: {last}", 500)
