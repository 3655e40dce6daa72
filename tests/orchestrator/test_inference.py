"""What a call to a model does when the plane refuses it, goes away, or dies of it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable

import grpc
import numpy as np
import pytest

from orchestrator import inference, patience
from orchestrator.inference import (
    Inference,
    ModelCrashedError,
    ModelPlaneUnavailableError,
    ModelRefusedError,
    Utterance,
)
from orchestrator.time_limit import time_limit
from tests.standins.forwarder import Forwarder
from tests.standins.model_proxy import Call, ModelProxy, RefusedError, hang, refuse

pytestmark = pytest.mark.anyio


@pytest.fixture
async def models(proxy: ModelProxy, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inference]:
    """A client that takes a replica to be back at once."""
    monkeypatch.setattr(inference, "INTERRUPTION_S", 0.0)
    async with Inference(proxy.address, wait_s=60) as client:
        yield client


def said(text: str) -> Utterance:
    return Utterance(text, "en", "en-joe")


@pytest.mark.parametrize("status", ["INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED"])
async def test_what_a_model_refuses_is_asked_once(models: Inference, proxy: ModelProxy, status: str) -> None:
    proxy.misbehave("coqui_tts", refuse(grpc.StatusCode[status], "not like this"))
    with pytest.raises(ModelRefusedError, match="not like this"):
        await models.seconds([said("Hello.")])
    assert len(proxy.calls) == 1


async def test_a_text_on_which_the_model_always_fails_is_given_up_and_others_are_not(
    models: Inference, proxy: ModelProxy
) -> None:
    proxy.misbehave("coqui_tts", refuse(grpc.StatusCode.INTERNAL, "a bug", when=b"poison"))
    poisoned, healthy = await asyncio.gather(
        models.seconds([said("This is poison.")]), models.seconds([said("Hello.")]), return_exceptions=True
    )
    assert isinstance(poisoned, ModelRefusedError)
    assert isinstance(healthy, list)
    assert sum(b"poison" in call.request for call in proxy.calls) == patience.FAULTS_FORGIVEN + 1


async def test_a_text_that_ends_the_replica_every_time_is_given_up_and_others_are_not(
    models: Inference, proxy: ModelProxy
) -> None:
    """Those that are with it in the replica go down with it; alone they are answered."""
    texts = ["This is poison.", *(f"Sentence {number}." for number in range(5))]
    together = 0

    async def die_of_poison(call: Call) -> None:
        nonlocal together
        while len(proxy.calls) < len(texts):  # noqa: ASYNC110  (they come to it one by one)
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        poison = [other for other in proxy.calls if b"poison" in other.request]
        if any(other.ended_at is None or other.ended_at > call.began_at for other in poison):
            together += call not in poison
            raise RefusedError(grpc.StatusCode.UNAVAILABLE, "a replica of model 'coqui_tts' stopped; try again")

    proxy.misbehave("coqui_tts", die_of_poison)
    found = await asyncio.gather(*(models.seconds([said(text)]) for text in texts), return_exceptions=True)
    assert isinstance(found[0], ModelCrashedError)
    assert (found[0].code, found[0].status) == ("model_crashed", 422)
    assert all(isinstance(each, list) for each in found[1:]), found
    assert together, "the poison was alone from the beginning: the test tells nothing"


async def test_a_plane_that_is_away_is_no_crash_and_is_waited_for_in_time_that_does_not_count(
    proxy: ModelProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "INTERRUPTION_S", 0.0)
    with Forwarder(proxy.address) as line:
        async with Inference(line.address, wait_s=60) as models:
            await models.seconds([said("Hello.")])  # from now on the proxy knows the answer
            line.cut()
            waiting = asyncio.create_task(_within(3, models.seconds([said("Hello.")])))
            await asyncio.sleep(5)
            assert not waiting.done()
            line.mend()
            assert len(await asyncio.wait_for(waiting, 60)) == 1


async def test_the_time_of_a_hung_call_counts(models: Inference, proxy: ModelProxy) -> None:
    proxy.misbehave("coqui_tts", hang)
    with pytest.raises(OverError):
        await _within(1, models.seconds([said("Hello.")]))


class OverError(Exception):
    pass


async def _within(seconds: float, work: Awaitable[list[float]]) -> list[float]:
    async with time_limit(seconds, OverError()):
        return await work


async def test_a_plane_that_stays_away_is_named(unused_address: str) -> None:
    async with Inference(unused_address, wait_s=1) as models:
        with pytest.raises(ModelPlaneUnavailableError, match="coqui_tts"):
            await models.seconds([said("Hello.")])


async def test_an_overloaded_plane_is_asked_again(models: Inference, proxy: ModelProxy) -> None:
    async def overloaded(_: Call) -> None:
        if len(proxy.calls) <= 3:
            raise RefusedError(grpc.StatusCode.RESOURCE_EXHAUSTED, "later")

    proxy.misbehave("vad", overloaded)
    await models.speech_activity(np.zeros(16_000, np.float32))
    assert len(proxy.calls) == 4


@pytest.fixture
def unused_address() -> str:
    return "127.0.0.1:1"
