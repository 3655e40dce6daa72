"""From a catalogue entry to a local folder: licence gate, fetch, verify, convert, exactly once.

A folder under the weights directory is named after its entry and a hash of everything it is made from, appears by
one rename, and is complete when it is there. Work in progress lies in .work/ and is redone after a crash; what was
downloaded is kept.

    python -m serve.weights pull --set starter
"""

import errno
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from serve.catalogue import Catalogue, CatalogueEntry, Which, load_catalogue
from serve.convert import CONVERTERS
from serve.settings import ServeSettings
from serve.sources import Progress, fetch, local
from serve.sources.common import sha256_of, silent, verify
from serve.weights_errors import CatalogueError, LicenceRefusedError, StorageError

log = logging.getLogger(__name__)

RECORD = "weights.json"
LOCAL_CATALOGUE = "catalogue.local.toml"
STARTER_NOTICE = (
    "the model hub does not answer: using the starter set, whose translation is a toy that knows the sample, "
    "and whose English voice stands in for every language"
)


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights ready to load: `folder` holds what the model's class expects."""

    name: str
    model: str
    folder: Path
    entry: CatalogueEntry


def settings_catalogue(settings: ServeSettings) -> Catalogue:
    """The repository's catalogue and the operator's imported voices."""
    return load_catalogue(settings.model_repo / "catalogue.toml", settings.weights_dir / LOCAL_CATALOGUE)


def admit(entry: CatalogueEntry, settings: ServeSettings) -> None:
    """LicenceRefusedError when people pay and the entry is neither cleared for that nor opted in by name."""
    if not settings.billing or entry.paid_use:
        return
    if entry.toy:
        raise LicenceRefusedError(f"{entry.name} is a toy translation and never loads while billing is on")
    if entry.name not in settings.allow_weights:
        raise LicenceRefusedError(
            f"{entry.name} is not cleared for paid use ({entry.licence}; {' ← '.join(entry.licence_chain)}). "
            f"Turn billing off, or take the responsibility: OCTAVIA_ALLOW_WEIGHTS='[\"{entry.name}\"]'"
        )


def admitted(entries: Iterable[CatalogueEntry], settings: ServeSettings) -> list[CatalogueEntry]:
    """The entries the licence gate lets through; each refused one is logged."""
    good = []
    for entry in entries:
        try:
            admit(entry, settings)
        except LicenceRefusedError as refusal:
            log.warning("not loaded: %s", refusal)
        else:
            good.append(entry)
    return good


def choose_set(setting: str, *, timeout_s: float = 4.0) -> Which:
    """The set to use: as set, or for "auto" the standard one when a model hub answers within the time."""
    if setting == "standard":
        return "standard"
    if setting == "starter":
        return "starter"
    if setting != "auto":
        raise CatalogueError(f"OCTAVIA_WEIGHTS is {setting!r}; it can be auto, standard or starter")
    from serve.sources.hub import hub_answers  # noqa: PLC0415 - imports huggingface_hub

    if hub_answers(timeout_s):
        return "standard"
    log.warning(STARTER_NOTICE)
    return "starter"


def selection(settings: ServeSettings, which: Which | None = None) -> list[CatalogueEntry]:
    """What a model plane with these settings serves.

    The set, of the standard one the wanted languages, its Whisper replaced if so set, and what is chosen by name alone;
    licences respected.
    """
    catalogue = settings_catalogue(settings)
    chosen_set = which or choose_set(settings.weights, timeout_s=settings.hub_timeout_s)
    entries = catalogue.select(chosen_set)
    if chosen_set == "standard" and "*" not in settings.languages:
        entries = [entry for entry in entries if entry.model == "whisper" or entry.speaks() <= {*settings.languages}]
    if settings.whisper:
        chosen = named(catalogue, settings.whisper, "whisper")
        entries = [chosen, *(entry for entry in entries if entry.model != "whisper")]
    entries += [named(catalogue, name, "align") for name in settings.align]
    entries += [named(catalogue, settings.diarize, "diarize")] if settings.diarize else []
    return admitted(entries, settings)


def named(catalogue: Catalogue, name: str, model: str) -> CatalogueEntry:
    """The entry that the model's setting names; CatalogueError when it is another model's."""
    chosen = catalogue.get(name)
    if chosen.model != model:
        raise CatalogueError(f"OCTAVIA_{model.upper()} names {chosen.name!r}, which is weights of {chosen.model}")
    return chosen


