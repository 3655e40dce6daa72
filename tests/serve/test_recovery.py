"""A replica that dies in the middle of its work: UNAVAILABLE for those who waited on it, then service again."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

from tests.fixtures_model_plane import Plane

Tensor = Callable[[str, Any, str], triton.InferInput]
AGAIN_S = 90
COMPUTED_S = 0.2
"""A fifth of what the calls take at least, and more than an idle replica needs in seconds."""
TEXT = "If it rains tomorrow, we will stay at home and read. " * 15


async def until_computing(replicas: list[psutil.Process]) -> None:
    """Waits until one of them works: it has computed for a while since now."""

    def computed() -> list[float]:
        return [each.cpu_times().user for each in replicas]

    before = computed()
    async with asyncio.timeout(AGAIN_S):
        while max(now - then for now, then in zip(computed(), before, strict=True)) < COMPUTED_S:  # noqa: ASYNC110  (a process tells no one)
            await asyncio.sleep(0.02)


async def call_until_killed(plane: Plane, model: str, inputs: list[Any], victims: list[psutil.Process]) -> str:
    """Keeps the model busy, kills its replicas, and returns the status the waiting calls ended with."""
    async with triton_aio.InferenceServerClient(plane.address) as client:
        computing = asyncio.create_task(until_computing(plane.replicas(model)))
        await asyncio.sleep(0)
        calls = [asyncio.create_task(client.infer(model, inputs)) for _ in range(4)]
        await computing
        for victim in victims:
            victim.kill()
        results = await asyncio.gather(*calls, return_exceptions=True)
    errors = [result for result in results if isinstance(result, BaseException)]
    assert errors, "the calls were over before the replicas were killed"
    assert all(isinstance(error, InferenceServerException) for error in errors), errors
    assert not any("Traceback" in str(error) for error in errors)
    (status,) = {error.status() for error in errors if isinstance(error, InferenceServerException)}
    return str(status)


def all_of(clips: list[Any]) -> npt.NDArray[np.float32]:
    """Speech that keeps Whisper busy for a second or more: [1, samples] of all clips in a row."""
    return np.concatenate([clip.audio for clip in clips])[None]


def until_answered(client: triton.InferenceServerClient, model: str, inputs: list[Any]) -> Any:
    """The answer of a client that repeats what was UNAVAILABLE."""
    deadline = time.monotonic() + AGAIN_S
    while True:
        try:
            return client.infer(model, inputs, client_timeout=AGAIN_S)
        except InferenceServerException as error:
            if error.status() != "StatusCode.UNAVAILABLE" or time.monotonic() > deadline:
                raise
        time.sleep(0.3)


@pytest.mark.parametrize("model", ["whisper", "coqui_tts"])
def test_a_killed_replica_is_unavailable_and_then_serves_again_as_before(
    plane: Plane, triton_client: triton.InferenceServerClient, make_tensor: Tensor, librivox: list[Any], model: str
) -> None:
    busy, question = {
        "whisper": (
            [make_tensor("AUDIO", all_of(librivox), "FP32")],
            [make_tensor("AUDIO", [librivox[1].audio], "FP32")],
        ),
        "coqui_tts": ([make_tensor("TEXT", [[TEXT]], "BYTES")], [make_tensor("TEXT", [["Hello there."]], "BYTES")]),
    }[model]
    output = {"whisper": "SEGMENTS", "coqui_tts": "AUDIO"}[model]
    before = triton_client.infer(model, question).as_numpy(output)
    victims = plane.replicas(model)
    assert len(victims) == {"whisper": 1, "coqui_tts": 2}[model]
    assert asyncio.run(call_until_killed(plane, model, busy, victims)) == "StatusCode.UNAVAILABLE"
    after = until_answered(triton_client, model, question).as_numpy(output)
    np.testing.assert_array_equal(before, after)
    assert {process.pid for process in plane.replicas(model)}.isdisjoint({victim.pid for victim in victims})


def test_the_protocols_own_replica_comes_back_as_well(
    plane: Plane, triton_client: triton.InferenceServerClient, make_tensor: Tensor, librivox: list[Any]
) -> None:
    (victim,) = plane.replicas("protocol")
    speech = [make_tensor("AUDIO", all_of(librivox), "FP32")]
    assert asyncio.run(call_until_killed(plane, "whisper", speech, [victim])) == "StatusCode.UNAVAILABLE"
    answer = until_answered(triton_client, "vad", [make_tensor("AUDIO", np.zeros(512), "FP32")])
    assert answer.as_numpy("PROBABILITY").shape == (1,)


def test_the_other_models_answer_while_one_is_away(
    plane: Plane, triton_client: triton.InferenceServerClient, make_tensor: Tensor
) -> None:
    for victim in plane.replicas("opus_mt"):
        victim.kill()
    answer = triton_client.infer("vad", [make_tensor("AUDIO", np.zeros(512), "FP32")], client_timeout=60)
    assert answer.as_numpy("PROBABILITY").shape == (1,)
    row = [
        make_tensor(name, [[text]], "BYTES") for name, text in (("TEXT", "Hi you."), ("SOURCE", "en"), ("TARGET", "es"))
    ]
    assert until_answered(triton_client, "opus_mt", row).as_numpy("TRANSLATIONS").shape == (1, 1)
