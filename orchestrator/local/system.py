"""A system for one command: the `octavia up` that runs already, or a private one that lives as long as the command."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from orchestrator.local.state import Address, AlreadyUpError, find_running
from orchestrator.local.up import up
from orchestrator.settings import Settings

LOOK_AGAIN_S = 0.5


@asynccontextmanager
async def any_system(settings: Settings, say: Callable[[str], None]) -> AsyncIterator[Address]:
    """Where a system answers. While another command's private one has the data folder, waits for its end."""
    waiting = False
    async with AsyncExitStack() as stack:
        while (address := await asyncio.to_thread(find_running, settings)) is None:
            try:
                address = await stack.enter_async_context(up(settings, private=True, say=say))
                break
            except AlreadyUpError:
                if not waiting:
                    say(f"waiting for the other Octavia on {settings.data_dir} to be ready or to end")
                waiting = True
                await asyncio.sleep(LOOK_AGAIN_S)
        yield address
