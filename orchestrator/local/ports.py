"""Ports of loopback below those that the system gives to connections, of which any may come between to take one."""

import itertools
import random
import socket

RANGE = (28_000, 4_000)


class Ports:
    """Hands out one port of its range after the other, so that none is given twice before it is listened on."""

    def __init__(self, first: int, count: int) -> None:
        self._first = first
        self._count = count
        self._next = itertools.count(random.randrange(count))  # noqa: S311

    def free(self) -> int:
        """One that nobody listens on right now. RuntimeError when all are taken."""
        for _ in range(self._count):
            port = self._first + next(self._next) % self._count
            if _is_free(port):
                return port
        raise RuntimeError(f"no port of {self._first} to {self._first + self._count - 1} is free")


PORTS = Ports(*RANGE)
"""Those of this process. Tests that run beside others have their own."""


def free_port() -> int:
    """One that nobody listens on right now."""
    return PORTS.free()


def free_ports(count: int) -> list[int]:
    """Several that nobody listens on right now."""
    return [free_port() for _ in range(count)]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
