"""How much room there is where a process writes."""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

BLOCK = 512
"""Bytes that `st_blocks` counts in, whatever the file system's own blocks are (stat(2))."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that is written to; `most`: the bytes it may hold, where its file system is not what ends it."""

    path: Path
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes that are free, of how many."""

    free: int
    size: int


class Disk(Collector):
    """Free and whole room of these folders, by name."""

    def __init__(self, folders: Mapping[str, Folder]) -> None:
        self._folders = folders

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing: registering asks for nothing."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        free = GaugeMetricFamily("octavia_disk_free_bytes", "room that the folder has left", labels=["folder"])
        size = GaugeMetricFamily("octavia_disk_size_bytes", "room of the folder in all", labels=["folder"])
        for name, folder in self._folders.items():
            there = room(folder)
            free.add_metric([name], there.free)
            size.add_metric([name], there.size)
        yield free
        yield size


def room(folder: Folder) -> Room:
    """The room of its file system (of a folder that is not there, of its parent's); of one that may hold only so much,
    what is left of that, if the file system has as much."""
    usage = shutil.disk_usage(existing(folder.path))
    if folder.most is None:
        return Room(usage.free, usage.total)
    left = max(0, folder.most - taken(folder.path))
    return Room(min(left, usage.free), min(folder.most, usage.total))


def taken(folder: Path) -> int:
    """Bytes on the disk of what a folder holds, as `du` and the kubelet count. What goes meanwhile counts nothing."""
    total, folders = 0, [folder]
    while folders:
        with suppress(FileNotFoundError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    total += entry.stat(follow_symlinks=False).st_blocks * BLOCK
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
    return total


def existing(folder: Path) -> Path:
    """The folder, or the nearest above it that there is."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    return there
