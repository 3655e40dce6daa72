"""What a process opens and whom it calls, as strace sees it."""

import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from orchestrator.media import ffmpeg
from orchestrator.media.limits import Limits, bounded

CALLS = "open,openat,openat2,creat,socket,connect,bind,execve"
SYSTEM = (
    "/usr/",
    "/lib",
    "/etc/ld.so",
    "/etc/gcrypt/",
    "/etc/ssl/",
    "/etc/localtime",
    "/proc/",
    "/sys/",
    "/dev/null",
    "/opt/",
)
"""Where the libraries lie, and what they read of the machine."""

PROGRAMS = ("prlimit", "setpriv", "ffmpeg", "ffprobe")

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="there is no strace on this machine")


def command(log: Path) -> list[str]:
    return ["strace", "-f", "-q", "--seccomp-bpf", "-s", "4096", "-e", f"trace={CALLS}", "-A", "-o", str(log)]


def watch(monkeypatch: pytest.MonkeyPatch, log: Path) -> None:
    """Have every run of ffmpeg and ffprobe watched from now on; strace itself has no limits."""

    def traced(arguments: Sequence[str], limits: Limits) -> list[str]:
        return [*command(log), *bounded(arguments, limits)]

    monkeypatch.setattr(ffmpeg, "bounded", traced)


def touched(log: Path, expected: Iterable[Path]) -> list[str]:
    """The calls that reach for anything but the system's own files and the expected ones, or for the network."""
    known = {str(path) for path in expected}
    return [line for line in log.read_text().splitlines() if not _is_harmless(line, known)]


def _is_harmless(line: str, known: set[str]) -> bool:
    if re.search(r"\b(socket|connect|bind)\(", line):
        return False
    if program := re.search(r'\bexecve\("([^"]*)"', line):
        return program[1].rpartition("/")[2] in PROGRAMS
    paths = re.findall(r'\b(?:open|openat|openat2|creat)\((?:AT_FDCWD, )?"((?:[^"\\]|\\.)*)"', line)
    return all(path.startswith(SYSTEM) or path in known for path in paths)
