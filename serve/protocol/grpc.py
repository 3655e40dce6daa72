"""Open Inference Protocol over gRPC: messages to data plane and back, nothing else.

Ray's gRPC proxy calls the method named like the RPC. A second argument must be called `grpc_context`.
"""

import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial, wraps
from typing import Any

import grpc
from google.protobuf import json_format

from serve.errors import Code, ModelError, internal, invalid
from serve.protocol.codec import WireTensor, encode_tensor
from serve.protocol.dataplane import (
    EXTENSIONS,
    SERVER_NAME,
    SERVER_VERSION,
    DataPlane,
    InferenceRequest,
    InferenceResponse,
    timeout,
)
from serve.protocol.messages import Unreadable
from serve.protocol.messages import service_pb2 as pb
from serve.protocol.streaming import answers_in_order
from serve.repository import VERSION, TensorSpec

log = logging.getLogger(__name__)

CONTENTS = {  # datatype -> the field of InferTensorContents that holds it; FP16 has none
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}

STREAM_AHEAD = 32
"""Requests of one stream that run at the same time; further ones wait in the connection."""

Message = Any
Rpc = Callable[[Any, Message, Any], Awaitable[Message]]


def readable(request: Message) -> Message:
    """The request; INVALID_ARGUMENT when its bytes were not a message of its kind."""
    if isinstance(request, Unreadable):
        raise invalid(f"the request cannot be read: {request.reason}")
    return request


def answered(response: type[Any]) -> Callable[[Rpc], Rpc]:
    """Turns a ModelError into its gRPC status with an empty `response`; anything else is INTERNAL, its cause logged."""

    def decorate(rpc: Rpc) -> Rpc:
        @wraps(rpc)
        async def call(self: Any, request: Message, grpc_context: Any = None) -> Message:
            try:
                return await rpc(self, readable(request), grpc_context)
            except ModelError as refused:
                error = refused
            except Exception:
                log.exception("%s failed", rpc.__name__)
                error = internal("the server failed; its log says why")
            grpc_context.set_code(grpc.StatusCode[error.code.value])
            grpc_context.set_details(error.message)
            if error.retry_after_s is not None:
                grpc_context.set_trailing_metadata([("retry-after", str(math.ceil(error.retry_after_s)))])
            return response()

        return call

    return decorate


class GrpcService:
    """The methods of GRPCInferenceService over a data plane. A deployment inherits them."""

    _plane: DataPlane

    @answered(pb.ServerLiveResponse)
    async def ServerLive(self, request: Message, grpc_context: Any = None) -> Message:  # noqa: N802
        return pb.ServerLiveResponse(live=True)

    @answered(pb.ServerReadyResponse)
    async def ServerReady(self, request: Message, grpc_context: Any = None) -> Message:  # noqa: N802
        return pb.ServerReadyResponse(ready=await self._plane.ready())

    @answered(pb.ModelReadyResponse)
    async def ModelReady(self, request: Message, grpc_context: Any = None) -> Message:  # noqa: N802
        """What is not there is not ready, as Triton has it."""
        try:
            return pb.ModelReadyResponse(ready=await self._plane.model_ready(request.name, request.version))
        except ModelError as error:
            if error.code != Code.NOT_FOUND:
                raise
            return pb.ModelReadyResponse(ready=False)

    @answered(pb.ServerMetadataResponse)
    async def ServerMetadata(self, request: Message, grpc_context: Any = None) -> Message:  # noqa: N802
        return pb.ServerMetadataResponse(name=SERVER_NAME, version=SERVER_VERSION, extensions=EXTENSIONS)

    @answered(pb.ModelMetadataResponse)
    async def ModelMetadata(self, request: Message, grpc_context: Any = None) -> Message:  # noqa: N802
        spec = self._plane.spec(request.name, request.version)
        response = pb.ModelMetadataResponse(name=spec.name, versions=[VERSION], platform=spec.platform)
        for described, tensors in ((response.inputs, spec.inputs), (response.outputs, spec.outputs)):
            for tensor in tensors:
                described.add(name=tensor.name, datatype=tensor.datatype, shape=spec.shape(tensor))
        return response

    @answered(pb.ModelConfigResponse)
    async def ModelConfig(self, request: Message, grpc_context: Any = None) -> Message:  # noqa: N802
        return pb.ModelConfigResponse(config=await self._plane.config(request.name, request.version))

    @answered(pb.RepositoryIndexResponse)
    async def RepositoryIndex(self, request: Message, grpc_context: Any = None) -> Message:  # noqa: N802
        response = pb.RepositoryIndexResponse()
        for name, version, state, reason in await self._plane.index(only_ready=request.ready):
            response.models.add(name=name, version=version, state=state, reason=reason)
        return response

    @answered(pb.ModelStatisticsResponse)
    async def ModelStatistics(self, request: Message, grpc_context: Any = None) -> Message:  # noqa: N802
        statistics = self._plane.statistics(request.name, request.version)
        return json_format.ParseDict(statistics, pb.ModelStatisticsResponse())

    @answered(pb.ModelInferResponse)
    async def ModelInfer(self, request: Message, grpc_context: Any = None) -> Message:  # noqa: N802
        return await self._infer(request, _traceparent(grpc_context))

    async def _infer(self, request: Message, traceparent: str | None = None) -> Message:
        readable(request)
        read = partial(from_message, request)
        return await self._plane.answer(request.model_name, request.model_version, read, to_message, traceparent)

    async def ModelStreamInfer(self, requests: AsyncIterator[Message]) -> AsyncIterator[Message]:  # noqa: N802
        """Answers in the order of the requests, which run side by side. A failed one is told in its own answer; the
        stream goes on.
        """
        async for answer in answers_in_order(requests, self._streamed, STREAM_AHEAD):
            yield answer

    async def _streamed(self, request: Message) -> Message:
        try:
            return pb.ModelStreamInferResponse(infer_response=await self._infer(request))
        except ModelError as error:
            named = pb.ModelInferRequest() if isinstance(request, Unreadable) else request
            failed = pb.ModelInferResponse(model_name=named.model_name, id=named.id)
            message = f"[{error.code.value}] {error.message}"
            return pb.ModelStreamInferResponse(error_message=message, infer_response=failed)


