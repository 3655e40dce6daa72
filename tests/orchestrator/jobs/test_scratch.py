"""Scratch folders: gone after each step, and those of killed workers gone after the next worker's start."""

import errno
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from orchestrator.jobs.scratch import scratch_folder, worker_scratch
from orchestrator.settings import Settings
from orchestrator.storage import StorageFullError

WORKER = """
import sys, time
from pathlib import Path
from orchestrator.jobs.scratch import scratch_folder, worker_scratch

with worker_scratch(Path(sys.argv[1]), sys.argv[2]), scratch_folder() as folder:
    (folder / "raw.wav").write_bytes(b"1")
    print(folder, flush=True)
    time.sleep(600)
"""


def a_worker(root: Path, executor_id: str) -> tuple[subprocess.Popen[str], Path]:
    """A process with a file in a scratch folder, and that folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(root), executor_id], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    return process, Path(process.stdout.readline().strip())


def killed(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_a_step_works_in_its_workers_folder_and_leaves_nothing(tmp_path: Path) -> None:
    with worker_scratch(tmp_path / "scratch", "me") as own:
        with scratch_folder() as folder:
            (folder / "raw.wav").write_bytes(b"1")
            assert folder.parent == own == tmp_path / "scratch" / "me"
        assert list(own.iterdir()) == []
    assert not own.exists()


def test_a_step_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with worker_scratch(tmp_path, "me") as own:
        with suppress(KeyError), scratch_folder() as folder:
            (folder / "raw.wav").write_bytes(b"1")
            raise KeyError
        assert list(own.iterdir()) == []


def test_a_full_disk_inside_is_named(tmp_path: Path) -> None:
    with worker_scratch(tmp_path, "me"), pytest.raises(StorageFullError), scratch_folder():
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_device_that_takes_no_byte_is_named_as_full(tmp_path: Path) -> None:
    with worker_scratch(tmp_path, "me"), pytest.raises(StorageFullError), scratch_folder():
        Path("/dev/full").write_text("1")


def test_what_a_killed_worker_left_is_removed_by_the_next_and_a_living_ones_stays(tmp_path: Path) -> None:
    dead, left = a_worker(tmp_path, "dead")
    alive, used = a_worker(tmp_path, "alive")
    try:
        killed(dead)
        assert (left / "raw.wav").exists()
        with worker_scratch(tmp_path, "me"):
            assert not left.parent.exists()
            assert (used / "raw.wav").exists()
        assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "alive", "alive.lock", "me.lock"]
    finally:
        killed(alive)


def test_a_worker_that_starts_again_under_its_name_finds_its_folder_empty(tmp_path: Path) -> None:
    first, left = a_worker(tmp_path, "me")
    killed(first)
    with worker_scratch(tmp_path, "me") as own:
        assert left.parent == own
        assert list(own.iterdir()) == []


def test_two_living_workers_of_one_name_are_refused(tmp_path: Path) -> None:
    first, used = a_worker(tmp_path, "me")
    try:
        with pytest.raises(RuntimeError, match="another worker process runs as me"), worker_scratch(tmp_path, "me"):
            pass
        assert (used / "raw.wav").exists()
    finally:
        killed(first)


@pytest.mark.parametrize("name", ["../up", "a/b", "größe"])
def test_a_name_cannot_leave_the_root(tmp_path: Path, name: str) -> None:
    root = tmp_path / "scratch"
    with worker_scratch(root, name) as own:
        assert own.parent == root
        assert own.resolve().is_relative_to(root.resolve())


def test_the_root_is_a_setting_and_lies_in_the_data_folder_without_it(tmp_path: Path) -> None:
    assert Settings(data_dir=tmp_path).scratch_root == tmp_path / "scratch"
    assert Settings(data_dir=tmp_path, scratch_dir=tmp_path / "fast").scratch_root == tmp_path / "fast"
