"""file:PATH — a folder or file on this machine, relative to the catalogue it is named in."""

import shutil
from pathlib import Path

from serve.catalogue import CatalogueEntry
from serve.sources.common import Fetched, Progress, sha256_of, wanted
from serve.weights_errors import FetchError


def resolve(rest: str, entry: CatalogueEntry) -> Path:
    """The path meant; FetchError when nothing is there."""
    path = entry.base / Path(rest).expanduser()
    if not path.exists():
        raise FetchError(f"{entry.name}: {path} does not exist; correct the file: source in the catalogue")
    return path


def contents(rest: str, entry: CatalogueEntry) -> list[Path]:
    """The wanted files, sorted; a single file is its own content."""
    path = resolve(rest, entry)
    if path.is_file():
        return [path]
    files = path.rglob("*") if any("/" in pattern for pattern in entry.files) else path.iterdir()
    return sorted(item for item in files if item.is_file() and wanted(item.relative_to(path).as_posix(), entry.files))


def fingerprint(rest: str, entry: CatalogueEntry) -> list[str]:
    """Names and hashes of the wanted files: what makes a changed folder a new one."""
    top = resolve(rest, entry)
    return [f"{named(path, top)}={sha256_of(path)}" for path in contents(rest, entry)]


def named(path: Path, top: Path) -> str:
    """A file's path within its source; its name where the source is the file itself."""
    return path.name if path == top else path.relative_to(top).as_posix()


def fetch(rest: str, folder: Path, entry: CatalogueEntry, progress: Progress) -> Fetched:
    """Copies the wanted files."""
    files = contents(rest, entry)
    if not files:
        raise FetchError(f"{entry.name}: {resolve(rest, entry)} has none of the files {', '.join(entry.files)}")
    progress(f"copying {entry.name}", 0, sum(path.stat().st_size for path in files))
    copies = []
    for path in files:
        copy = folder / named(path, resolve(rest, entry))
        copy.parent.mkdir(parents=True, exist_ok=True)
        copies.append(Path(shutil.copyfile(path, copy)))
    return Fetched("local", tuple(copies))


def size(rest: str, entry: CatalogueEntry) -> int | None:
    """Bytes to copy."""
    return sum(path.stat().st_size for path in contents(rest, entry))


def moved(_rest: str, _recorded: str, _entry: CatalogueEntry) -> str | None:
    """Never: a changed folder is another folder of weights."""
    return None
