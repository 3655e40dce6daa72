"""How much room there is where a process writes."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class Disk(Collector):
    """Free and whole size of the file systems of these folders, by name. Of one that is not there, its parent's."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = folders

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing: registering asks for nothing."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        free = GaugeMetricFamily("octavia_disk_free_bytes", "room on the folder's file system", labels=["folder"])
        size = GaugeMetricFamily("octavia_disk_size_bytes", "size of the folder's file system", labels=["folder"])
        for name, folder in self._folders.items():
            usage = shutil.disk_usage(existing(folder))
            free.add_metric([name], usage.free)
            size.add_metric([name], usage.total)
        yield free
        yield size


def existing(folder: Path) -> Path:
    """The folder, or the nearest above it that there is."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    return there
