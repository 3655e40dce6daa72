"""What lies in the weights folder: sets, older makings of them, unfinished downloads, imported voices."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from serve.catalogue import Catalogue, CatalogueEntry
from serve.settings import ServeSettings
from serve.weights import folder_name, in_place, settings_catalogue
from serve.weights_record import bytes_of, read_record

Kind = Literal["set", "older", "unknown", "imported", "unfinished", "fetching"]
FOLDER = re.compile(r"(?P<name>[a-z0-9][a-z0-9._-]*)-[0-9a-f]{10}")
IMPORTED = "imported"
WORK = ".work"


@dataclass(frozen=True, slots=True)
class Found:
    """A folder of the weights folder.

    kind: "set" as the catalogue has it; "older", made from a recipe the catalogue no longer has; "unknown" to the
    catalogue; "imported" voice; "unfinished" download, or one that is "fetching" just now.
    entry: of that name; for what is unfinished only where it will be gone on with. bytes: what removing it frees.
    """

    name: str
    folder: Path
    kind: Kind
    entry: CatalogueEntry | None
    bytes: int


def inventory(settings: ServeSettings) -> list[Found]:
    """Everything there, by name. Links are listed as what they are called and never followed into .work."""
    root = settings.weights_dir
    catalogue = settings_catalogue(settings)
    found = [*sets(root, catalogue), *imported(root, catalogue), *unfinished(root, catalogue)]
    return sorted(found, key=lambda each: (each.name, each.kind))


def sets(root: Path, catalogue: Catalogue) -> Iterator[Found]:
    """Folders named after an entry and a recipe."""
    for folder in root.iterdir() if root.is_dir() else ():
        match = FOLDER.fullmatch(folder.name)
        if not match or not (folder.is_dir() or folder.is_symlink()):
            continue
        name = str((read_record(folder) or {}).get("name", match["name"]))
        entry = catalogue.by_name.get(name)
        kind: Kind = "unknown" if entry is None else "set" if folder_name(entry) == folder.name else "older"
        yield Found(name, folder, kind, entry, own_bytes(folder))


def imported(root: Path, catalogue: Catalogue) -> Iterator[Found]:
    """Voices imported on this machine."""
    for folder in (root / IMPORTED).iterdir() if (root / IMPORTED).is_dir() else ():
        if folder.is_dir() or folder.is_symlink():
            yield Found(folder.name, folder, "imported", catalogue.by_name.get(folder.name), own_bytes(folder))


def unfinished(root: Path, catalogue: Catalogue) -> Iterator[Found]:
    """Work that was begun and has not ended."""
    work = root / WORK
    for folder in work.iterdir() if work.is_dir() and not work.is_symlink() else ():
        match = FOLDER.fullmatch(folder.name)
        name = (match["name"] if match else folder.name).removeprefix("removed-")
        kind: Kind = "fetching" if locked(root / ".locks" / f"{folder.name}.lock") else "unfinished"
        entry = catalogue.by_name.get(name)
        goes_on = entry is not None and folder_name(entry) == folder.name
        yield Found(name, folder, kind, entry if goes_on else None, own_bytes(folder))


def own_bytes(folder: Path) -> int:
    """What removing the folder frees: nothing where it is a link."""
    return 0 if folder.is_symlink() else bytes_of(folder)


def locked(path: Path) -> bool:
    """Whether a process is making the folder that this lock guards."""
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True


def place(entry: CatalogueEntry, settings: ServeSettings) -> Path | None:
    """The folder an entry's weights are in, None when they are not on this machine."""
    folder = in_place(entry) or settings.weights_dir / folder_name(entry)
    return folder if folder.is_dir() else None
