"""tritonclient's generated messages, under the module names they claim to live in.

They say they are of a top-level module `grpc_service_pb2`, which does not exist, so they cannot be pickled on Ray's way
from the gRPC proxy to a replica. Importing this module, in each process that handles them, gives the names back.
"""

import sys

from tritonclient.grpc import model_config_pb2, service_pb2
from tritonclient.grpc.service_pb2_grpc import add_GRPCInferenceServiceServicer_to_server

sys.modules.setdefault("grpc_service_pb2", service_pb2)
sys.modules.setdefault("model_config_pb2", model_config_pb2)

__all__ = ["add_GRPCInferenceServiceServicer_to_server", "model_config_pb2", "service_pb2"]
