"""A dub's loudness from moment to moment, metered once and kept with its files."""

import io
from pathlib import Path

import numpy as np

from orchestrator.dubbing.metering import Readings
from orchestrator.jobs.context import current
from orchestrator.media.metering import metered
from orchestrator.storage import MissingObjectError


def dumps(readings: Readings) -> bytes:
    """As a NumPy file of float32."""
    written = io.BytesIO()
    np.save(written, readings.rows.astype(np.float32))
    return written.getvalue()


def loads(data: bytes) -> Readings:
    """What `dumps` wrote. Raises ValueError for anything else."""
    try:
        rows = np.load(io.BytesIO(data), allow_pickle=False)
    except EOFError as error:
        raise ValueError("these are no readings") from error
    if rows.ndim != 2 or rows.shape[1] != 3:
        raise ValueError("these are no readings")
    return Readings(rows.astype(np.float64))


async def keep(key: str, readings: Readings) -> None:
    await current().storage.put_bytes(key, dumps(readings))


async def kept(key: str | None) -> Readings | None:
    """The readings that lie there; None where there are none, or none that are whole."""
    if key is None:
        return None
    try:
        return loads(await current().storage.read(key))
    except (MissingObjectError, ValueError):
        return None


async def readings_of(finished: Path, key: str | None) -> Readings:
    """Those of a finished dub: what is kept of it, else metered now and kept there. Raises MediaError."""
    found = await kept(key)
    if found is None:
        found = await metered(finished)
        if key is not None:
            await keep(key, found)
    return found
