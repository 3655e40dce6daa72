"""The licence gate, and what an operator must show of the weights that passed it."""

import logging
from collections.abc import Iterable

from serve.catalogue import CatalogueEntry
from serve.settings import ServeSettings
from serve.terms import KNOWN, objections
from serve.weights_errors import LicenceRefusedError

log = logging.getLogger(__name__)

CHANGES = {  # how a converter changed what was published; CC BY asks to say so
    "marian": "converted to CTranslate2 with 8-bit weights",
    "piper": "converted from ONNX to a Coqui VITS checkpoint",
}


def cleared(entry: CatalogueEntry) -> bool:
    """Whether people may pay for what the weights do: said so, no toy, and nothing in the whole chain against it."""
    return entry.paid_use and not entry.toy and not objections(entry.licence, entry.licence_chain)


def reason(entry: CatalogueEntry) -> str | None:
    """Why the entry is not cleared for paid use; None when it is."""
    if cleared(entry):
        return None
    if entry.toy:
        return "a toy translation, never for paid use"
    against = objections(entry.licence, entry.licence_chain)
    return "; ".join(against) or f"the catalogue does not clear it ({entry.licence}; {chain(entry)})"


def chain(entry: CatalogueEntry) -> str:
    """The licences from the weights themselves down to the first data."""
    return " ← ".join(entry.licence_chain)


def refusal(entry: CatalogueEntry, settings: ServeSettings) -> str | None:
    """Why these settings refuse the entry and what to do; None when they let it through."""
    if not settings.billing or cleared(entry):
        return None
    if entry.toy:
        return f"{entry.name} is a toy translation and never loads while billing is on"
    if entry.name in settings.allow_weights:
        return None
    return (
        f"{entry.name} is not cleared for paid use ({entry.licence}; {chain(entry)}). "
        f"Turn billing off, or take the responsibility: OCTAVIA_ALLOW_WEIGHTS='[\"{entry.name}\"]'"
    )


def admit(entry: CatalogueEntry, settings: ServeSettings) -> None:
    """LicenceRefusedError when people pay and the entry is neither cleared for that nor opted in by name."""
    why = refusal(entry, settings)
    if why:
        raise LicenceRefusedError(why)


def admitted(entries: Iterable[CatalogueEntry], settings: ServeSettings) -> list[CatalogueEntry]:
    """The entries the licence gate lets through; each refused one is logged."""
    good = []
    for entry in entries:
        why = refusal(entry, settings)
        if why:
            log.warning("not loaded: %s", why)
        else:
            good.append(entry)
    return good


def check_left(model: str, wanted: Iterable[CatalogueEntry], settings: ServeSettings) -> None:
    """LicenceRefusedError naming them all when a model has weights to load and the gate refuses every one."""
    own = [entry for entry in wanted if entry.model == model]
    if own and all(refusal(entry, settings) for entry in own):
        refused = "; ".join(f"{entry.name}: {reason(entry)}" for entry in own)
        raise LicenceRefusedError(
            f"billing is on, and {model} is left without weights, since all are refused: {refused}. Use cleared ones "
            "(OCTAVIA_WEIGHTS=standard), turn billing off, or opt in by OCTAVIA_ALLOW_WEIGHTS what is no toy"
        )


def notice(entry: CatalogueEntry) -> str:
    """The line to show where people see what the service is made of; empty when nobody is to be credited."""
    if not entry.attribution:
        return ""
    known = KNOWN.get(entry.licence)
    name, link = known or (entry.licence, "")
    text = entry.attribution.removesuffix(f" ({name})")
    change = CHANGES.get(entry.convert)
    return f"{text}. Licence: {name}{f', {link}' if link else ''}." + (f" Changed: {change}." if change else "")
