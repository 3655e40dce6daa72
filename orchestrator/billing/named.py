"""Whom an event of Polar's names: ids that may be our users', and e-mail addresses. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from orchestrator.billing.rules import as_id

IDS = frozenset({"user_id", "external_id", "external_customer_id", "customer_external_id"})
"""Keys under which our users' ids stand: in metadata, of customers and of checkouts."""
ADDRESS = "email"
"""What keys of addresses end with."""


@dataclass(frozen=True, slots=True)
class Named:
    """Ids, and addresses by their hashes; each once, in a fixed order."""

    user_ids: list[UUID]
    email_hashes: list[bytes]


def named(data: Mapping[str, Any]) -> Named:
    """Whom an event's data name, however deep in it."""
    ids, hashes = set[UUID](), set[bytes]()
    open_: list[Any] = [data]
    while open_:
        for key, value in open_.pop().items():
            if isinstance(value, str):
                if key in IDS and (user_id := as_id(value)) is not None:
                    ids.add(user_id)
                elif key.endswith(ADDRESS):
                    hashes.add(email_hash(value))
            elif isinstance(value, dict):
                open_.append(value)
            elif isinstance(value, list):
                open_ += [each for each in value if isinstance(each, dict)]
    return Named(sorted(ids), sorted(hashes))


def email_hash(address: str) -> bytes:
    """By which an address is recognised in whatever case it is written: SHA-256."""
    return hashlib.sha256(address.strip().lower().encode()).digest()
