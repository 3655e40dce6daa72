"""Makes a folder of weights: fetches to .work/NAME/download, converts to .work/NAME/build, renames that when whole."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serve.catalogue import CatalogueEntry
from serve.convert import CONVERTERS
from serve.sources import Progress, fetch
from serve.sources.common import sha256_of, verify
from serve.weights_errors import StorageError
from serve.weights_record import record

FULL = {errno.ENOSPC, errno.EDQUOT}
NOT_OURS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}


@contextmanager
def storage_errors(what: str, root: Path, download_bytes: int | None = None) -> Iterator[None]:
    """Failures of the file system as StorageError with advice."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            need = f" (about {download_bytes * 3 // 10**6} MB)" if download_bytes else ""
            raise StorageError(
                f"{what}: the disk with {root} is full; free some space{need} or set OCTAVIA_WEIGHTS_DIR"
            ) from error
        if error.errno in NOT_OURS:
            raise StorageError(
                f"{what}: {root} cannot be written; correct its owner or set OCTAVIA_WEIGHTS_DIR"
            ) from error
        raise


def make(entry: CatalogueEntry, root: Path, folder: Path, progress: Progress) -> None:
    """The entry's folder, made anew. What is there of that name is replaced at the end."""
    work = root / ".work" / folder.name
    download, build = work / "download", work / "build"
    for left in (build, work / "replaced"):
        shutil.rmtree(left, ignore_errors=True)
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
    CONVERTERS[entry.convert][1](download, files, build, entry, progress)
    record(entry, build, revisions, hashes)
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        folder.rename(work / "replaced")
    build.rename(folder)
    shutil.rmtree(work, ignore_errors=True)
    progress(f"ready {entry.name}", 1, 1)
