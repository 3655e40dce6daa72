"""A dub's loudness from moment to moment, metered once and kept with its files."""

from pathlib import Path

from orchestrator.dubbing.metering import Readings
from orchestrator.jobs.context import current
from orchestrator.media.metering import metered
from orchestrator.storage import MissingObjectError


async def kept(key: str | None) -> Readings | None:
    """The readings that lie there; None where there are none, or none that are whole."""
    if key is None:
        return None
    try:
        return Readings.loads(await current().storage.read(key))
    except (MissingObjectError, ValueError):
        return None


async def readings_of(finished: Path, key: str | None) -> Readings:
    """Those of a finished dub: what is kept of it, else metered now and kept there. Raises MediaError."""
    found = await kept(key)
    if found is None:
        found = await metered(finished)
        if key is not None:
            await current().storage.put_bytes(key, found.dumps())
    return found
