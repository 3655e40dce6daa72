"""A model plane of one model in this process: the real protocol over a real model class, without Ray."""

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc.aio
from tritonclient.grpc import service_pb2_grpc

from serve.errors import ModelError
from serve.models.base import Array, Model
from serve.protocol.dataplane import DataPlane, Ran
from serve.protocol.grpc import GrpcService
from serve.repository import read_model
from serve.runner import run_batch

OPTIONS = [("grpc.max_send_message_length", 64 * 2**20), ("grpc.max_receive_message_length", 64 * 2**20)]


class _Here:
    """Runs the model in a thread of this process."""

    def __init__(self, name: str, model: Model) -> None:
        self._name = name
        self._model = model

    async def infer(self, inputs: Mapping[str, Array], requested: set[str], deadline: float | None) -> Ran:
        del deadline
        (answer,) = await asyncio.to_thread(run_batch, self._name, self._model, [dict(inputs)], [requested])
        if isinstance(answer, ModelError):
            raise answer
        return Ran(answer)

    async def catalogue(self) -> Sequence[Mapping[str, Any]]:
        return self._model.catalogue()

    async def asleep(self) -> bool:
        return False


class _Service(GrpcService):
    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane


@contextmanager
def serving(folder: Path, model: Model) -> Iterator[str]:
    """The gRPC address of a plane with the model that folder/config.pbtxt describes."""
    spec = read_model(folder)
    model.load()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> tuple[grpc.aio.Server, int]:
        server = grpc.aio.server(options=[*OPTIONS, ("grpc.so_reuseport", 0)])
        plane = DataPlane({spec.name: spec}, {spec.name: _Here(spec.name, model)})
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(_Service(plane), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        return server, port

    server, port = asyncio.run_coroutine_threadsafe(start(), loop).result(timeout=60)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(None), loop).result(timeout=60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
