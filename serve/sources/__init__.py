"""Where weights come from: one module per scheme of the catalogue, loaded when a source of that scheme is asked."""

from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from serve.catalogue import CatalogueEntry
from serve.sources.common import Fetched, Progress

MODULES = {
    "hf": "serve.sources.hub",
    "coqui": "serve.sources.coqui",
    "torchaudio": "serve.sources.torchaudio",
    "pypi": "serve.sources.pypi",
    "file": "serve.sources.local",
}

__all__ = ["Fetched", "Progress", "fetch", "moved", "size"]


class Source(Protocol):
    """What every module of a scheme offers; `rest` is the source without its scheme."""

    def fetch(self, rest: str, folder: Path, entry: CatalogueEntry, progress: Progress) -> Fetched:
        """Brings the wanted files into folder."""

    def size(self, rest: str, entry: CatalogueEntry) -> int | None:
        """Bytes to download, None where the source does not say beforehand."""

    def moved(self, rest: str, recorded: str, entry: CatalogueEntry) -> str | None:
        """The revision that `rest` means by now, when it is not the recorded one."""


def of(source: str) -> tuple[Source, str]:
    """The module of a source's scheme and the rest of the source."""
    scheme, _, rest = source.partition(":")
    return cast(Source, import_module(MODULES[scheme])), rest


def fetch(source: str, folder: Path, entry: CatalogueEntry, progress: Progress) -> Fetched:
    """Brings one source's wanted files into folder, continuing what an earlier attempt left there.

    Files keep their path within a hub's repository or a local folder; those of archives arrive flat.
    Raises FetchError, VerificationError.
    """
    module, rest = of(source)
    return module.fetch(rest, folder, entry, progress)


def size(source: str, entry: CatalogueEntry) -> int | None:
    """Bytes a source has to send, None where it does not say beforehand. FetchError when it cannot be asked."""
    module, rest = of(source)
    return module.size(rest, entry)


def moved(source: str, recorded: str, entry: CatalogueEntry) -> str | None:
    """What a source's revision means now, None when that is the recorded one or can never change. FetchError."""
    module, rest = of(source)
    return module.moved(rest, recorded, entry)
