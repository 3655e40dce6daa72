"""hf:OWNER/REPOSITORY@REVISION — the Hugging Face hub, or the one HF_ENDPOINT names."""

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

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
from tqdm import tqdm  # type: ignore[import-untyped]

from serve.catalogue import CatalogueEntry
from serve.sources.common import Fetched, Progress, sha256_of, wanted
from serve.sources.pace import pause
from serve.weights_errors import FetchError, VerificationError

DEFAULT_ENDPOINT = "https://huggingface.co"
ATTEMPTS = 4
METADATA_TIMEOUT_S = 15.0
COMMIT = re.compile(r"[0-9a-f]{40}")

T = TypeVar("T")


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
    """The wanted files, also in folders; where a repository has its weights twice, safetensors only."""
    chosen = [file for file in files if wanted(file.rfilename, patterns)]
    if any(file.rfilename == "model.safetensors" for file in chosen):
        chosen = [file for file in chosen if file.rfilename != "pytorch_model.bin"]
    return chosen


def status_of(error: Exception) -> int | None:
    """The HTTP status behind a hub's failure, which its client may have wrapped in others."""
    cause: BaseException | None = error
    while cause is not None:
        status = getattr(getattr(cause, "response", None), "status_code", None)
        if status is not None:
            return int(status)
        cause = cause.__cause__
    return None


def explain(error: Exception, where: str, name: str) -> FetchError:
    """The hub's failures in our words."""
    status = status_of(error)
    if isinstance(error, GatedRepoError):
        reason = "is gated: accept its terms on the hub and set HF_TOKEN"
    elif isinstance(error, RevisionNotFoundError):
        reason = "has no such revision: correct the catalogue"
    elif isinstance(error, RepositoryNotFoundError):
        reason = "does not exist on the hub, or needs HF_TOKEN: correct the catalogue"
    elif isinstance(error, OfflineModeIsEnabled):
        reason = "was not asked for because HF_HUB_OFFLINE is set: unset it"
    elif status in REFUSED:
        reason = f"was refused by {endpoint()} ({status}): check that HF_TOKEN is valid and may read it"
    elif status == httpx.codes.TOO_MANY_REQUESTS:
        reason = f"was put off by {endpoint()} (429, too many requests): try again later, or set HF_TOKEN"
    else:
        said = f"answered {status}" if status else type(error).__name__
        reason = (
            f"could not be fetched from {endpoint()} ({said}): "
            "check the network and try again; files that have arrived are kept"
        )
    return FetchError(f"{name}: {where} {reason}")


REFUSED = {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}
FINAL = (RepositoryNotFoundError, RevisionNotFoundError, OfflineModeIsEnabled, EntryNotFoundError)
HTTP_ERROR: type[Exception] = HfHubHTTPError.__mro__[1]  # of whichever HTTP client this huggingface_hub was built on
HUB_ERRORS = (HTTP_ERROR, EntryNotFoundError, LocalEntryNotFoundError, OfflineModeIsEnabled)


def persistently(call: Callable[[], T], where: str, name: str) -> T:
    """The call's result after up to ATTEMPTS tries. FetchError, at once for what trying again cannot change."""
    for number in range(ATTEMPTS):
        try:
            return call()
        except HUB_ERRORS as error:
            final = isinstance(error, FINAL) and not isinstance(error, LocalEntryNotFoundError)
            if final or status_of(error) in REFUSED or number == ATTEMPTS - 1:
                raise explain(error, where, name) from error
            response = getattr(error, "response", None)
            pause(number, response.headers.get("retry-after") if response is not None else None)
    raise AssertionError("unreachable")


def look_up(rest: str, entry: CatalogueEntry) -> tuple[str, list[RepoSibling]]:
    """The commit a revision means now, and the wanted files there with their sizes and hashes. FetchError."""
    repository, _, revision = rest.partition("@")
    api = HfApi(endpoint=endpoint())
    info = persistently(
        lambda: api.model_info(repository, revision=revision, files_metadata=True, timeout=METADATA_TIMEOUT_S),
        rest,
        entry.name,
    )
    files = choose(list(info.siblings or []), entry.files)
    if not files or not info.sha:
        raise FetchError(f"{entry.name}: {repository} has none of the files {', '.join(entry.files)}")
    return info.sha, files


def reporter(done: int, total: int, name: str, progress: Progress) -> type[Any]:
    """A progress bar for hf_hub_download that draws nothing and tells ours."""

    class Reporter(tqdm):  # type: ignore[misc]  # which has no types
        def __init__(self, *_: object, initial: int = 0, **__: object) -> None:
            super().__init__(disable=True)
            self._have = done + initial

        def update(self, n: float | None = 1) -> bool | None:
            self._have += int(n or 0)
            progress(f"downloading {name}", self._have, total)
            return None

    return Reporter


def fetch(rest: str, folder: Path, entry: CatalogueEntry, progress: Progress) -> Fetched:
    """Downloads a repository's wanted files at a revision, verified against the hub's own hashes.

    Within a file a cut connection is continued; files that an earlier process finished are not fetched again.
    """
    repository = rest.partition("@")[0]
    commit, files = look_up(rest, entry)
    for left in folder.glob(".cache/**/*.incomplete"):  # of a process that was killed; its client cannot continue them
        left.unlink()
    total = sum(file.size or 0 for file in files)
    done, paths = 0, []
    for file in files:
        progress(f"downloading {entry.name}", done, total)
        bar, file_name = reporter(done, total, entry.name, progress), file.rfilename
        path = persistently(
            lambda file_name=file_name, bar=bar: hf_hub_download(  # type: ignore[misc]
                repository, file_name, revision=commit, local_dir=folder, endpoint=endpoint(), tqdm_class=bar
            ),
            rest,
            entry.name,
        )
        check_declared(Path(path), file, entry.name)
        done += file.size or 0
        paths.append(Path(path))
    progress(f"downloading {entry.name}", done, total)
    return Fetched(commit, tuple(paths))


def size(rest: str, entry: CatalogueEntry) -> int | None:
    """Bytes there are to download."""
    return sum(file.size or 0 for file in look_up(rest, entry)[1])


def moved(rest: str, recorded: str, entry: CatalogueEntry) -> str | None:
    """The commit a branch or tag means now if it is not the recorded one; None for a pinned commit, without asking."""
    if COMMIT.fullmatch(rest.partition("@")[2]):
        return None
    current = look_up(rest, entry)[0]
    return current if current != recorded else None