def folder_name(entry: CatalogueEntry) -> str:
    """Name and a hash of what the folder is made from; a changed source, revision or converter is another folder."""
    local_parts = [
        part for source in entry.sources if source.startswith("file:") for part in local.fingerprint(source[5:], entry)
    ]
    recipe = [entry.sources, entry.files, sorted(entry.sha256.items()), entry.convert, CONVERTERS[entry.convert][0]]
    recipe += [entry.languages if entry.model == "coqui_tts" else None, entry.target_token, local_parts]
    digest = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()
    return f"{entry.name}-{digest[:10]}"


def in_place(entry: CatalogueEntry) -> Path | None:
    """A local folder that needs no conversion is used where it lies."""
    if entry.convert != "none" or len(entry.sources) != 1 or not entry.sources[0].startswith("file:"):
        return None
    path = local.resolve(entry.sources[0][5:], entry)
    return path if path.is_dir() else None


def ensure(entry: CatalogueEntry, root: Path, progress: Progress | None = None) -> Weights:
    """The entry's weights under root, fetched and converted if they are not there yet.

    Safe for any number of processes: one works, the others wait for it. Raises WeightsError, whose message says what
    to do. The licence gate is `admit`, which callers ask first.
    """
    show = progress or silent
    folder = in_place(entry)
    if folder is None:
        folder = root / folder_name(entry)
        if not (folder / RECORD).exists():
            with storage_errors(entry, root):
                (root / ".locks").mkdir(parents=True, exist_ok=True)
                show(f"waiting for {entry.name}", 0, None)
                with FileLock(root / ".locks" / f"{folder.name}.lock"):
                    if not (folder / RECORD).exists():
                        make(entry, root, folder, show)
    return Weights(entry.name, entry.model, folder, entry)


@contextmanager
def storage_errors(entry: CatalogueEntry, root: Path) -> Iterator[None]:
    """Failures of the file system as StorageError with advice."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            need = f" (about {entry.download_bytes * 3 // 10**6} MB)" if entry.download_bytes else ""
            raise StorageError(
                f"{entry.name}: the disk with {root} is full; free some space{need} or set OCTAVIA_WEIGHTS_DIR"
            ) from error
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}:
            raise StorageError(
                f"{entry.name}: {root} cannot be written; correct its owner or set OCTAVIA_WEIGHTS_DIR"
            ) from error
        raise


def make(entry: CatalogueEntry, root: Path, folder: Path, progress: Progress) -> None:
    """Fetches into .work/NAME/download, converts into .work/NAME/build, renames that to its final name."""
    work = root / ".work" / folder.name
    download, build = work / "download", work / "build"
    shutil.rmtree(build, ignore_errors=True)
    download.mkdir(parents=True, exist_ok=True)
    build.mkdir()
    files: list[Path] = []
    revisions: dict[str, str] = {}
    hashes: dict[str, str] = {}
    for source in entry.sources:
        fetched = fetch(source, download, entry, progress)
        revisions[source] = fetched.revision
        hashes |= fetched.sha256
        files += fetched.files
    for path in files:
        name = path.relative_to(download).as_posix()
        if name in entry.sha256:
            verify(path, entry.sha256[name], entry.name)
        hashes[name] = sha256_of(path)
    CONVERTERS[entry.convert][1](files, build, entry, progress)
    record(entry, build, revisions, hashes)
    shutil.rmtree(folder, ignore_errors=True)
    build.rename(folder)
    shutil.rmtree(work, ignore_errors=True)
    progress(f"ready {entry.name}", 1, 1)


def record(entry: CatalogueEntry, build: Path, revisions: dict[str, str], hashes: dict[str, str]) -> None:
    """Checks the hashes promised for converted files and writes weights.json, flushed to disk with everything else."""
    made = {path.relative_to(build).as_posix(): sha256_of(path) for path in build.rglob("*") if path.is_file()}
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
    }
    (build / RECORD).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for path in [*build.rglob("*"), build]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def pull(
    settings: ServeSettings, names: Iterable[str] = (), which: Which | None = None, progress: Progress | None = None
) -> Iterator[Weights]:
    """Ensures the named entries, or else everything `selection` gives, yielding each when it is ready."""
    wanted = list(names)
    if wanted:
        catalogue = settings_catalogue(settings)
        entries = [catalogue.get(name) for name in wanted]
        for entry in entries:
            admit(entry, settings)
    else:
        entries = selection(settings, which)
    for entry in entries:
        yield ensure(entry, settings.weights_dir, progress)


if __name__ == "__main__":
    from serve.weights_cli import main

    main()
