"""Batches across callers: who shares one, who waits, who is refused."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from serve import batching
from serve.batching import Batcher, Limits, Served
from serve.errors import Code, ModelError


class Recorder:
    """Runs batches by waiting, and remembers them. `gate`, when given, holds each batch back."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.batches: list[list[str]] = []
        self.gate: asyncio.Event | None = None
        self.seconds = seconds
        self.at_once = self.most_at_once = 0

    async def __call__(self, batch: list[str]) -> list[str]:
        self.batches.append(batch)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(self.seconds * len(batch))
        if self.gate is not None:
            await self.gate.wait()
        self.at_once -= 1
        return [request.upper() for request in batch]


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 20))


async def together(*calls: Awaitable[Served[str]]) -> list[Served[str]]:
    return list(await asyncio.gather(*calls))


def test_requests_of_one_lane_share_a_batch_and_each_gets_its_own_answer() -> None:
    async def scenario() -> None:
        work = Recorder()
        batcher = Batcher(work, Limits(max_size=8, preferred=4, max_delay_s=0.05))
        served = await together(*(batcher.submit(c, lane="x") for c in "abcd"))
        assert [each.result for each in served] == ["A", "B", "C", "D"]
        assert work.batches == [["a", "b", "c", "d"]]
        assert {each.batch for each in served} == {4}

    run(scenario)


def test_requests_of_different_lanes_never_share_a_batch() -> None:
    async def scenario() -> None:
        work = Recorder()
        batcher = Batcher(work, Limits(max_size=8, preferred=8, max_delay_s=0.01))
        await together(*(batcher.submit(c, lane=c.islower()) for c in "aBcD"))
        assert sorted(sorted(batch) for batch in work.batches) == [["B", "D"], ["a", "c"]]

    run(scenario)


def test_a_lone_request_waits_no_longer_than_the_delay() -> None:
    async def scenario() -> None:
        batcher = Batcher(Recorder(), Limits(max_size=8, preferred=4, max_delay_s=0.02))
        served = await batcher.submit("a")
        assert served.result == "A"
        assert served.queue_s >= 0.02

    run(scenario)


def test_callers_who_come_back_at_once_join_those_who_waited_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "REGROUPING", 0.5)  # so that a busy machine has time for what follows a batch

    async def scenario() -> None:
        work = Recorder(seconds=1.0)
        batcher = Batcher(work, Limits(max_size=8, preferred=8, max_delay_s=0.4))

        async def twice(name: str) -> None:
            await batcher.submit(name)
            await asyncio.sleep(0.005)  # the way there and back
            await batcher.submit(name * 2)

        first = asyncio.create_task(twice("a"))
        await asyncio.sleep(0.7)  # the first batch runs, and what comes now waits longer than the delay
        await together(batcher.submit("b"))
        await first
        assert work.batches == [["a"], ["b", "aa"]]

    run(scenario)


def test_a_batch_is_no_larger_than_the_limit_counted_in_the_models_units() -> None:
    async def scenario() -> None:
        work = Recorder()
        batcher = Batcher(work, Limits(max_size=10, preferred=10, max_delay_s=0.01))
        sizes = {"a": 6, "b": 4, "c": 3, "d": 25}
        await together(*(batcher.submit(name, size=size) for name, size in sizes.items()))
        assert work.batches == [["a", "b"], ["c"], ["d"]]

    run(scenario)


def test_while_all_slots_are_busy_a_lane_fills_up() -> None:
    async def scenario() -> None:
        work = Recorder()
        work.gate = asyncio.Event()
        batcher = Batcher(work, Limits(max_size=8))
        first = asyncio.create_task(batcher.submit("a"))
        await asyncio.sleep(0.01)
        rest = [asyncio.create_task(batcher.submit(c)) for c in "bcdef"]
        await asyncio.sleep(0.01)
        work.gate.set()
        await together(first, *rest)
        assert work.batches == [["a"], ["b", "c", "d", "e", "f"]]

    run(scenario)


def test_two_free_slots_share_what_is_waiting() -> None:
    async def scenario() -> None:
        work = Recorder(0.02)
        batcher = Batcher(work, Limits(max_size=8, preferred=4, max_delay_s=0.02, slots=2))
        await together(*(batcher.submit(c) for c in "abcd"))
        assert sorted(len(batch) for batch in work.batches) == [2, 2]
        assert work.most_at_once == 2

    run(scenario)


def test_no_lane_starves_beside_a_busy_one() -> None:
    async def scenario() -> None:
        work = Recorder(0.001)
        batcher = Batcher(work, Limits(max_size=4))
        flood = [asyncio.create_task(batcher.submit(f"a{n}", lane="a")) for n in range(60)]
        await asyncio.sleep(0)
        rare = asyncio.create_task(batcher.submit("b", lane="b"))
        await rare
        assert sum(not task.done() for task in flood) > 0
        await together(*flood)

    run(scenario)


