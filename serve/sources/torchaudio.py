"""torchaudio:models/FILE — weights that PyTorch publishes for torchaudio's own models."""

from pathlib import Path

import httpx

from serve.catalogue import CatalogueEntry
from serve.sources.common import Fetched, Progress, sha256_of, verify
from serve.sources.download import download

ADDRESS = "https://download.pytorch.org/torchaudio/"
"""Where torchaudio's own `_download_asset` fetches from."""
ASK_TIMEOUT_S = 15.0


def size(rest: str, entry: CatalogueEntry) -> int | None:
    """Bytes of the file, None where the server does not say."""
    del entry
    try:
        answer = httpx.head(ADDRESS + rest, follow_redirects=True, timeout=ASK_TIMEOUT_S)
    except httpx.HTTPError:
        return None
    length = answer.headers.get("content-length", "")
    return int(length) if answer.is_success and length.isdigit() else None


def fetch(rest: str, folder: Path, entry: CatalogueEntry, progress: Progress) -> Fetched:
    """Downloads the file, resuming."""
    path = folder / rest.rpartition("/")[2]
    if not path.exists():
        download(ADDRESS + rest, path, what=f"downloading {entry.name}", progress=progress)
    if path.name in entry.sha256:
        verify(path, entry.sha256[path.name], entry.name)
    return Fetched(ADDRESS + rest, (path,), {path.name: sha256_of(path)})


def moved(_rest: str, _recorded: str, _entry: CatalogueEntry) -> str | None:
    """Never: a file keeps its name."""
    return None
