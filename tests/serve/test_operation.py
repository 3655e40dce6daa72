"""How the plane behaves under overload, deadlines, failures, full memory, stuck models and changes of configuration."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

from tests.fixtures_model_plane import Plane, start_plane
from tests.fixtures_operation import obedient_request as order
from tests.fixtures_operation import write_model, write_serve_yaml

REPLACED_S = 90.0
"""How long a replacement may take on a busy machine before the test gives up."""


@dataclass(frozen=True)
class Workshop:
    """A running plane with the model `obedient`."""

    plane: Plane
    diary: Path
    serve_yaml: Path

    def batches(self) -> list[str]:
        return self.diary.read_text().splitlines()

    async def begun(self, name: str) -> None:
        """Waits until a batch with a request of this name has begun."""
        async with asyncio.timeout(REPLACED_S):
            while not any(name in batch.split() for batch in self.batches()):  # noqa: ASYNC110  (a file tells no one)
                await asyncio.sleep(0.05)

    def pid(self) -> int:
        """The process of the one replica there should be. One that is being replaced may be missing for a while."""
        return self.replica_other_than(None)

    def replica_other_than(self, former: int | None) -> int:
        """Waits until one replica runs and is not the former one. AssertionError when it does not become so."""
        deadline = time.monotonic() + REPLACED_S
        while True:
            pids = [replica.pid for replica in self.plane.replicas("obedient")]
            if len(pids) == 1 and pids[0] != former:
                return pids[0]
            assert time.monotonic() < deadline, f"the replicas are {pids}, the former one is {former}"
            time.sleep(0.2)

    def log(self) -> str:
        return self.plane.log.read_text(errors="replace")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    folder = tmp_path_factory.mktemp("workshop")
    diary = write_model(folder / "model_repo", "obedient", queue=8)
    serve_yaml = write_serve_yaml(folder / "serve.yaml", {"obedient": {}})
    plane = start_plane(
        folder / "serve.log",
        OCTAVIA_PARENT_PID=str(os.getpid()),
        OCTAVIA_MODEL_REPO=str(folder / "model_repo"),
        OCTAVIA_SERVE_CONFIG=str(serve_yaml),
    )
    yield Workshop(plane, diary, serve_yaml)
    plane.stop()


async def every(address: str, *orders: list[triton.InferInput], **options: Any) -> list[Any]:
    """All at once: rows of the batch each shared, or its exception."""
    async with triton_aio.InferenceServerClient(address) as client:
        answers = await asyncio.gather(
            *(client.infer("obedient", each, **options) for each in orders), return_exceptions=True
        )
    return [each if isinstance(each, BaseException) else int(each.as_numpy("ROWS")[0, 0]) for each in answers]


async def gathered(workshop: Workshop, name: str, *orders: list[triton.InferInput]) -> list[Any]:
    """As `every`, while the model computes a request of that name: they wait for each other, however slowly they come
    in.
    """
    async with triton_aio.InferenceServerClient(workshop.plane.address) as client:
        running = asyncio.create_task(client.infer("obedient", order(2.0, name=name)))
        await workshop.begun(name)
        answers = await every(workshop.plane.address, *orders)
        await running
    return answers


def statuses(results: list[Any]) -> list[str]:
    return [each.status().removeprefix("StatusCode.") for each in results if isinstance(each, InferenceServerException)]


def test_callers_of_one_lane_share_a_batch_and_those_of_another_do_not(workshop: Workshop) -> None:
    orders = [order(0.05, lane=lane, name=lane) for lane in "aaaabbbb"]
    assert asyncio.run(gathered(workshop, "before-lanes", *orders)) == [4] * 8
    assert {"a a a a", "b b b b"} <= set(workshop.batches())


def test_overload_is_refused_at_once_while_what_was_accepted_is_served(workshop: Workshop) -> None:
    async def flood() -> tuple[list[Any], int]:
        at_once = 0

        async def call(client: triton_aio.InferenceServerClient) -> None:
            nonlocal at_once
            try:
                await client.infer("obedient", order())
            except InferenceServerException:
                at_once += not running.done()
                raise

        async with triton_aio.InferenceServerClient(workshop.plane.address) as client:
            running = asyncio.create_task(client.infer("obedient", order(4.0, name="flooded")))
            await workshop.begun("flooded")
            results = await asyncio.gather(*(call(client) for _ in range(8 + 5)), return_exceptions=True)
            await running
        return results, at_once

    results, at_once = asyncio.run(flood())
    assert statuses(results) == ["RESOURCE_EXHAUSTED"] * 5
    assert at_once == 5, "none was kept waiting for its refusal"
    assert "the queue is full" in str(next(each for each in results if isinstance(each, Exception)))


def test_a_request_that_cannot_be_served_in_its_time_is_never_computed(workshop: Workshop) -> None:
    async def hurried() -> Any:
        async with triton_aio.InferenceServerClient(workshop.plane.address) as client:
            running = asyncio.create_task(client.infer("obedient", order(2.0, name="hurrying")))
            await workshop.begun("hurrying")
            late = await asyncio.gather(
                client.infer("obedient", order(name="hurried"), timeout=100_000), return_exceptions=True
            )
            await running
            return late

    (error,) = asyncio.run(hurried())
    assert error.status() in {"StatusCode.DEADLINE_EXCEEDED", "StatusCode.RESOURCE_EXHAUSTED"}
    assert "time" in error.message() or "wait" in error.message()
    assert not any("hurried" in batch for batch in workshop.batches())


def test_the_work_of_a_caller_that_went_away_is_dropped_before_it_enters_a_batch(workshop: Workshop) -> None:
    async def impatient() -> list[Any]:
        async with triton_aio.InferenceServerClient(workshop.plane.address) as client:
            running = asyncio.create_task(client.infer("obedient", order(3.0, name="left")))
            await workshop.begun("left")
            gone = await asyncio.gather(
                client.infer("obedient", order(name="vanished"), client_timeout=0.3), return_exceptions=True
            )
            stayed = await client.infer("obedient", order(name="stayed"))
            await running
            return [*gone, stayed]

    gone, _ = asyncio.run(impatient())
    assert gone.status() == "StatusCode.DEADLINE_EXCEEDED"
    assert "stayed" in workshop.batches()
    assert not any("vanished" in batch for batch in workshop.batches())


def test_a_failure_stays_with_its_request_and_leaves_one_line_in_the_log(workshop: Workshop) -> None:
    pid = workshop.pid()
    before = workshop.log().count("inference failed")
    good, bad = asyncio.run(
        every(workshop.plane.address, order(0.05, name="good"), order(0.05, task="fail", name="bad"))
    )
    assert isinstance(good, int)
    assert bad.status() == "StatusCode.INTERNAL"
    assert "failed on this input; the server's log says why" in bad.message()
    assert "Traceback" not in bad.message()
    until(lambda: workshop.log().count("inference failed") == before + 1)
    assert workshop.pid() == pid


def test_a_batch_that_does_not_fit_into_memory_is_done_in_halves(workshop: Workshop) -> None:
    orders = [order(0.02, task="hog", lane="hogs", name=f"hog{n}") for n in range(4)]
    assert asyncio.run(gathered(workshop, "before-hogs", *orders)) == [2, 2, 2, 2]


def test_a_request_that_never_fits_into_memory_is_told_so(workshop: Workshop) -> None:
    (error,) = asyncio.run(every(workshop.plane.address, order(rows=3, task="hog", name="giant")))
    assert error.status() == "StatusCode.RESOURCE_EXHAUSTED"
    assert "has not the memory for a request of 3 rows" in error.message()


def until(true: Any, seconds: float = 40.0) -> None:
    """Waits until it is true; AssertionError when it does not become so."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)