def _traceparent(grpc_context: Any) -> str | None:
    """The caller's place in its trace (W3C), as it came with the request."""
    given = () if grpc_context is None else grpc_context.invocation_metadata()
    return next((str(value) for name, value in given if name == "traceparent"), None)


def _unimplemented(name: str, response: type[Any]) -> Rpc:
    async def call(self: Any, request: Message, grpc_context: Any = None) -> Message:
        raise ModelError(Code.UNIMPLEMENTED, f"this server does not offer {name}")

    call.__name__ = name
    return answered(response)(call)


def offered_elsewhere() -> list[str]:
    """RPCs of Triton's service that are extensions we do not offer."""
    methods = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
    return [method.name for method in methods if not hasattr(GrpcService, method.name)]


for _name in offered_elsewhere():
    setattr(GrpcService, _name, _unimplemented(_name, getattr(pb, f"{_name}Response")))


def from_message(request: Message) -> InferenceRequest:
    """A ModelInferRequest without its transport. Data is taken from raw_input_contents or from typed contents."""
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise invalid(f"raw_input_contents has {len(raw)} entries for {len(request.inputs)} inputs")
    inputs = []
    for index, tensor in enumerate(request.inputs):
        if "shared_memory_region" in tensor.parameters:
            raise invalid(f"{tensor.name}: shared memory is not supported; send the data in the request")
        if raw and tensor.HasField("contents"):
            raise invalid(f"{tensor.name}: data in both raw_input_contents and contents; send one of them")
        data = raw[index] if raw else _typed(tensor)
        inputs.append(WireTensor(tensor.name, tensor.datatype, tuple(tensor.shape), data))
    for output in request.outputs:
        if output.parameters:
            raise invalid(f"{output.name}: output parameter {sorted(output.parameters)[0]} is not supported")
    outputs = tuple(output.name for output in request.outputs)
    timeout_s = timeout(_value(request.parameters["timeout"])) if "timeout" in request.parameters else None
    return InferenceRequest(request.model_name, request.model_version, request.id, inputs, outputs, timeout_s)


def _value(parameter: Message) -> Any:
    """The value of an InferParameter, None where it has none."""
    chosen = parameter.WhichOneof("parameter_choice")
    return getattr(parameter, chosen) if chosen else None


def _typed(tensor: Message) -> Sequence[Any]:
    """The values of InferTensorContents, which must be in the field of the tensor's datatype."""
    field = CONTENTS.get(tensor.datatype)
    if field is None:
        return ()
    filled = [other.name for other, _ in tensor.contents.ListFields()]
    if filled and filled != [field]:
        raise invalid(f"{tensor.name}: {tensor.datatype} values belong into {field}, found {', '.join(filled)}")
    values: Sequence[Any] = getattr(tensor.contents, field)
    return values


def to_message(response: InferenceResponse) -> Message:
    """The ModelInferResponse with raw contents."""
    message = pb.ModelInferResponse(model_name=response.model, model_version=VERSION, id=response.id)
    for tensor, array in response.outputs:
        _add(message, tensor, array)
    return message


def _add(message: Message, tensor: TensorSpec, array: Any) -> None:
    message.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=array.shape)
    message.raw_output_contents.append(encode_tensor(array, tensor.datatype))
