"""hf:OWNER/REPOSITORY@REVISION — the Hugging Face hub, or the one HF_ENDPOINT names."""

import hashlib
import os
import random
import time
from fnmatch import fnmatchcase
from pathlib import Path

import httpx

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoSibling

from serve.catalogue import CatalogueEntry
from serve.sources.common import Fetched, Progress, sha256_of, wanted
from serve.weights_errors import FetchError, VerificationError

DEFAULT_ENDPOINT = "https://huggingface.co"
ATTEMPTS = 4
METADATA_TIMEOUT_S = 15.0


def endpoint() -> str:
    """The hub's address; read at each use, so that a test or a mirror needs no fresh interpreter."""
    return os.environ.get("HF_ENDPOINT", DEFAULT_ENDPOINT).rstrip("/")


def hub_answers(timeout_s: float) -> bool:
    """Whether a model hub answers at all within the time."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "TRUE", "YES", "ON"}:
        return False
    try:
        answer = httpx.get(f"{endpoint()}/api/models?limit=1", timeout=timeout_s, follow_redirects=True)
    except httpx.HTTPError:
        return False
    return answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR and answer.headers.get("content-type", "").startswith(
        "application/json"
    )


def git_blob_of(path: Path) -> str:
    """The id git gives the file's content."""
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def check_declared(path: Path, file: RepoSibling, name: str) -> None:
    """Compares a file with the hash the hub declares for it; removes it and raises when they differ."""
    if file.lfs is not None:
        good = sha256_of(path) == file.lfs.sha256
    else:
        good = file.blob_id is None or git_blob_of(path) == file.blob_id
    if not good:
        path.unlink()
        raise VerificationError(f"{name}: {path.name} is not what the hub declares; it was removed, try again")


def choose(files: list[RepoSibling], patterns: tuple[str, ...]) -> list[RepoSibling]:
    """The wanted files; where a repository has its weights twice, safetensors only. What lies in its folders is wanted
    where a pattern names the folder.
    """
    deep = tuple(pattern for pattern in patterns if "/" in pattern)
    chosen = [
        file
        for file in files
        if (inside(file.rfilename, deep) if "/" in file.rfilename else wanted(file.rfilename, patterns))
    ]
    if any(file.rfilename == "model.safetensors" for file in chosen):
        chosen = [file for file in chosen if file.rfilename != "pytorch_model.bin"]
    return chosen


def inside(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a pattern names a file in a folder of the repository, folder by folder. VerificationError when it does,
    and the file would lie outside the folder it is fetched into.
    """
    parts = name.split("/")
    for pattern in patterns:
        steps = pattern.split("/")
        if len(steps) == len(parts) and all(fnmatchcase(*each) for each in zip(parts, steps, strict=True)):
            if any(part in ("", ".", "..") or "\\" in part for part in parts):
                raise VerificationError(f"the repository names a file {name!r}, which lies outside of it; not fetched")
            return True
    return False


def explain(error: Exception, where: str, name: str) -> FetchError:
    """The hub's failures in our words."""
    if isinstance(error, GatedRepoError):
        reason = "is gated: accept its terms on the hub and set HF_TOKEN"
    elif isinstance(error, RevisionNotFoundError):
        reason = "has no such revision: correct the catalogue"
    elif isinstance(error, RepositoryNotFoundError):
        reason = "does not exist on the hub, or needs HF_TOKEN: correct the catalogue"
    elif isinstance(error, OfflineModeIsEnabled):
        reason = "was not asked for because HF_HUB_OFFLINE is set: unset it"
    else:
        reason = (
            f"could not be fetched from {endpoint()} ({type(error).__name__}): "
            "check the network and try again; what has arrived is kept"
        )
    return FetchError(f"{name}: {where} {reason}")


FINAL = (RepositoryNotFoundError, RevisionNotFoundError, OfflineModeIsEnabled)
HTTP_ERROR: type[Exception] = HfHubHTTPError.__mro__[1]  # of whichever HTTP client this huggingface_hub was built on
HUB_ERRORS = (HTTP_ERROR, EntryNotFoundError, LocalEntryNotFoundError, OfflineModeIsEnabled)


def fetch_all(repository: str, revision: str, folder: Path, entry: CatalogueEntry, progress: Progress) -> Fetched:
    """One attempt at everything wanted; finished files are not fetched again."""
    api = HfApi(endpoint=endpoint())
    info = api.model_info(repository, revision=revision, files_metadata=True, timeout=METADATA_TIMEOUT_S)
    files = choose(list(info.siblings or []), entry.files)
    if not files or not info.sha:
        raise FetchError(f"{entry.name}: {repository} has none of the files {', '.join(entry.files)}")
    total = sum(file.size or 0 for file in files)
    done, paths = 0, []
    for file in files:
        progress(f"downloading {entry.name}", done, total)
        hf_hub_download(repository, file.rfilename, revision=info.sha, local_dir=folder, endpoint=endpoint())
        path = folder / file.rfilename
        check_declared(path, file, entry.name)
        done += file.size or 0
        paths.append(path)
    progress(f"downloading {entry.name}", done, total)
    return Fetched(info.sha, tuple(paths))


def fetch(rest: str, folder: Path, entry: CatalogueEntry, progress: Progress) -> Fetched:
    """Downloads a repository's wanted files at a revision, verified against the hub's own hashes."""
    repository, _, revision = rest.partition("@")
    for number in range(ATTEMPTS):
        try:
            return fetch_all(repository, revision, folder, entry, progress)
        except HUB_ERRORS as error:
            if isinstance(error, FINAL) or number == ATTEMPTS - 1:
                raise explain(error, rest, entry.name) from error
            time.sleep(0.25 * 2**number * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
    raise AssertionError("unreachable")
