"""What `octavia models remove` may take away, and how: nothing in use, nothing outside the weights folder."""

import re
import shutil
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from serve.catalogue import Which
from serve.settings import ServeSettings
from serve.weights import LOCAL_CATALOGUE, selection, settings_catalogue
from serve.weights_errors import CatalogueError, StorageError
from serve.weights_inventory import WORK, Found, inventory
from serve.weights_lease import in_use, users
from serve.weights_make import storage_errors


def of_names(names: Iterable[str], settings: ServeSettings, *, imported: bool) -> list[Found]:
    """Everything of these names: the set, older makings of it, what was begun. CatalogueError when there is nothing,
    or when it is an imported voice, which no source could bring back, and that was not asked for.
    """
    everything = inventory(settings)
    chosen: list[Found] = []
    for name in dict.fromkeys(names):
        own = [each for each in everything if each.name == name]
        if not own:
            settings_catalogue(settings).get(name)
            raise CatalogueError(f"{name} is not on this machine: there is nothing to remove")
        if not imported and any(each.kind == "imported" for each in own):
            raise CatalogueError(
                f"{name} is a voice imported here and cannot be fetched again: add --imported to mean it"
            )
        chosen += own
    return chosen


def unused(settings: ServeSettings) -> list[Found]:
    """Sets that these settings would not load, older makings, and what the catalogue does not know; no imported voice.

    OCTAVIA_WEIGHTS=auto may load either set, so neither is unused.
    """
    either: tuple[Which, ...] = ("standard", "starter")
    kept = {
        entry.name for which in either if settings.weights in {"auto", which} for entry in selection(settings, which)
    }
    return [
        each
        for each in inventory(settings)
        if each.kind in {"older", "unknown"} or (each.kind == "set" and each.name not in kept)
    ]


def unfinished(settings: ServeSettings) -> list[Found]:
    """What was begun and is not being worked on."""
    return [each for each in inventory(settings) if each.kind == "unfinished"]


def check_free(chosen: Sequence[Found]) -> None:
    """StorageError naming the sets that are in use or being fetched."""
    for each in chosen:
        if each.kind == "fetching":
            raise StorageError(f"{each.name} is being fetched just now; wait for it or stop that first")
        if not each.folder.is_symlink() and each.folder.is_dir() and in_use(each.folder):
            pids = ", ".join(str(pid) for pid in users(each.folder) if pid)
            by = f" by process {pids}" if pids else ""
            raise StorageError(f"{each.name} is in use{by}: stop the model plane (octavia up, python -m serve) first")


def remove(found: Found, settings: ServeSettings) -> None:
    """Takes one folder away, at once for everybody who looks. A link goes, what it leads to stays. StorageError."""
    root = settings.weights_dir
    with storage_errors(found.name, root):
        inside(found.folder, root)
        if found.folder.is_symlink():
            found.folder.unlink()
        else:
            lock = root / ".locks" / f"{found.folder.name}.lock"
            lock.parent.mkdir(exist_ok=True)
            try:
                with FileLock(lock, timeout=0):
                    check_free([found])
                    take_away(found.folder, root)
            except Timeout:
                raise StorageError(f"{found.name} is being fetched just now; wait for it or stop that first") from None
        if found.kind == "imported":
            forget(found.name, root / LOCAL_CATALOGUE)


def inside(folder: Path, root: Path) -> None:
    """StorageError when a link on the way to the folder leads out of the weights folder."""
    if not folder.parent.resolve().is_relative_to(root.resolve()):
        raise StorageError(f"{folder.parent} leads out of {root} by a link: nothing there is removed")


def take_away(folder: Path, root: Path) -> None:
    """Renames the folder out of sight, then deletes it; links below it are deleted, not followed."""
    work = root / WORK
    work.mkdir(exist_ok=True)
    inside(work / folder.name, root)
    gone = work / f"removed-{folder.name}"
    shutil.rmtree(gone, ignore_errors=True)
    folder.rename(gone)
    shutil.rmtree(gone)


def forget(name: str, path: Path) -> None:
    """Takes a voice's table out of the machine's own catalogue, leaving the rest of the file as it is."""
    if not path.exists():
        return
    head, *tables = re.split(r"(?m)^(?=\[\[weights\]\])", path.read_text(encoding="utf-8"))
    kept = [table for table in tables if tomllib.loads(table)["weights"][0].get("name") != name]
    draft = path.with_suffix(".toml.new")
    draft.write_text(head + "".join(kept), encoding="utf-8")
    draft.replace(path)
