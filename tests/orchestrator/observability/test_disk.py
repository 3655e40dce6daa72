"""How much room is told."""

import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestrator.observability.disk import Disk, Folder, Room, room, taken

MIB = 2**20


def filled(folder: Path) -> Path:
    """A folder with 3 MiB in two files, a folder and a link to something larger outside."""
    (folder / "worker").mkdir(parents=True)
    (folder / "voice.wav").write_bytes(b"a" * MIB)
    (folder / "worker" / "mixed.wav").write_bytes(b"b" * 2 * MIB)
    outside = folder.parent / "outside"
    outside.write_bytes(b"c" * 4 * MIB)
    (folder / "link").symlink_to(outside)
    return folder


def test_a_folder_takes_what_du_says(tmp_path: Path) -> None:
    folder = filled(tmp_path / "scratch")
    said = subprocess.run(["du", "-s", "-B1", str(folder)], capture_output=True, text=True, check=True).stdout
    own = folder.lstat().st_blocks * 512
    assert taken(folder) == int(said.split()[0]) - own


def test_what_goes_while_it_is_counted_counts_nothing(tmp_path: Path) -> None:
    assert taken(tmp_path / "gone") == 0


def test_a_folder_without_a_limit_has_the_room_of_its_file_system(tmp_path: Path) -> None:
    there = shutil.disk_usage(tmp_path)
    assert room(Folder(tmp_path / "not" / "yet")).size == there.total


@pytest.mark.parametrize(
    ("most", "free", "total", "told"),
    [
        (8 * MIB, 100 * MIB, 200 * MIB, Room(5 * MIB, 8 * MIB)),
        (2 * MIB, 100 * MIB, 200 * MIB, Room(0, 2 * MIB)),
        (100 * MIB, 4 * MIB, 200 * MIB, Room(4 * MIB, 100 * MIB)),
        (300 * MIB, 90 * MIB, 200 * MIB, Room(90 * MIB, 200 * MIB)),
    ],
)
def test_a_folder_with_a_limit_has_what_is_left_of_it_if_the_disk_has_as_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, free: int, total: int, told: Room
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free, total=total))
    monkeypatch.setattr("orchestrator.observability.disk.taken", lambda _: 3 * MIB)
    assert room(Folder(tmp_path, most)) == told


def test_prometheus_is_told_free_and_whole_room_by_folder(tmp_path: Path) -> None:
    folder = Folder(filled(tmp_path / "scratch"), 8 * MIB)
    free, size = Disk({"scratch": folder}).collect()
    assert (free.name, size.name) == ("octavia_disk_free_bytes", "octavia_disk_size_bytes")
    assert [each.value for each in free.samples] == [8 * MIB - taken(folder.path)]
    assert [(each.labels, each.value) for each in size.samples] == [({"folder": "scratch"}, 8 * MIB)]
