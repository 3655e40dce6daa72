"""tritonclient's generated messages, under the module names they claim to live in, and how Ray's proxy reads them.

They say they are of a top-level module `grpc_service_pb2`, which does not exist, so they cannot be pickled on Ray's way
from the gRPC proxy to a replica. Importing this module, in each process that handles them, gives the names back.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

sys.modules.setdefault("grpc_service_pb2", service_pb2)
sys.modules.setdefault("model_config_pb2", model_config_pb2)

__all__ = ["Unreadable", "add_GRPCInferenceServiceServicer_to_server", "model_config_pb2", "service_pb2"]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands in for a request whose bytes are not the message they should be, so that a replica answers it."""

    reason: str


def add_GRPCInferenceServiceServicer_to_server(servicer: Any, server: Any) -> None:  # noqa: N802 - gRPC's name
    """Registers the service's methods at Ray's gRPC proxy. What cannot be read goes on as Unreadable; grpc.aio would
    answer it as UNKNOWN.
    """
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, _Registrar(server))


class _Registrar:
    """The two calls that generated code makes at a server. grpc.aio has no use for the second."""

    def __init__(self, server: Any) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, handlers: tuple[Any]) -> None:
        methods = handlers[0]._method_handlers
        for name, method in methods.items():
            methods[name] = method._replace(request_deserializer=_reader(method.request_deserializer))
        self._server.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(self, service: str, methods: Any) -> None:
        del service, methods


def _reader(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def read(data: bytes) -> Any:
        try:
            return deserialize(data)
        except DecodeError as error:
            return Unreadable(str(error))

    return read