def test_what_was_cancelled_while_it_waited_never_enters_a_batch() -> None:
    async def scenario() -> None:
        work = Recorder()
        work.gate = asyncio.Event()
        batcher = Batcher(work, Limits(max_size=8))
        first = asyncio.create_task(batcher.submit("a"))
        await asyncio.sleep(0.01)
        vanished, stays = asyncio.create_task(batcher.submit("b")), asyncio.create_task(batcher.submit("c"))
        await asyncio.sleep(0.01)
        vanished.cancel()
        await asyncio.sleep(0.01)
        assert batcher.queued == 1
        work.gate.set()
        await together(first, stays)
        assert work.batches == [["a"], ["c"]]

    run(scenario)


def test_what_ran_out_of_time_in_the_queue_is_told_so_and_not_computed() -> None:
    async def scenario() -> None:
        work = Recorder()
        work.gate = asyncio.Event()
        batcher = Batcher(work, Limits(max_size=8))
        first = asyncio.create_task(batcher.submit("a"))
        await asyncio.sleep(0.01)
        late = asyncio.create_task(batcher.submit("b", deadline=time.time() + 0.5))
        await asyncio.sleep(0.6)
        work.gate.set()
        with pytest.raises(ModelError, match="time ran out while it waited") as caught:
            await late
        assert caught.value.code == Code.DEADLINE_EXCEEDED
        await first
        assert work.batches == [["a"]]

    run(scenario)


def test_a_deadline_that_has_passed_already_is_refused() -> None:
    async def scenario() -> None:
        with pytest.raises(ModelError) as caught:
            await Batcher(Recorder(), Limits(max_size=8)).submit("a", deadline=time.time() - 1)
        assert caught.value.code == Code.DEADLINE_EXCEEDED

    run(scenario)


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back() -> None:
    async def scenario() -> None:
        work = Recorder()
        work.gate = asyncio.Event()
        batcher = Batcher(work, Limits(max_size=1, max_queued=2))
        accepted = [asyncio.create_task(batcher.submit(c)) for c in "abc"]
        await asyncio.sleep(0.01)
        with pytest.raises(ModelError, match="queue is full") as caught:
            await batcher.submit("d")
        assert caught.value.code == Code.RESOURCE_EXHAUSTED
        assert caught.value.retry_after_s
        work.gate.set()
        await together(*accepted)

    run(scenario)


def test_a_request_that_would_wait_longer_than_it_can_is_refused_before_it_waits() -> None:
    async def scenario() -> None:
        work = Recorder(0.05)
        batcher = Batcher(work, Limits(max_size=1))
        await batcher.submit("a")
        waiting = [asyncio.create_task(batcher.submit(c)) for c in "bcdef"]
        await asyncio.sleep(0)
        assert batcher.expected_wait_s() > 0.1
        with pytest.raises(ModelError, match="would wait about") as caught:
            await batcher.submit("g", deadline=time.time() + 0.05)
        assert caught.value.code == Code.RESOURCE_EXHAUSTED
        await together(*waiting)

    run(scenario)


def test_a_batch_that_did_not_fit_into_memory_makes_the_next_ones_half_as_large() -> None:
    async def scenario() -> None:
        work = Recorder()
        batcher = Batcher(work, Limits(max_size=4, preferred=4, max_delay_s=0.2))
        batcher.halve()
        await together(*(batcher.submit(c) for c in "abcd"))
        assert work.batches == [["a", "b"], ["c", "d"]]

    run(scenario)


def test_what_a_batch_raises_reaches_each_of_its_callers_and_the_next_batch_runs() -> None:
    async def scenario() -> None:
        class Breaks(Recorder):
            async def __call__(self, batch: list[str]) -> list[str]:
                if "bad" in batch:
                    raise OSError("gone")
                return await super().__call__(batch)

        batcher = Batcher(Breaks(), Limits(max_size=2, preferred=2, max_delay_s=0.2))
        results = await asyncio.gather(*(batcher.submit(c) for c in ("bad", "b")), return_exceptions=True)
        assert [type(each) for each in results] == [OSError, OSError]
        assert (await batcher.submit("c")).result == "C"

    run(scenario)


def test_a_free_slot_leaves_its_share_of_what_waits_to_the_busy_one() -> None:
    async def scenario() -> None:
        work = Recorder()
        work.gate = asyncio.Event()
        batcher = Batcher(work, Limits(max_size=8, preferred=9, max_delay_s=0.02, slots=2))
        calls = [asyncio.ensure_future(batcher.submit("a"))]
        await asyncio.sleep(0.05)
        calls += [asyncio.ensure_future(batcher.submit(name)) for name in "bcdefghij"]
        await asyncio.sleep(0.05)
        work.gate.set()
        await asyncio.gather(*calls)
        assert [len(batch) for batch in work.batches][:2] == [1, 5], "half of the nine that wait and the one that runs"

    run(scenario)
