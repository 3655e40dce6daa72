"""Password hashes: argon2id, off the event loop, two at a time."""

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor

from passlib.hash import argon2

_HASHER = argon2.using(type="ID", memory_cost=19_456, time_cost=2, parallelism=1)
"""19 MiB, two passes: the least OWASP's Password Storage sheet asks for."""

_POOL = ThreadPoolExecutor(2, thread_name_prefix="password")
"""More at once would only take memory and slow one another down."""

_DECOY: str = _HASHER.hash(secrets.token_hex())
"""Stands in where there is no account, so that the answer takes as long."""


async def hash_password(password: str) -> str:
    return await asyncio.get_running_loop().run_in_executor(_POOL, _HASHER.hash, password)


async def matches(password: str, stored: str | None) -> bool:
    """Whether the password is the one of the stored hash; without one, False after the same work."""
    verify = asyncio.get_running_loop().run_in_executor(_POOL, _HASHER.verify, password, stored or _DECOY)
    return await verify and stored is not None
