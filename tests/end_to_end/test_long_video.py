"""Long videos: in bounded memory, and in sync to the end."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import pytest

from orchestrator.local.client import Client
from tests.end_to_end.test_jobs import RATE, fetch, picture_hash, probe, sound
from tests.fixtures_model_plane import Plane
from tests.fixtures_system import SAMPLE, System, finish, system_environment
from tests.standins.model_proxy import ModelProxy

MOST_BYTES = 10**9
OFF_S = 0.05
"""How far a dub's sentence may begin from the original's."""
ALLOWED_S = 3000
FRAME = RATE // 200
"""Five milliseconds."""


@dataclass
class Peak:
    """The most memory the control plane's processes had together: API, worker, their keeper and every ffmpeg.

    Proportional set sizes: what processes share counts once. PostgreSQL is not counted.
    """

    bytes: int = 0
    by_name: dict[str, int] = field(default_factory=dict)

    def look(self, root: psutil.Process) -> None:
        now: dict[str, int] = {}
        for process in (root, *root.children(recursive=True)):
            try:
                if process.name() != "postgres":
                    name = " ".join(process.cmdline()[2:3]) if process.name() == "python" else process.name()
                    now[name] = now.get(name, 0) + process.memory_full_info().pss
            except psutil.Error:
                continue
        if sum(now.values()) > self.bytes:
            self.bytes, self.by_name = sum(now.values()), now


@contextmanager
def watched(root: psutil.Process) -> Iterator[Peak]:
    peak, stop = Peak(), threading.Event()

    def watch() -> None:
        while not stop.wait(0.5):
            peak.look(root)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


def looped(to: Path, times: int) -> Path:
    """The sample so many times in a row, its sound encoded anew: joints of encoded sound have times that overlap."""
    listed = ["-stream_loop", str(times - 1), "-i", str(SAMPLE), "-map", "0:v:0", "-map", "0:a:0"]
    sound_anew = ["-c:v", "copy", "-af", "aresample=async=1", "-c:a", "aac", str(to)]
    subprocess.run(["ffmpeg", "-nostdin", "-y", "-loglevel", "error", *listed, *sound_anew], check=True)
    return to


def begins(samples: npt.NDArray[np.float32], about_s: float) -> float:
    """When the speech begins that begins about then: the first loud frame after the last pause before it."""
    first = max(0, int((about_s - 0.4) * RATE))
    near = np.abs(samples[first : first + int(1.0 * RATE)])
    near = near[: len(near) // FRAME * FRAME].reshape(-1, FRAME).max(axis=1)
    loud = near > 0.08 * near.max()
    middle = int(0.5 * RATE / FRAME)  # well inside the speech
    quiet = np.flatnonzero(~loud[:middle])
    pauses = [at for at in quiet if not loud[max(0, at - 8) : at + 1].any()]
    assert pauses, f"no pause before {about_s:.2f} s"
    return float(first + (pauses[-1] + 1) * FRAME) / RATE


@pytest.mark.parametrize("times", [4, pytest.param(237, marks=pytest.mark.soak, id="two hours")])
def test_a_long_video_ends_in_sync_and_takes_little_memory(
    plane: Plane, server_folder: Path, tmp_path: Path, times: int
) -> None:
    source = looped(tmp_path / "long.mp4", times)
    data_dir = server_folder / f"long-{times}"
    with ModelProxy(plane.address) as proxy:
        system = System(data_dir, system_environment(data_dir, proxy.address))
        system.start()

        async def work(client: Client) -> tuple[dict[str, Any], dict[str, Path], list[dict[str, Any]]]:
            media = await client.upload(source)
            wish = {"kind": "video_translation", "target_languages": ["es"], "source_language": "en"}
            job = await finish(client, await client.start({"media_id": media["id"], **wish}), seconds=ALLOWED_S)
            assert job["status"] == "completed", job["error"]
            return job, await fetch(client, job, tmp_path), await client.segments(job["id"])

        try:
            with watched(psutil.Process(system.process.pid)) as peak:
                _, files, segments = system.ask(work)
        finally:
            system.stop()
    print(f"control plane at most {peak.bytes / 1e6:.0f} MB: {peak.by_name}")
    length = float(probe(source)["format"]["duration"])
    dub, original = sound(files["es.mp4"]), sound(source)
    last = segments[-1]
    theirs = begins(original, last["start"])
    ours = begins(dub, last["renditions"][0]["onset"])
    print(
        f"{length:.1f} s, {len(segments)} segments: the last sentence begins at {theirs:.3f} s, its dub at {ours:.3f} s"
    )
    assert last["start"] > length - 30
    assert picture_hash(files["es.mp4"]) == picture_hash(source)
    assert abs(float(probe(files["es.mp4"])["format"]["duration"]) - length) <= OFF_S
    assert abs(ours - theirs) <= OFF_S
    assert peak.bytes < MOST_BYTES
