"""What `octavia models pull` does: say first what is to be done and how much that is, check the disk, then do it."""

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from serve import sources
from serve.catalogue import CatalogueEntry, Which
from serve.licences import admit
from serve.settings import ServeSettings
from serve.sources import Progress
from serve.weights import Weights, ensure, folder_name, in_place, selection, settings_catalogue
from serve.weights_errors import FetchError, StorageError
from serve.weights_record import RECORD, bytes_of, faults, read_record

Why = Literal["here", "fetch", "repair", "update"]


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done for one entry: bytes to download, None where the source does not say; a remark to show."""

    entry: CatalogueEntry
    why: Why
    bytes: int | None = 0
    remark: str = ""


def plan(settings: ServeSettings, names: Iterable[str] = (), which: Which | None = None, *, update: bool) -> list[Step]:
    """What to do for the named entries, or else for everything `selection` gives.

    Named ones that are here are read and compared with their record, and asked about at their hub. Raises
    LicenceRefusedError, CatalogueError, and FetchError where a size can only be had from a source that is not there.
    """
    chosen = list(dict.fromkeys(names))
    if not chosen:
        return [step(entry, settings, named=False, update=update) for entry in selection(settings, which)]
    catalogue = settings_catalogue(settings)
    entries = [catalogue.get(name) for name in chosen]
    for entry in entries:
        admit(entry, settings)
    return [step(entry, settings, named=True, update=update) for entry in entries]


def step(entry: CatalogueEntry, settings: ServeSettings, *, named: bool, update: bool) -> Step:
    """What to do for one entry. Only a named one, or an update, is worth reading everything and asking the hub."""
    if in_place(entry) is not None:
        return Step(entry, "here")
    folder = settings.weights_dir / folder_name(entry)
    if not (folder / RECORD).exists():
        return Step(entry, "fetch", to_download(entry))
    wrong = faults(folder, entry, deep=named)
    if wrong:
        return Step(entry, "repair", to_download(entry), "; ".join(wrong))
    if not named and not update:
        return Step(entry, "here")
    return revised(entry, folder, update=update)


def revised(entry: CatalogueEntry, folder: Path, *, update: bool) -> Step:
    """A step for weights that are whole: whether a branch or tag they came from means another commit by now."""
    known = read_record(folder) or {}
    for source in entry.sources:
        recorded = known.get("revisions", {}).get(source, "")
        try:
            now = sources.moved(source, recorded, entry)
        except FetchError as error:
            if update:
                raise
            return Step(entry, "here", 0, f"its hub was not asked for a newer revision ({error})")
        if now and update:
            return Step(entry, "update", to_download(entry), f"{recorded[:12]} → {now[:12]}")
        if now:
            return Step(
                entry, "here", 0, f"is at {recorded[:12]}, its source at {now[:12]} by now: --update takes that"
            )
    return Step(entry, "here")


def to_download(entry: CatalogueEntry) -> int | None:
    """Bytes its sources send: as the catalogue says, else as they say themselves."""
    if entry.download_bytes is not None:
        return entry.download_bytes
    sizes = [sources.size(source, entry) for source in entry.sources]
    return None if None in sizes else sum(each or 0 for each in sizes)


def free_bytes(root: Path) -> int:
    """Free space where the weights folder is, or will be."""
    there = next(path for path in (root, *root.resolve().parents) if path.is_dir())
    return shutil.disk_usage(there).free


def needed_bytes(steps: Iterable[Step], root: Path) -> int:
    """Disk that the steps take at most: every download, and room to convert the largest, less what has arrived."""
    sizes = []
    for each in steps:
        have = bytes_of(root / ".work" / folder_name(each.entry)) if each.why != "here" else 0
        sizes.append(max(0, (each.bytes or 0) - have))
    return sum(sizes) + max((each.bytes or 0 for each in steps), default=0)


def check_space(steps: list[Step], root: Path) -> None:
    """StorageError when the disk cannot hold what is to be fetched."""
    needed, free = needed_bytes(steps, root), free_bytes(root)
    if needed > free:
        names = ", ".join(each.entry.name for each in steps if each.why != "here")
        raise StorageError(
            f"fetching {names} needs about {needed / 1e6:,.0f} MB, and the disk with {root} has {free / 1e6:,.0f} MB "
            "free: make room (octavia models remove --unused, --unfinished) or set OCTAVIA_WEIGHTS_DIR"
        )


def carry_out(steps: Iterable[Step], settings: ServeSettings, progress: Progress | None = None) -> Iterator[Weights]:
    """Does the steps, yielding each entry's weights when they are ready."""
    for each in steps:
        yield ensure(each.entry, settings, progress, anew=each.why in {"repair", "update"})


def pull(
    settings: ServeSettings,
    names: Iterable[str] = (),
    which: Which | None = None,
    progress: Progress | None = None,
    *,
    update: bool = False,
) -> Iterator[Weights]:
    """The named entries, or else everything `selection` gives: planned, checked against the disk, and done."""
    steps = plan(settings, names, which, update=update)
    check_space(steps, settings.weights_dir)
    yield from carry_out(steps, settings, progress)
