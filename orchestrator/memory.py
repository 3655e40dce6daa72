"""Memory of a process with many threads, as glibc's malloc keeps it."""

import ctypes

M_ARENA_MAX = -8
"""Of glibc's malloc.h."""
ARENAS = 2


def share_arenas() -> None:
    """Let all threads share a few arenas; to be called before there are threads.

    Else each has one of its own and keeps what it once needed: twice the memory, for a worker that reads sound in
    threads. Does nothing where the C library is not glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, ARENAS)
