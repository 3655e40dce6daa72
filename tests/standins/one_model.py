"""A model plane of one model on a thread of this process: for fixtures that outlast an event loop."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serve.models.base import Model
from serve.protocol.dataplane import DataPlane
from serve.repository import read_model
from tests.standins.models import InProcess, start_server


@contextmanager
def serving(folder: Path, model: Model) -> Iterator[str]:
    """The gRPC address of a plane with the model that folder/config.pbtxt describes."""
    spec = read_model(folder)
    model.load()
    plane = DataPlane({spec.name: spec}, {spec.name: InProcess(spec.name, model)})
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server, address = asyncio.run_coroutine_threadsafe(start_server(plane), loop).result(timeout=60)
    try:
        yield address
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(None), loop).result(timeout=60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
