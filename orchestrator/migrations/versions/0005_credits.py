"""Credits: accounts, entries, lots, and the triggers that keep them in step"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = ("credit_account", "credit_entry", "credit_lot", "credit_lot_use")


def _number(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _id(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.Uuid(), nullable=nullable)


def _refers(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}_{target.partition('.')[0]}")
    return sa.ForeignKeyConstraint([column], [target], name=name)


def _check(table: str, name: str, rule: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(rule, name=op.f(f"ck_{table}_{name}"))


def upgrade() -> None:
    _accounts()
    _entries()
    _lots()
    for statement in TRIGGERS:
        op.execute(statement)
    op.add_column("job", sa.Column("credits", sa.Integer(), nullable=False, server_default="0"))


def _accounts() -> None:
    op.create_table(
        "credit_account",
        _id("user_id"),
        _number("sequence"),
        _number("available"),
        _number("held"),
        _check("credit_account", "sequence", "sequence >= 0"),
        _check("credit_account", "held", "held >= 0"),
        _refers("credit_account", "user_id", "user_account.id"),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_credit_account")),
    )


SHAPE = """
case kind
    when 'purchase' then amount > 0 and held_amount = 0
    when 'grant' then amount > 0 and held_amount = 0
    when 'hold' then amount < 0 and held_amount = -amount
    when 'capture' then amount >= 0 and held_amount < -amount
    when 'release' then amount > 0 and held_amount = -amount
    when 'refund' then amount <> 0 and held_amount = 0
    when 'expiry' then amount <> 0 and held_amount = 0
    when 'adjustment' then amount <> 0 and held_amount = 0
    else false
