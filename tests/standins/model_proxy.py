"""What stands between the control plane and a real model plane: it passes the protocol's messages on byte for byte,
notes every call, remembers answers, and can be made to misbehave as planes do.
"""

import asyncio
import hashlib
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
import grpc.aio
from tritonclient.grpc import service_pb2

T = TypeVar("T")
OPTIONS = [("grpc.max_send_message_length", 64 * 2**20), ("grpc.max_receive_message_length", 64 * 2**20)]
INFER = "/inference.GRPCInferenceService/ModelInfer"


@dataclass(slots=True)
class Call:
    """An inference that was asked for. Times by time.monotonic()."""

    model: str
    outputs: tuple[str, ...]
    digest: str
    request: bytes
    began_at: float
    ended_at: float | None = None
    """When it was answered, refused or given up; None while it runs."""


class RefusedError(Exception):
    """What a misbehaviour raises to answer a call with a status."""

    def __init__(self, status: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


Misbehaviour = Callable[[Call], Awaitable[None]]


@dataclass
class ModelProxy:
    """Listens on 127.0.0.1:`port` in a thread of its own. `remember`: what was asked before is answered at once."""

    upstream: str
    remember: bool = True
    port: int = 0
    calls: list[Call] = field(default_factory=list)
    delay_s: float = 0.0
    """How long every inference takes at least."""
    answers: dict[str, bytes] = field(default_factory=dict)
    """What is remembered, by the digest of the request."""
    _misbehaviours: dict[str, Misbehaviour] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def misbehave(self, model: str, how: Misbehaviour) -> None:
        """From now on, do this before every call of a model is passed on."""
        self._misbehaviours[model] = how

    def behave(self) -> None:
        self._misbehaviours.clear()

    def forget(self) -> None:
        """Begin to note anew. What is remembered stays."""
        self.calls = []

    def asked(self, model: str | None = None, output: str | None = None) -> Counter[str]:
        """How often each request was asked, by its digest: of a model, and for an output of it."""
        return Counter(
            call.digest
            for call in self.calls
            if model in (None, call.model) and (output is None or output in call.outputs)
        )

    @property
    def running(self) -> int:
        return sum(call.ended_at is None for call in self.calls)

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=60)

    async def _start(self) -> None:
        self._channel = grpc.aio.insecure_channel(self.upstream, options=OPTIONS)
        self._server = grpc.aio.server(options=[*OPTIONS, ("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((_Handler(self._serve),))
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def _stop(self) -> None:
        await self._server.stop(None)
        await self._channel.close()

    async def _serve(self, method: str, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        try:
            if method == INFER:
                return await self._infer(request)
            return await self._passed_on(method, request)
        except RefusedError as error:
            await context.abort(error.status, error.message)
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), error.details() or "")
        raise AssertionError("aborting raises")

    async def _infer(self, request: bytes) -> bytes:
        digest = hashlib.sha256(request).hexdigest()
        read = service_pb2.ModelInferRequest.FromString(request)
        outputs = tuple(output.name for output in read.outputs)
        call = Call(read.model_name, outputs, digest, request, time.monotonic())
        self.calls.append(call)
        try:
            if how := self._misbehaviours.get(call.model):
                await how(call)
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            answer = self.answers.get(digest) or await self._passed_on(INFER, request)
        finally:
            call.ended_at = time.monotonic()
        if self.remember:
            self.answers[digest] = answer
        return answer

    async def _passed_on(self, method: str, request: bytes) -> bytes:
        answer: bytes = await self._channel.unary_unary(method)(request, timeout=300)
        return answer


class _Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Takes any call of any method as bytes."""

    def __init__(self, serve: Callable[..., Awaitable[bytes]]) -> None:
        self._serve = serve

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        async def call(request: bytes, context: Any) -> bytes:
            return await self._serve(details.method, request, context)

        return grpc.unary_unary_rpc_method_handler(call)


async def hang(_: Call) -> None:
    """Never answer."""
    await asyncio.Event().wait()


def refuse(status: grpc.StatusCode, message: str = "no", *, when: bytes = b"") -> Misbehaviour:
    """Answer with a status, where the request holds these bytes."""

    async def how(call: Call) -> None:
        if when in call.request:
            raise RefusedError(status, message)

    return how


class Gate:
    """Holds calls until it is opened."""

    def __init__(self) -> None:
        self._open = threading.Event()

    def open(self) -> None:
        self._open.set()

    async def __call__(self, _: Call) -> None:
        while not self._open.is_set():  # noqa: ASYNC110  (opened from another thread)
            await asyncio.sleep(0.02)


def only(digest: str, how: Misbehaviour) -> Misbehaviour:
    """Misbehave on this request alone."""

    async def perhaps(call: Call) -> None:
        if call.digest == digest:
            await how(call)

    return perhaps
