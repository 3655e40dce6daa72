"""Checks of the database and of the storage."""

import time
from collections.abc import Sequence
from uuid import uuid4

import sqlalchemy as sa

from orchestrator import migrations
from orchestrator.connections import of_api, of_worker
from orchestrator.doctor.asking import connected
from orchestrator.doctor.findings import Finding, Patient, error, ok, warning
from orchestrator.storage import MissingObjectError, Storage

SKEW_WARNING_S, SKEW_ERROR_S = 1.0, 10.0
"""Tokens, signed links and claims compare times of several machines, and forgive seconds."""
BUSY = 0.8


async def database(patient: Patient) -> Sequence[Finding]:
    """Whether it answers, has our tables as this code wants them, and room for more connections."""
    newest = migrations.newest()
    async with connected(patient) as connection:
        version = await connection.scalar(sa.text("show server_version"))
        found = ok(f"PostgreSQL {version} answers.")
        there = (
            await connection.scalar(sa.text("select version_num from alembic_version"))
            if await connection.scalar(sa.text("select to_regclass('alembic_version')"))
            else None
        )
        if there != newest:
            found += error(
                f"The tables are at revision {there or 'none'}, this code wants {newest}.",
                "Bring them up to date: python -m orchestrator.migrations upgrade. Where the tables are newer than the"
                " code, deploy the newer code.",
            )
        else:
            found += ok(f"The tables are at revision {newest}.")
        used, most = (await connection.execute(_CONNECTIONS)).one()
    if used > BUSY * most:
        pool = patient.settings.database_pool
        found += warning(
            f"{used} of the database's {most} connections are taken.",
            f"Raise max_connections, run fewer processes, or lower OCTAVIA_DATABASE_POOL: with it at {pool} an API"
            f" process takes up to {of_api(pool)}, a worker up to {of_worker(pool)}.",
        )
    return found


_CONNECTIONS = sa.text(
    "select (select count(*) from pg_stat_activity where backend_type = 'client backend'),"
    " current_setting('max_connections')::int"
)


async def clock(patient: Patient) -> Sequence[Finding]:
    """Whether this machine's clock agrees with the database's."""
    async with connected(patient) as connection:
        before = time.time()
        theirs = float(await connection.scalar(sa.text("select extract(epoch from clock_timestamp())")) or 0)
        apart = abs(theirs - (before + time.time()) / 2)
    text = f"The clocks of this machine and of the database are {apart:.2f} s apart."
    fix = "Let both take their time from NTP (timedatectl set-ntp true)."
    if apart > SKEW_ERROR_S:
        return error(text, fix)
    return warning(text, fix) if apart > SKEW_WARNING_S else ok(text)


async def storage(patient: Patient) -> Sequence[Finding]:
    """Whether an object can be written, read and deleted. Raises StorageError, StorageFullError."""
    where = patient.settings.storage_url or str(patient.settings.data_dir / "storage")
    key, data = f"doctor/{uuid4()}", b"octavia doctor"
    fix = f"Let this process read, write and delete in {where}: its rights, the bucket's policy, OCTAVIA_STORAGE_URL."
    try:
        store = Storage.from_settings(patient.settings)
        await store.put_bytes(key, data)
        if await store.read(key) != data:
            return error(f"What was written to {where} is read back changed.", fix)
        await store.delete(key)
    except OSError as failed:
        return error(f"{where} cannot be written: {failed.strerror or failed}.", fix)
    try:
        await store.read(key)
    except MissingObjectError:
        return ok(f"{where} can be written, read and deleted from.")
    return error(f"What was deleted from {where} is still there.", fix)
