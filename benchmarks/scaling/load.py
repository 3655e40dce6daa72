"""Sends arrivals at their time, whatever became of those before, each with the retry policy of the README."""

import asyncio
import time
from collections.abc import Sequence

import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

from benchmarks.patience import patiently, status_of
from benchmarks.scaling.arrivals import Arrival
from benchmarks.scaling.record import Request

PATIENCE_S = 120.0
"""How long a request is asked for again; one that is not answered by then, or by its timeout, is lost."""

CALL_S = 180.0


def tensors(seconds: float) -> list[triton.InferInput]:
    """A request of the stand-in."""
    tensor = triton.InferInput("SECONDS", [1, 1], "FP32")
    tensor.set_data_from_numpy(np.full((1, 1), seconds, np.float32))
    return [tensor]


async def send(address: str, model: str, arrivals: Sequence[Arrival], began: float) -> list[Request]:
    """Every request's end; `began` is the trace's beginning by time.time()."""
    async with triton_aio.InferenceServerClient(address) as client:

        async def one(arrival: Arrival) -> Request:
            await asyncio.sleep(max(0.0, began + arrival.at - time.time()))
            asked = time.time() - began
            inputs = tensors(arrival.seconds)
            calls = 0

            async def call() -> object:
                nonlocal calls
                calls += 1
                return await client.infer(model, inputs, client_timeout=CALL_S)

            try:
                await patiently(call, PATIENCE_S)
            except InferenceServerException as error:
                return Request(arrival.at, arrival.seconds, asked, None, status_of(error), calls - 1)
            return Request(arrival.at, arrival.seconds, asked, time.time() - began, "OK", calls - 1)

        return list(await asyncio.gather(*map(one, arrivals)))
