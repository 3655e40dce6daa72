"""The audit: adds everything up again, from the entries alone, and says in words what disagrees.

It trusts no constraint and no trigger. Each check is one query that finds what is wrong; PostgreSQL sorts on disk what
does not fit into its memory, and what is found is read row by row.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.credits.models import NOT_OVERSPENT, REFUNDS, SETTLES, SHAPE


@dataclass(frozen=True, slots=True)
class Check:
    """`query` finds what is wrong with :account, or with all where that is null; `words` say it of a row."""

    words: str
    query: str


_CHAIN = """
select * from (
    select *, lag(sequence, 1, 0::bigint) over chain as sequence_before,
        lag(available, 1, 0::bigint) over chain as available_before, lag(held, 1, 0::bigint) over chain as held_before
    from credit_entry where user_id = coalesce(:account, user_id)
    window chain as (partition by user_id order by sequence)
) e where
"""

CHECKS = (
    Check(
        "account {user_id}: entry {sequence} comes after entry {sequence_before}",
        f"{_CHAIN} sequence <> sequence_before + 1",
    ),
    Check(
        "account {user_id}: entry {sequence} ({kind}) leaves {available} available, but {available_before} and"
        " {amount} are something else",
        f"{_CHAIN} available <> available_before + amount",
    ),
    Check(
        "account {user_id}: entry {sequence} ({kind}) leaves {held} held, but {held_before} and {held_amount} are"
        " something else",
        f"{_CHAIN} held <> held_before + held_amount",
    ),
    Check(
        "account {user_id}: entry {sequence} ({kind}) of {amount} available and {held_amount} held credits is none of"
        " its kind, or leaves a balance that it must not ({available} available, {held} held)",
        f"""
        select * from credit_entry where user_id = coalesce(:account, user_id)
            and not (({SHAPE}) and ({NOT_OVERSPENT}) and ({SETTLES}) and ({REFUNDS}) and held >= 0)
        """,  # noqa: S608
    ),
    Check(
        "account {user_id}: it has {sequence} entries, {available} available and {held} held; its entries are"
        " {entries}, and add up to {amount} available and {held_amount} held",
        """
        select user_id, sequence, available, held, coalesce(entries, 0) as entries,
            coalesce(amount, 0) as amount, coalesce(held_amount, 0) as held_amount
        from credit_account full join (
            select user_id, count(*) as entries, sum(amount) as amount, sum(held_amount) as held_amount
            from credit_entry group by user_id
        ) e using (user_id)
        where user_id = coalesce(:account, user_id) and (sequence, available, held)
            is distinct from (coalesce(entries, 0), coalesce(amount, 0), coalesce(held_amount, 0))
        """,
    ),
    Check(
        "account {user_id}: it has {held} held, and its open holds are {open}",
        """
        select a.user_id, a.held, coalesce(sum(e.held_amount), 0) as open
        from credit_account a left join credit_entry e on e.user_id = a.user_id and e.kind = 'hold'
            and not exists (select from credit_entry s where s.settles = e.id)
        where a.user_id = coalesce(:account, a.user_id)
        group by a.user_id, a.held having a.held <> coalesce(sum(e.held_amount), 0)
        """,
    ),
    Check(
        "account {user_id}: entry {sequence} ({kind}) settles no hold of this account and amount",
        """
        select s.* from credit_entry s
        left join credit_entry h on h.id = s.settles and h.user_id = s.user_id and h.kind = 'hold'
            and h.held_amount = -s.held_amount
        where s.user_id = coalesce(:account, s.user_id) and s.settles is not null and h.id is null
        """,
    ),
    Check(
        "account {user_id}: the hold of entry {sequence} is settled {times} times",
        """
        select h.user_id, h.sequence, count(*) as times
        from credit_entry h join credit_entry s on s.settles = h.id
        where h.user_id = coalesce(:account, h.user_id) group by h.user_id, h.sequence having count(*) > 1
        """,
    ),
    Check(
        "account {user_id}: of the {amount} credits of entry {sequence} ({kind}), {refunded} are taken back",
        """
        select g.user_id, g.sequence, g.kind, g.amount, -sum(r.amount) as refunded
        from credit_entry r join credit_entry g on g.id = r.refunds
        where r.kind = 'refund' and g.user_id = coalesce(:account, g.user_id)
        group by g.id having -sum(r.amount) not between 0 and g.amount
        """,
    ),
    Check(
        "account {user_id}: entry {sequence} ({kind}) refunds no purchase and no grant of this account",
        """
        select r.* from credit_entry r
        left join credit_entry g on g.id = r.refunds and g.user_id = r.user_id and g.kind in ('purchase', 'grant')
        where r.user_id = coalesce(:account, r.user_id) and r.refunds is not null and g.id is null
        """,
    ),
    Check(
        "account {user_id}: it has {available} available and {remaining} left in its lots",
        """
        select a.user_id, a.available, coalesce(sum(l.remaining), 0) as remaining
        from credit_account a left join credit_lot l on l.user_id = a.user_id
        where a.user_id = coalesce(:account, a.user_id)
        group by a.user_id, a.available having greatest(a.available, 0) <> coalesce(sum(l.remaining), 0)
        """,
    ),
    Check(
        "account {user_id}: lot {id} has {remaining} of {granted} credits left, but {used} of them were used",
        """
        select l.user_id, l.id, l.remaining, l.granted, coalesce(sum(u.credits), 0) as used
        from credit_lot l left join credit_lot_use u on u.lot_id = l.id
        where l.user_id = coalesce(:account, l.user_id) group by l.id
        having l.remaining <> l.granted - coalesce(sum(u.credits), 0) or l.remaining not between 0 and l.granted
        """,
    ),
    Check(
        "account {user_id}: entry {sequence} ({kind}) of {amount} credits has a lot of {granted}",
        """
        select e.user_id, e.sequence, e.kind, e.amount, coalesce(l.granted, 0) as granted
        from credit_entry e left join credit_lot l on l.entry_id = e.id
        where e.user_id = coalesce(:account, e.user_id) and coalesce(l.granted, 0) <>
            case when e.amount > 0 and e.kind not in ('capture', 'release') then e.amount else 0 end
        """,
    ),
    Check(
        "account {user_id}: entry {sequence} ({kind}) changes its lots by {change}, and what can be spent of them by"
        " {due}",
        """
        select * from (
            select e.user_id, e.sequence, e.kind, coalesce(l.granted, 0) - coalesce(u.used, 0) as change,
                greatest(e.available, 0) - greatest(e.available - e.amount, 0) as due
            from credit_entry e left join credit_lot l on l.entry_id = e.id
            left join (select entry_id, sum(credits) as used from credit_lot_use group by entry_id) u
                on u.entry_id = e.id
            where e.user_id = coalesce(:account, e.user_id)
        ) e where change <> due
        """,
    ),
    Check(
        "account {user_id}: entry {sequence} ({kind}) has or uses a lot of account {other}",
        """
        select e.user_id, e.sequence, e.kind, l.user_id as other
        from credit_entry e join (
            select entry_id, user_id from credit_lot union all
            select u.entry_id, l.user_id from credit_lot_use u join credit_lot l on l.id = u.lot_id
        ) l on l.entry_id = e.id
        where e.user_id = coalesce(:account, e.user_id) and l.user_id <> e.user_id
        """,
    ),
    Check(
        "account {user_id}: entry {sequence} ({kind}) puts {back} credits back into lot {lot_id}, of which its hold"
        " had taken {taken}",
        """
        select s.user_id, s.sequence, s.kind, -u.credits as back, u.lot_id, coalesce(t.credits, 0) as taken
        from credit_entry s join credit_lot_use u on u.entry_id = s.id
        left join credit_lot_use t on t.entry_id = s.settles and t.lot_id = u.lot_id
        where s.user_id = coalesce(:account, s.user_id) and s.settles is not null
            and -u.credits not between 1 and coalesce(t.credits, 0)
        """,
    ),
    Check(
        "the key {idempotency_key} has {times} entries",
        """
        select idempotency_key, count(*) as times from credit_entry
        where user_id = coalesce(:account, user_id)
        group by idempotency_key having count(*) > 1 or idempotency_key = ''
        """,
    ),
)


@dataclass(frozen=True, slots=True)
class Extent:
    """How much there is to audit."""

    accounts: int
    entries: int


async def extent(session: AsyncSession) -> Extent:
    row = (await session.execute(sa.text(_EXTENT))).one()
    return Extent(row.accounts, row.entries)


_EXTENT = """
select (select count(*) from credit_account) as accounts, (select count(*) from credit_entry) as entries
"""


async def disagreements(session: AsyncSession, user_id: UUID | None = None) -> AsyncIterator[str]:
    """What does not add up, of one account or of all, a sentence each.

    In a transaction of the isolation level REPEATABLE READ: otherwise what is posted meanwhile may seem to disagree.
    """
    account = sa.bindparam("account", user_id, type_=sa.Uuid())
    for check in CHECKS:
        rows = await session.stream(sa.text(check.query).bindparams(account))
        async for row in rows.mappings():
            yield check.words.format(**row)
