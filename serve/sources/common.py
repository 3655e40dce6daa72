"""What the sources share: progress, hashes, choosing files."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from serve.weights_errors import VerificationError

Progress = Callable[[str, int, int | None], None]  # what is being done, bytes so far, bytes in all if known

SAFE_PART = re.compile(r"[^./\\\x00-\x1f][^/\\\x00-\x1f]*")  # not hidden, not "..", no other system's separator


def silent(_what: str, _done: int, _total: int | None) -> None:
    """A Progress that shows nothing."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a source brought: the exact revision it was, the files below the folder, and the hashes of archives."""

    revision: str
    files: tuple[Path, ...]
    sha256: dict[str, str] = field(default_factory=dict)


def wanted(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether the catalogue asks for the file of that path, relative to its source and with "/" between folders.

    As in a shell, "*" ends at a folder's edge and passes over hidden names: "*.bin" asks for files at the top,
    "embedding/*" for those of one folder. No patterns ask for everything at the top. What could lead out of the folder
    is never wanted.
    """
    parts = path.split("/")
    if not all(SAFE_PART.fullmatch(part) for part in parts):
        return False
    if not patterns:
        return len(parts) == 1
    return any(matches(parts, pattern.split("/")) for pattern in patterns)


def matches(parts: list[str], pattern: list[str]) -> bool:
    """Whether each part of a path fits its part of the pattern."""
    return len(parts) == len(pattern) and all(map(fnmatchcase, parts, pattern))


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
