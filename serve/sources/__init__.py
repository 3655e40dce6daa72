"""Where weights come from: one module per scheme of the catalogue, all with fetch(rest, folder, entry, progress)."""

from collections.abc import Callable
from pathlib import Path

from serve.catalogue import CatalogueEntry
from serve.sources import coqui, hub, local, pypi
from serve.sources.common import Fetched, Progress

FETCHERS: dict[str, Callable[[str, Path, CatalogueEntry, Progress], Fetched]] = {
    "hf": hub.fetch,
    "coqui": coqui.fetch,
    "pypi": pypi.fetch,
    "file": local.fetch,
}

__all__ = ["Fetched", "Progress", "fetch"]


def fetch(source: str, folder: Path, entry: CatalogueEntry, progress: Progress) -> Fetched:
    """Brings one source's wanted files into folder, continuing what an earlier attempt left there. Flat, but for files
    in folders of a hub's repository.

    Raises FetchError, VerificationError.
    """
    scheme, _, rest = source.partition(":")
    return FETCHERS[scheme](rest, folder, entry, progress)
