"""Where accounts have been logged in from of late: such an address is never refused for what strangers do elsewhere."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

KEPT_DAYS = 30

_NOTE = sa.text(
    "insert into known_address (account_hash, address_hash) values (:account, :address)"
    " on conflict (account_hash, address_hash) do update set seen_at = now()"
)
_YOUNG = "seen_at > now() - make_interval(days => :days)"
_FIND = sa.text(f"select from known_address where account_hash = :account and address_hash = :address and {_YOUNG}")
_PURGE = sa.text(f"delete from known_address where not {_YOUNG}")  # noqa: S608


async def note(engine: AsyncEngine, account_hash: str, address_hash: str) -> None:
    """Remember a successful login."""
    async with engine.begin() as connection:
        await connection.execute(_NOTE, {"account": account_hash, "address": address_hash})


async def is_known(engine: AsyncEngine, account_hash: str, address_hash: str) -> bool:
    """Whether the account was logged in to from this address within the last KEPT_DAYS days."""
    values = {"account": account_hash, "address": address_hash, "days": KEPT_DAYS}
    async with engine.connect() as connection:
        return (await connection.execute(_FIND, values)).one_or_none() is not None


async def purge(engine: AsyncEngine) -> None:
    """Forget the logins that are older."""
    async with engine.begin() as connection:
        await connection.execute(_PURGE, {"days": KEPT_DAYS})
