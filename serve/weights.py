"""From a catalogue entry to a local folder: licence gate, fetch, verify, convert, exactly once.

A folder under the weights directory is named after its entry and a hash of everything it is made from, appears by
one rename, and is complete when it is there. Work in progress lies in .work/ and is redone after a crash; files that
have arrived are kept.

    python -m serve.weights pull --set starter
"""

import hashlib
import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock

from serve.catalogue import Catalogue, CatalogueEntry, Which, load_catalogue
from serve.convert import CONVERTERS
from serve.licences import admit, admitted, check_left
from serve.settings import ServeSettings
from serve.sources import Progress, local
from serve.sources.common import silent
from serve.weights_errors import CatalogueError, StorageError
from serve.weights_lease import Lease
from serve.weights_make import make, storage_errors
from serve.weights_record import RECORD, faults

log = logging.getLogger(__name__)

LOCAL_CATALOGUE = "catalogue.local.toml"
STARTER_NOTICE = (
    "the model hub does not answer: using the starter set, whose translation is a toy that knows the sample, "
    "and whose English voice stands in for every language"
)
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights ready to load, which have passed the licence gate: `folder` holds what the model's class expects.

    As long as `lease` lives, `octavia models remove` leaves the folder alone.
    """

    name: str
    model: str
    folder: Path
    entry: CatalogueEntry
    lease: Lease = field(compare=False, repr=False)


def settings_catalogue(settings: ServeSettings) -> Catalogue:
    """The repository's catalogue and the operator's imported voices."""
    return load_catalogue(settings.model_repo / "catalogue.toml", settings.weights_dir / LOCAL_CATALOGUE)


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


def wanted(settings: ServeSettings, which: Which | None = None) -> list[CatalogueEntry]:
    """What a model plane with these settings would serve if licences did not matter: the set, of the standard one the
    wanted languages, its Whisper replaced if so set, and what is chosen by name alone.
    """
    catalogue = settings_catalogue(settings)
    chosen_set = which or choose_set(settings.weights, timeout_s=settings.hub_timeout_s)
    entries = catalogue.select(chosen_set)
    if chosen_set == "standard" and "*" not in settings.languages:
        entries = [entry for entry in entries if entry.model == "whisper" or entry.speaks() <= {*settings.languages}]
    if settings.whisper:
        chosen = named(catalogue, settings.whisper, "whisper")
        entries = [chosen, *(entry for entry in entries if entry.model != "whisper")]
    voices = [named(catalogue, name, "coqui_tts", "voices") for name in settings.voices]
    entries += [voice for voice in voices if voice not in entries]
    entries += [named(catalogue, name, "align") for name in settings.align]
    alone = {
        "diarize": settings.diarize,
        "separate": settings.separate,
        "speech_quality": settings.speech_quality,
        "speaker_embedding": settings.speaker_embedding,
    }
    entries += [named(catalogue, name, model) for model, name in alone.items() if name]
    return entries


def selection(settings: ServeSettings, which: Which | None = None) -> list[CatalogueEntry]:
    """What a model plane with these settings serves: what is `wanted`, licences respected."""
    return admitted(wanted(settings, which), settings)


def selection_for(models: Iterable[str], settings: ServeSettings) -> list[CatalogueEntry]:
    """As `selection`, for a plane that serves these models: LicenceRefusedError when one is left without weights."""
    entries = wanted(settings)
    for model in models:
        check_left(model, entries, settings)
    return admitted(entries, settings)


def named(catalogue: Catalogue, name: str, model: str, setting: str | None = None) -> CatalogueEntry:
    """The entry that the model's setting names; CatalogueError when it is another model's."""
    chosen = catalogue.get(name)
    if chosen.model != model:
        raise CatalogueError(
            f"OCTAVIA_{(setting or model).upper()} names {chosen.name!r}, which is weights of {chosen.model}"
        )
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


def ensure(
    entry: CatalogueEntry, settings: ServeSettings, progress: Progress | None = None, *, anew: bool = False
) -> Weights:
    """The entry's weights, fetched and converted if they are not there yet, or not whole, or to be made anew.

    The one way to weights, so the licence gate is here. Safe for any number of processes: one works, the others wait
    for it. Raises WeightsError, whose message says what to do.
    """
    admit(entry, settings)
    own = in_place(entry)
    if own is not None:
        return Weights(entry.name, entry.model, own, entry, Lease(own))
    folder = settings.weights_dir / folder_name(entry)
    for _ in range(ATTEMPTS):
        complete(entry, settings.weights_dir, folder, progress or silent, anew=anew)
        try:
            return Weights(entry.name, entry.model, folder, entry, Lease(folder))
        except FileNotFoundError:
            continue
    raise StorageError(f"{entry.name}: {folder} is removed as often as it is made; find out who does it")


def complete(entry: CatalogueEntry, root: Path, folder: Path, progress: Progress, *, anew: bool) -> None:
    """Makes the folder unless it is whole; another process that is making it is waited for."""
    if not anew and not faults(folder):
        return
    with storage_errors(entry.name, root, entry.download_bytes):
        (root / ".locks").mkdir(parents=True, exist_ok=True)
        progress(f"waiting for {entry.name}", 0, None)
        with FileLock(root / ".locks" / f"{folder.name}.lock"):
            wrong = faults(folder)
            if not anew and not wrong:
                return
            if not anew and (folder / RECORD).exists():
                log.warning("%s is damaged (%s); making it anew", entry.name, "; ".join(wrong))
            make(entry, root, folder, progress)


if __name__ == "__main__":
    from serve.weights_cli import main

    main()
