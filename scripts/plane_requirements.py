"""The part of requirements.lock that each plane's image needs: `python -m scripts.plane_requirements`.

From a plane's dependencies in containers/planes.toml it follows what the installed packages say they need, extras and
markers heeded, and takes the versions of the lock.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).resolve().parents[1]
FOLDER = CHECKOUT / "containers"
NOTE = (
    "# Made by `python -m scripts.plane_requirements` from containers/planes.toml and requirements.lock. Do not edit.\n"
)

Needed = tuple[str, frozenset[str]]
"""A package by its canonical name, with extras."""


def declared() -> dict[str, Requirement]:
    """The project's dependencies by canonical name, what whisperx imports among them."""
    with (CHECKOUT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["whisperx"]]
    return {canonicalize_name(each.name): each for each in map(Requirement, lines)}


def planes() -> dict[str, dict[str, Any]]:
    """containers/planes.toml."""
    with (FOLDER / "planes.toml").open("rb") as file:
        return tomllib.load(file)


def locked() -> dict[str, str]:
    """The lock's lines by canonical name."""
    lines = (CHECKOUT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    return {canonicalize_name(line.partition("==")[0].partition(" @")[0].strip()): line for line in lines if line}


def roots(plane: Mapping[str, Any]) -> list[Needed]:
    """A plane's own dependencies. KeyError for one that pyproject.toml does not have."""
    extras: Mapping[str, list[str]] = plane["extras"]
    ours = declared()
    return [
        (canonicalize_name(name), frozenset(extras.get(name, ours[canonicalize_name(name)].extras)))
        for name in plane["dependencies"]
    ]


def closure(needed: Iterable[Needed]) -> set[str]:
    """Canonical names of the packages and of all they need. What is not installed here is not needed here."""
    seen: set[Needed] = set()
    waiting = list(needed)
    while waiting:
        each = waiting.pop()
        if each in seen:
            continue
        seen.add(each)
        waiting.extend(_needs(*each))
    return {name for name, _ in seen if _installed(name)}


def _needs(name: str, extras: frozenset[str]) -> Iterator[Needed]:
    try:
        lines = distribution(name).requires or ()
    except PackageNotFoundError:
        return
    for requirement in map(Requirement, lines):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield canonicalize_name(requirement.name), frozenset(requirement.extras)


def _installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def lock_of(plane: Mapping[str, Any]) -> str:
    """The lock of a plane."""
    names = closure(roots(plane)) - {canonicalize_name(each) for each in plane["without"]}
    lines = [line for name, line in locked().items() if name in names]
    return NOTE + "\n".join(lines) + "\n"


def main() -> None:
    for name, plane in planes().items():
        path = FOLDER / f"{name}.lock"
        path.write_text(lock_of(plane), encoding="utf-8")
        print(f"made {path.relative_to(CHECKOUT)}")


if __name__ == "__main__":
    main()