def test_what_happened_is_told_under_tritons_names(workshop: Workshop) -> None:
    def told(line: str) -> bool:
        page = httpx.get(f"http://{workshop.plane.ready['http']}/metrics", timeout=60).text
        return any(each.startswith(line) for each in page.splitlines())

    assert asyncio.run(every(workshop.plane.address, order(name="counted"))) == [1]
    until(lambda: told("nv_inference_request_success{"))
    until(lambda: told("nv_inference_exec_count{"))
    until(lambda: told("nv_model_memory_bytes{"))
    until(lambda: told("nv_inference_request_failure{"))
    assert told("ray_serve_")


def test_a_stuck_model_is_noticed_and_its_replica_replaced(workshop: Workshop) -> None:
    pid = workshop.pid()
    (error,) = asyncio.run(every(workshop.plane.address, order(task="hang", name="stuck"), client_timeout=60))
    assert error.status() == "StatusCode.UNAVAILABLE"
    workshop.replica_other_than(pid)
    assert asyncio.run(every(workshop.plane.address, order(name="after"), client_timeout=60)) == [1]


def test_a_change_of_configuration_replaces_replicas_without_losing_a_request(workshop: Workshop) -> None:
    async def through_the_change() -> list[Any]:
        async with triton_aio.InferenceServerClient(workshop.plane.address) as client:
            long = asyncio.create_task(client.infer("obedient", order(4.0, name="long")))
            await workshop.begun("long")
            write_serve_yaml(workshop.serve_yaml, {"obedient": {"ray_actor_options": {"num_cpus": 0.06}}})
            os.kill(workshop.plane.process.pid, signal.SIGUSR1)
            short: list[Any] = []
            deadline = time.monotonic() + REPLACED_S
            while workshop.plane.replicas("obedient") and pid in {r.pid for r in workshop.plane.replicas("obedient")}:
                assert time.monotonic() < deadline
                short.append(await client.infer("obedient", order(0.01, name="short")))
            return [await long, *short, await client.infer("obedient", order(name="last"))]

    pid = workshop.pid()
    answers = asyncio.run(through_the_change())
    assert len(answers) > 2
    workshop.replica_other_than(pid)
    until(lambda: "the configuration is in force" in workshop.log())


def test_a_wrong_configuration_changes_nothing(workshop: Workshop) -> None:
    pid = workshop.pid()
    right = workshop.serve_yaml.read_text()
    workshop.serve_yaml.write_text(right.replace("max_queued_requests", "max_queed_requests"))
    os.kill(workshop.plane.process.pid, signal.SIGUSR1)
    until(lambda: "the configuration was not changed" in workshop.log())
    workshop.serve_yaml.write_text(right)
    assert asyncio.run(every(workshop.plane.address, order(name="as before"))) == [1]
    assert workshop.pid() == pid
