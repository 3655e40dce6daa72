"""What the sources share: progress, hashes, choosing files."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from serve.weights_errors import VerificationError

Progress = Callable[[str, int, int | None], None]  # what is being done, bytes so far, bytes in all if known


def silent(_what: str, _done: int, _total: int | None) -> None:
    """A Progress that shows nothing."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a source brought: the exact revision it was, the files' paths, and the hashes already verified."""

    revision: str
    files: tuple[Path, ...]
    sha256: dict[str, str] = field(default_factory=dict)


def wanted(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether the catalogue asks for a file of that name; no patterns ask for everything."""
    return not patterns or any(fnmatch(name, pattern) for pattern in patterns)


def sha256_of(path: Path) -> str:
    """Hash of a file's content, as hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(path: Path, expected: str, name: str) -> None:
    """Removes the file and raises VerificationError when its hash is not the expected one."""
    found = sha256_of(path)
    if found != expected:
        path.unlink()
        raise VerificationError(
            f"{name}: {path.name} has sha256 {found}, expected {expected}; it was removed. "
            "Try again; if it stays so, the source has changed and the catalogue must be reviewed"
        )
