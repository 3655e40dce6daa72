"""Ray Serve's servers listen on this node's own address, not on every interface.

Ray starts a gRPC server in each replica, for calls between deployments, on all interfaces; it unpickles what it gets.
"""

from importlib import import_module
from typing import Any

from ray.util import get_node_ip_address as _node_ip

ray_replica: Any = import_module("ray.serve._private.replica")


def stay_private() -> None:
    """To be called in a replica's process before Ray starts the replica's server."""
    if ray_replica.add_port_to_grpc_server is not _add_port:
        ray_replica.add_port_to_grpc_server = _add_port


_ray_add_port = ray_replica.add_port_to_grpc_server


def _add_port(server: Any, address: str) -> int:
    port = address.rsplit(":", 1)[1]
    return int(_ray_add_port(server, f"{_node_ip()}:{port}"))  # type: ignore[no-untyped-call]