end
"""
KINDS = "kind in ('purchase', 'grant', 'hold', 'capture', 'release', 'refund', 'expiry', 'adjustment')"
REFUNDS = "(kind = 'refund' or kind = 'expiry' and amount > 0) = (refunds is not null)"


def _entries() -> None:
    table = "credit_entry"
    op.create_table(
        table,
        _id("id"),
        _id("user_id"),
        _number("sequence"),
        sa.Column("kind", sa.String(), nullable=False),
        _number("amount"),
        _number("held_amount"),
        _number("available"),
        _number("held"),
        sa.Column("idempotency_key", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        _id("settles", nullable=True),
        _id("refunds", nullable=True),
        sa.Column("note", sa.String(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        _check(table, "kind", KINDS),
        _check(table, "shape", SHAPE),
        _check(table, "sequence", "sequence >= 1"),
        _check(table, "held", "held >= 0"),
        _check(table, "available", "available >= 0 or amount >= 0 or kind = 'refund'"),
        _check(table, "settles", "(kind in ('capture', 'release')) = (settles is not null)"),
        _check(table, "refunds", REFUNDS),
        _check(table, "named", "idempotency_key <> '' and reference <> ''"),
        _refers(table, "user_id", "credit_account.user_id"),
        _refers(table, "settles", "credit_entry.id"),
        _refers(table, "refunds", "credit_entry.id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_entry")),
        sa.UniqueConstraint("user_id", "sequence", name=op.f("uq_credit_entry_user_id_sequence")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_credit_entry_idempotency_key")),
        sa.UniqueConstraint("settles", name=op.f("uq_credit_entry_settles")),
    )
    op.create_index("ix_credit_entry_reference", table, ["reference"], postgresql_where=sa.text("kind = 'hold'"))
    op.create_index("ix_credit_entry_refunds", table, ["refunds"], postgresql_where=sa.text("refunds is not null"))


def _lots() -> None:
    op.create_table(
        "credit_lot",
        _id("id"),
        _id("user_id"),
        _id("entry_id"),
        _number("granted"),
        _number("remaining"),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("extended", sa.Boolean(), nullable=False),
        _check("credit_lot", "remaining", "0 <= remaining and remaining <= granted and granted > 0"),
        _refers("credit_lot", "user_id", "credit_account.user_id"),
        _refers("credit_lot", "entry_id", "credit_entry.id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_lot")),
        sa.UniqueConstraint("entry_id", name=op.f("uq_credit_lot_entry_id")),
    )
    for column in ("user_id", "expires_at"):
        op.create_index(f"ix_credit_lot_{column}", "credit_lot", [column], postgresql_where=sa.text("remaining > 0"))
    op.create_table(
        "credit_lot_use",
        _id("entry_id"),
        _id("lot_id"),
        _number("credits"),
        _check("credit_lot_use", "credits", "credits <> 0"),
        _refers("credit_lot_use", "entry_id", "credit_entry.id"),
        _refers("credit_lot_use", "lot_id", "credit_lot.id"),
        sa.PrimaryKeyConstraint("entry_id", "lot_id", name=op.f("pk_credit_lot_use")),
    )
    op.create_index("ix_credit_lot_use_lot_id", "credit_lot_use", ["lot_id"])


FUNCTIONS = ("credit_refuse", "credit_guard_account", "credit_post", "credit_guard_lot", "credit_use", "credit_compare")

TRIGGERS = (
    # What is posted stays.
    """
    create function credit_refuse() returns trigger language plpgsql as $$ begin
        raise exception '% of % is refused: the ledger only grows', lower(tg_op), tg_table_name
            using errcode = 'integrity_constraint_violation';
    end $$
    """,
    *(
        f"create trigger append_only before update or delete or truncate on {table}"
        " for each statement execute function credit_refuse()"
        for table in ("credit_entry", "credit_lot_use")
    ),
    *(
        f"create trigger kept before delete or truncate on {table} for each statement execute function credit_refuse()"
        for table in ("credit_account", "credit_lot")
    ),
    # An account begins empty and changes by its entries alone: the trigger of an entry is one level up.
    """
    create function credit_guard_account() returns trigger language plpgsql as $$ begin
        if tg_op = 'INSERT' and (new.sequence, new.available, new.held) = (0, 0, 0)
            or tg_op = 'UPDATE' and pg_trigger_depth() > 1 and new.user_id = old.user_id then
            return new;
        end if;
        raise exception 'account % changes by entries alone', new.user_id
            using errcode = 'integrity_constraint_violation';
    end $$
    """,
    "create trigger by_entries before insert or update on credit_account"
    " for each row execute function credit_guard_account()",
    # An entry follows the one before without a gap, settles the whole of a hold of its account, and refunds no more
    # than was granted; then its account has it. After the insert, for one that conflicts must change nothing.
    """
    create function credit_post() returns trigger language plpgsql as $$
    declare
        granted bigint;
        refunded bigint;
    begin
        update credit_account set sequence = new.sequence, available = new.available, held = new.held
            where user_id = new.user_id and sequence = new.sequence - 1
            and available = new.available - new.amount and held = new.held - new.held_amount;
        if not found then
            raise exception 'entry % of account % does not follow from the one before', new.sequence, new.user_id
                using errcode = 'integrity_constraint_violation';
        end if;
        if new.settles is not null and not exists (
            select from credit_entry hold where hold.id = new.settles and hold.kind = 'hold'
            and hold.user_id = new.user_id and hold.held_amount = -new.held_amount
        ) then
            raise exception 'entry % settles no hold of account % and its amount', new.sequence, new.user_id
                using errcode = 'integrity_constraint_violation';
        end if;
        if new.refunds is not null then
            select amount into granted from credit_entry
                where id = new.refunds and user_id = new.user_id and kind in ('purchase', 'grant');
            select -coalesce(sum(amount), 0) into refunded from credit_entry
                where refunds = new.refunds and kind = 'refund';
            if granted is null or refunded not between 0 and granted then
                raise exception 'entry % of account % refunds what was not granted', new.sequence, new.user_id
                    using errcode = 'integrity_constraint_violation';
            end if;
        end if;
        return null;
    end $$
    """,
    "create trigger post after insert on credit_entry for each row execute function credit_post()",
    # A lot begins full, changes by its uses alone, and has its expiry put off once.
    """
    create function credit_guard_lot() returns trigger language plpgsql as $$
    declare
        allowed boolean;
    begin
        if tg_op = 'INSERT' then
            allowed := new.remaining = new.granted;
        elsif (new.id, new.user_id, new.entry_id, new.granted) <> (old.id, old.user_id, old.entry_id, old.granted) then
            allowed := false;
        elsif new.remaining <> old.remaining then
            allowed := pg_trigger_depth() > 1
                and (new.expires_at, new.extended) is not distinct from (old.expires_at, old.extended);
        else
            allowed := new.expires_at > old.expires_at and new.extended and not old.extended;
        end if;
        if allowed then
            return new;
        end if;
        raise exception 'lot % changes by its uses alone', new.id using errcode = 'integrity_constraint_violation';
    end $$
    """,
    "create trigger by_uses before insert or update on credit_lot for each row execute function credit_guard_lot()",
    """
    create function credit_use() returns trigger language plpgsql as $$ begin
        update credit_lot set remaining = remaining - new.credits
            where id = new.lot_id and user_id = (select user_id from credit_entry where id = new.entry_id);
        if not found then
            raise exception 'entry % uses a lot of another account', new.entry_id
                using errcode = 'integrity_constraint_violation';
        end if;
        return null;
    end $$
    """,
    "create trigger use after insert on credit_lot_use for each row execute function credit_use()",
    # When the transaction ends, what is left in an account's lots is what it has available.
    """
    create function credit_compare() returns trigger language plpgsql as $$
    declare
        there bigint;
        lots bigint;
    begin
        select greatest(available, 0) into there from credit_account where user_id = new.user_id;
        select coalesce(sum(remaining), 0) into lots from credit_lot where user_id = new.user_id and remaining > 0;
        if there <> lots then
            raise exception 'account % has % available and % in its lots', new.user_id, there, lots
                using errcode = 'integrity_constraint_violation';
        end if;
        return null;
    end $$
    """,
    "create constraint trigger compare after insert on credit_entry deferrable initially deferred"
    " for each row execute function credit_compare()",
    "create constraint trigger compare after insert or update on credit_lot deferrable initially deferred"
    " for each row execute function credit_compare()",
)


def downgrade() -> None:
    op.drop_column("job", "credits")
    for table in reversed(TABLES):
        op.drop_table(table)
    for function in FUNCTIONS:
        op.execute(f"drop function {function}()")
