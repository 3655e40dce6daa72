"""A worker's sign of life for whoever watches its process: a file that is touched while its event loop turns.

The heartbeat in the database is no such sign: it stops while the database is away, which no restart mends.
"""

import asyncio
from pathlib import Path

NAME = "alive"
EVERY_S = 5.0


async def keep_fresh(folder: Path) -> None:
    """Touch the file in `folder` for ever. It goes with the worker's scratch folder."""
    while True:
        (folder / NAME).touch()
        await asyncio.sleep(EVERY_S)
