"""How others find a running `octavia up`: data_dir/up.json, believed only while the process that wrote it lives."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
from filelock import FileLock, Timeout

from orchestrator.errors import OctaviaError
from orchestrator.settings import Settings

LOCK_WAIT_S = 0.5
"""A look at the lock (`_held`) holds it for a moment."""


class AlreadyUpError(OctaviaError):
    def __init__(self, data_dir: Path) -> None:
        super().__init__("already_up", f"Another Octavia runs on {data_dir}. Stop it, or set OCTAVIA_DATA_DIR.", 409)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a running system answers, and the local user's token."""

    api_url: str
    model_address: str
    token: str = field(repr=False)
    database_url: str = field(repr=False)


def token_file(settings: Settings) -> Path:
    """The file with the local user's token; only the owner can read it."""
    return settings.data_dir / "token"


def state_file(settings: Settings) -> Path:
    return settings.data_dir / "up.json"


@contextmanager
def owned(settings: Settings) -> Iterator[None]:
    """Own the data folder: one system at a time runs on it. Raises AlreadyUpError."""
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FileLock(_lock_file(settings))
    try:
        lock.acquire(timeout=LOCK_WAIT_S)
    except Timeout:
        raise AlreadyUpError(settings.data_dir) from None
    try:
        state_file(settings).unlink(missing_ok=True)  # of an owner that was killed
        yield
    finally:
        lock.release()


@contextmanager
def published(settings: Settings, address: Address) -> Iterator[None]:
    """Let others find this system while the context lasts."""
    state = {
        "api_url": address.api_url,
        "model_address": address.model_address,
        "database_url": address.database_url,
        "pid": os.getpid(),
    }
    write_private(state_file(settings), json.dumps(state))
    try:
        yield
    finally:
        state_file(settings).unlink(missing_ok=True)


def find_running(settings: Settings) -> Address | None:
    """The `up` that runs on this data folder, if one does and answers. Its API is asked without the token."""
    try:
        state = json.loads(state_file(settings).read_text())
        address = Address(
            state["api_url"], state["model_address"], token_file(settings).read_text().strip(), state["database_url"]
        )
        if not (psutil.pid_exists(int(state["pid"])) and _held(_lock_file(settings))):
            return None
        httpx.get(f"{address.api_url}/readyz", timeout=2, trust_env=False).raise_for_status()
    except (FileNotFoundError, ValueError, KeyError, TypeError, httpx.HTTPError, httpx.InvalidURL):
        return None
    return address


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.rename(path)


def _lock_file(settings: Settings) -> Path:
    return settings.data_dir / "up.lock"


def _held(lock_file: Path) -> bool:
    """Whether a process holds the lock; the kernel frees it when that process ends, however it does."""
    try:
        descriptor = os.open(lock_file, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
