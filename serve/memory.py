"""Memory that a model has freed goes back to the system: glibc keeps it otherwise, in pieces too small for the next."""

import ctypes
import ctypes.util
from functools import cache
from typing import Any


@cache
def _libc() -> Any:
    name = ctypes.util.find_library("c")
    library = ctypes.CDLL(name) if name else None
    return library if library is not None and hasattr(library, "malloc_trim") else None


def give_back() -> None:
    """Returns to the system what is free, where its allocator can be asked to."""
    library = _libc()
    if library is not None:
        library.malloc_trim(0)
