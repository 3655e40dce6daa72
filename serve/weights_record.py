"""weights.json: what a folder of weights holds and where it came from, and whether it still does."""

import json
import os
from pathlib import Path
from typing import Any

from serve.catalogue import CatalogueEntry
from serve.sources.common import sha256_of, verify
from serve.weights_errors import CatalogueError

RECORD = "weights.json"


def contents(folder: Path) -> dict[str, Path]:
    """Files below the folder but for the record, by their path in it."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    files.pop(RECORD, None)
    return files


def bytes_of(folder: Path) -> int:
    """Size of all files below the folder; links count as themselves."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_symlink() or path.is_file())


def read_record(folder: Path) -> dict[str, Any] | None:
    """The record of a folder; None when there is none or it cannot be read."""
    try:
        raw = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    good = isinstance(raw, dict) and isinstance(raw.get("sha256"), dict) and isinstance(raw.get("name"), str)
    return raw if good else None


def record(entry: CatalogueEntry, build: Path, revisions: dict[str, str], hashes: dict[str, str]) -> None:
    """Checks the hashes promised for converted files and writes weights.json, flushed to disk with everything else."""
    files = contents(build)
    made = {name: sha256_of(path) for name, path in files.items()}
    for name, expected in entry.sha256.items():
        if name in made and name not in hashes:
            verify(build / name, expected, entry.name)
        elif name not in hashes:
            raise CatalogueError(
                f"{entry.name}: sha256 names {name!r}, which neither its source nor its conversion has"
            )
    content = {
        "name": entry.name,
        "model": entry.model,
        "revisions": revisions,
        "licence": entry.licence,
        "licence_chain": entry.licence_chain,
        "fetched_sha256": hashes,
        "sha256": made,
        "bytes": {name: path.stat().st_size for name, path in files.items()},
    }
    (build / RECORD).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for path in [*build.rglob("*"), build]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def faults(folder: Path, entry: CatalogueEntry | None = None, *, deep: bool = False) -> list[str]:
    """What is wrong with a folder that should be whole, each as a few words; empty when nothing is.

    Files that are missing or have another size; with `deep` also changed and extra ones, and what differs from the
    catalogue's own hashes, at the price of reading everything.
    """
    known = read_record(folder)
    if known is None:
        return [f"{RECORD} is missing or cannot be read"]
    sizes: dict[str, int] = known.get("bytes", {})
    found = []
    for name, expected in known["sha256"].items():
        path = folder / name
        if not path.is_file():
            found.append(f"{name} is missing")
        elif path.stat().st_size != sizes.get(name, path.stat().st_size):
            found.append(f"{name} has {path.stat().st_size} bytes in place of {sizes[name]}")
        elif deep and sha256_of(path) != expected:
            found.append(f"{name} has changed")
    if deep:
        found += [f"{name} is extra" for name in sorted(set(contents(folder)) - set(known["sha256"]))]
        found += differing(known, entry)
    return found


def differing(known: dict[str, Any], entry: CatalogueEntry | None) -> list[str]:
    """Files whose recorded hash is not the one the catalogue states."""
    recorded: dict[str, str] = {**known["sha256"], **known.get("fetched_sha256", {})}
    stated = entry.sha256 if entry else {}
    return [f"{name} is not what the catalogue states" for name, good in stated.items() if recorded.get(name) != good]
