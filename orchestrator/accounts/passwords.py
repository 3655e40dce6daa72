"""Passwords: the rules of NIST SP 800-63B, and argon2id hashes made off the event loop, a bounded number at once."""

import asyncio
import os
import secrets
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from passlib.hash import argon2

from orchestrator.errors import OctaviaError

LENGTH = range(8, 129)
"""Characters, of any kind; the upper bound keeps hashing cheap. Nothing is cut off."""

_HASHER = argon2.using(type="ID", memory_cost=19_456, time_cost=2, parallelism=1)
"""19 MiB, two passes: the least OWASP's Password Storage sheet asks for."""

_POOL = ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)) // 2), thread_name_prefix="password")
"""At most half of the processors hash, whoever logs in: the others answer. Each hash holds its 19 MiB meanwhile."""

_DECOY: str = _HASHER.hash(secrets.token_hex())
"""Stands in where there is no account, so that the answer takes as long."""


class UnfitPasswordError(OctaviaError):
    """The password breaks a rule; the message says which."""

    def __init__(self, message: str) -> None:
        super().__init__("unfit_password", message, 422)


def check_password(password: str) -> None:
    """Raises UnfitPasswordError for one that is too short, too long, or a common password or word."""
    if len(password) not in LENGTH:
        raise UnfitPasswordError(f"A password has {LENGTH.start} to {LENGTH.stop - 1} characters.")
    if _normal(password).casefold() in _commonest():
        raise UnfitPasswordError("This is a common password or word: those are tried first. Choose another.")


async def hash_password(password: str) -> str:
    return await asyncio.get_running_loop().run_in_executor(_POOL, _HASHER.hash, _normal(password))


async def matches(password: str, stored: str | None) -> bool:
    """Whether the password is the one of the stored hash; without one, False after the same work."""
    loop = asyncio.get_running_loop()
    verify = loop.run_in_executor(_POOL, _HASHER.verify, _normal(password), stored or _DECOY)
    return await verify and stored is not None


def is_outdated(stored: str) -> bool:
    """Whether the hash was made with less work than today's and should be made anew at the next login."""
    return bool(_HASHER.needs_update(stored))


def _normal(password: str) -> str:
    """One form for what looks the same on different keyboards (NIST SP 800-63B, 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


def warm_up() -> None:
    """Loads the list, so that the first sign-up does not."""
    _commonest()


@cache
def _commonest() -> frozenset[str]:
    """The 30,000 commonest passwords of zxcvbn's lists, and its common words and names (NIST SP 800-63B, 3.1.1.2)."""
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # noqa: PLC0415  (a megabyte, only where a password is chosen)

    return frozenset(word for words in FREQUENCY_LISTS.values() for word in words)
