"""Model classes behind the Open Inference Protocol in this event loop: our data plane and gRPC service, without Ray."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import numpy.typing as npt
from tritonclient.grpc.service_pb2_grpc import add_GRPCInferenceServiceServicer_to_server

from serve.errors import ModelError
from serve.models.base import Model
from serve.protocol.dataplane import DataPlane, Ran
from serve.protocol.grpc import GrpcService
from serve.repository import read_model
from serve.runner import run_batch

OPTIONS = [
    ("grpc.max_send_message_length", 64 * 2**20),
    ("grpc.max_receive_message_length", 64 * 2**20),
    ("grpc.so_reuseport", 0),
]
REPOSITORY = Path(__file__).parents[2] / "model_repo"


@dataclass
class InProcess:
    """A model as the data plane sees it, run in a thread."""

    name: str
    model: Model

    async def infer(self, inputs: Mapping[str, npt.NDArray[Any]], requested: set[str], deadline: float | None) -> Ran:
        del deadline
        (answer,) = await asyncio.to_thread(run_batch, self.name, self.model, [dict(inputs)], [requested])
        if isinstance(answer, ModelError):
            raise answer
        return Ran(answer)

    async def catalogue(self) -> Sequence[Mapping[str, Any]]:
        return self.model.catalogue()

    async def asleep(self) -> bool:
        return False


class Service(GrpcService):
    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane


async def start_server(plane: DataPlane) -> tuple[grpc.aio.Server, str]:
    """A gRPC server of the plane on loopback, and its address."""
    server = grpc.aio.server(options=OPTIONS)
    add_GRPCInferenceServiceServicer_to_server(Service(plane), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, f"127.0.0.1:{port}"


@asynccontextmanager
async def serving_models(models: Mapping[str, Model], absent: Mapping[str, str]) -> AsyncIterator[str]:
    """The gRPC address of models under the repository's own configurations; `absent` are not served, for a reason."""
    specs = {name: read_model(REPOSITORY / name) for name in models}
    plane = DataPlane(specs, {name: InProcess(name, model) for name, model in models.items()}, absent=absent)
    server, address = await start_server(plane)
    try:
        yield address
    finally:
        await server.stop(0)
