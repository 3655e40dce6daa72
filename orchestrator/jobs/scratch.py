"""Scratch folders of a worker's steps, under one roof a process, so that those of a killed one are found and removed.

A worker holds a lock on `<root>/<executor>.lock` for as long as it lives; the kernel lets go of it when the worker
dies, however it dies. Whoever starts removes the folders whose lock is free.
"""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

import structlog

from orchestrator.storage import full_disk_named

log = structlog.get_logger(__name__)

LOCK = ".lock"
"""How a worker's lock file ends; alone, the one that is held while a worker starts."""

_folder: Path | None = None


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for one step, deleted after it. A full disk met inside is raised as StorageFullError."""
    with (
        full_disk_named(),
        tempfile.TemporaryDirectory(prefix="octavia-", dir=_folder, ignore_cleanup_errors=True) as name,
    ):
        yield Path(name)


@contextmanager
def worker_scratch(root: Path, executor_id: str) -> Iterator[Path]:
    """This worker's part of `root` for as long as it runs: what dead workers left is removed first, its own at the end.

    Raises RuntimeError where another living process has the same executor id.
    """
    global _folder  # noqa: PLW0603
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = root / quote(executor_id, safe="")
    with ExitStack() as held:
        with _locked(root / LOCK, wait=True):
            if not held.enter_context(_locked(_lock_of(folder), wait=False)):
                raise RuntimeError(f"another worker process runs as {executor_id}: give each an executor id of its own")
            _remove_dead(root, folder)
        folder.mkdir(exist_ok=True, mode=0o700)
        _folder = folder
        try:
            yield folder
        finally:
            _folder = None
            shutil.rmtree(folder, ignore_errors=True)


def _remove_dead(root: Path, own: Path) -> None:
    """Remove the folders of workers that no longer hold their lock; their own folder of before counts as one."""
    shutil.rmtree(own, ignore_errors=True)
    names = {path.name.removesuffix(LOCK) for path in root.iterdir()} - {"", own.name}
    for folder in [root / name for name in sorted(names)]:
        with _locked(_lock_of(folder), wait=False) as dead:
            if dead:
                shutil.rmtree(folder, ignore_errors=True)
                _lock_of(folder).unlink(missing_ok=True)
                log.info("removed the scratch folder of a worker that is gone", folder=folder.name)


def _lock_of(folder: Path) -> Path:
    return folder.with_name(folder.name + LOCK)


@contextmanager
def _locked(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold a lock file; yields whether it is ours, which without waiting it may not be."""
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
