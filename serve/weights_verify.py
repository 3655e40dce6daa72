"""Whether what is on this machine is still what was fetched, and what to do where it is not."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from serve.settings import ServeSettings
from serve.weights import settings_catalogue
from serve.weights_inventory import Found, inventory
from serve.weights_record import RECORD, faults


@dataclass(frozen=True, slots=True)
class Checked:
    """One folder, read through. `remark` says what to do about the faults, or what else is to know."""

    name: str
    place: str
    faults: tuple[str, ...]
    remark: str = ""


def verify(settings: ServeSettings, names: Iterable[str] = ()) -> Iterator[Checked]:
    """Reads every file of the named sets, or of all there are, and compares it with its record and the catalogue.

    CatalogueError for a name that is neither on this machine nor in the catalogue.
    """
    everything = inventory(settings)
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        if not any(each.name == name for each in everything):
            settings_catalogue(settings).get(name)
            yield Checked(name, "", ("not on this machine",), f"octavia models pull {name}")
    for each in everything:
        if not wanted or each.name in wanted:
            yield check(each)


def check(found: Found) -> Checked:
    """One folder of the weights folder."""
    place = str(found.folder)
    if found.kind == "fetching":
        return Checked(found.name, place, (), "is being fetched just now")
    if found.kind == "unfinished":
        advice = f"octavia models pull {found.name} finishes it" if found.entry else "nothing goes on with it"
        return Checked(found.name, place, ("unfinished",), f"{advice}; octavia models remove --unfinished discards it")
    if found.kind == "imported":
        if not (found.folder / RECORD).exists():
            return Checked(found.name, place, (), "has no record to be checked against; importing it again makes one")
        wrong = faults(found.folder, deep=True)
        return Checked(found.name, place, tuple(wrong), "import it again: octavia models import-piper" if wrong else "")
    wrong = faults(found.folder, found.entry if found.kind == "set" else None, deep=True)
    if found.kind == "set":
        return Checked(found.name, place, tuple(wrong), f"octavia models pull {found.name}" if wrong else "")
    what = "made from a recipe the catalogue no longer has" if found.kind == "older" else "unknown to the catalogue"
    return Checked(found.name, place, tuple(wrong), f"{what}: octavia models remove --unused takes it away")
