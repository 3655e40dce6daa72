"""Processes killed in the middle of a job: it ends as if nothing had happened."""

import asyncio
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator.local.client import Client
from tests.fixtures_model_plane import Plane
from tests.fixtures_system import SAMPLE, System, finish, system_environment

KILLS = 12


@pytest.fixture(scope="module")
def minute(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample twice: a minute of video."""
    path = tmp_path_factory.mktemp("minute") / "minute.mp4"
    command = [
        "ffmpeg",
        "-nostdin",
        "-loglevel",
        "error",
        "-stream_loop",
        "1",
        "-i",
        str(SAMPLE),
        "-c",
        "copy",
        str(path),
    ]
    subprocess.run(command, check=True)
    return path


async def start(client: Client, media: Path) -> dict[str, Any]:
    uploaded = await client.upload(media)
    return await client.start(
        {"media_id": uploaded["id"], "kind": "video_translation", "target_languages": ["es"], "source_language": "en"}
    )


async def until_speaking(client: Client, job: dict[str, Any], spoken: int = 1) -> None:
    """Wait until the job is in its middle: this many segments spoken, others not."""
    async for event in client.follow(job["id"]):
        if event.get("counts", {}).get("synthesizing", [0, 0])[0] >= spoken:
            return
    raise AssertionError("the job ended before it could be disturbed")


def outcome(segments: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """What must not depend on any crash: transcript, translation and timing."""
    return [
        (
            segment["index"],
            segment["text"],
            segment["start"],
            segment["end"],
            *(
                (each["language"], each["text"], each["onset"], each["seconds"], each["speed"])
                for each in segment["renditions"]
            ),
        )
        for segment in segments
    ]


@pytest.fixture(scope="module")
def undisturbed(system: System, minute: Path) -> list[tuple[Any, ...]]:
    async def work(client: Client) -> list[tuple[Any, ...]]:
        job = await finish(client, await start(client, minute))
        assert job["status"] == "completed", job["error"]
        return outcome(await client.segments(job["id"]))

    return system.ask(work)


def disturbed(system: System, media: Path, disturb: Callable[[], None]) -> list[tuple[Any, ...]]:
    async def work(client: Client) -> list[tuple[Any, ...]]:
        job = await start(client, media)
        await until_speaking(client, job)
        await asyncio.to_thread(disturb)
        job = await finish(client, job)
        assert job["status"] == "completed", job["error"]
        return outcome(await client.segments(job["id"]))

    return system.ask(work)


def test_a_job_whose_worker_is_killed_ends_like_an_undisturbed_one(
    system: System, minute: Path, undisturbed: list[tuple[Any, ...]]
) -> None:
    assert disturbed(system, minute, lambda: system.worker().kill()) == undisturbed


def replica(plane: Plane, model: str) -> psutil.Process:
    """A replica of a model in the suite's own model plane."""
    found = plane.replicas(model)
    assert found, f"no replica of {model} runs"
    return found[0]


@pytest.mark.parametrize("model", ["coqui_tts", pytest.param("whisper", marks=pytest.mark.soak)])
def test_a_job_whose_model_replica_is_killed_ends_like_an_undisturbed_one(
    system: System, minute: Path, undisturbed: list[tuple[Any, ...]], plane: Plane, model: str
) -> None:
    assert disturbed(system, minute, lambda: replica(plane, model).kill()) == undisturbed


@pytest.mark.soak
def test_jobs_survive_kills_by_the_dozen(
    system: System, minute: Path, undisturbed: list[tuple[Any, ...]], plane: Plane
) -> None:
    """Worker and replicas in turn, every few seconds, under three jobs at once."""

    async def work(client: Client) -> list[list[tuple[Any, ...]]]:
        jobs = [await start(client, minute) for _ in range(3)]
        killing = asyncio.create_task(asyncio.to_thread(kill_in_turn, system, plane))
        finished = await asyncio.gather(*(finish(client, job, seconds=1800) for job in jobs))
        await killing
        assert [job["status"] for job in finished] == ["completed"] * 3, [job["error"] for job in finished]
        return [outcome(await client.segments(job["id"])) for job in finished]

    assert system.ask(work) == [undisturbed] * 3


def kill_in_turn(system: System, plane: Plane) -> None:
    turns: list[Callable[[], psutil.Process]] = [
        system.worker,
        lambda: replica(plane, "coqui_tts"),
        system.worker,
        lambda: replica(plane, "whisper"),
    ]
    for victim in turns * (KILLS // len(turns)):
        try:
            victim().kill()
        except (AssertionError, psutil.NoSuchProcess):  # between two lives: the next turn finds another
            continue
        finally:
            time.sleep(5)


def test_ctrl_c_stops_everything_and_leaves_no_process(model_plane: str, data_dir: Path) -> None:
    system = System(data_dir, system_environment(data_dir, model_plane))
    system.start()
    family = psutil.Process(system.process.pid).children(recursive=True)
    postmaster = int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0])
    family.append(psutil.Process(postmaster))
    assert system.stop(signal.SIGINT) in (0, 130)
    _, left = psutil.wait_procs(family, timeout=60)
    assert [process for process in left if process.status() != psutil.STATUS_ZOMBIE] == []
