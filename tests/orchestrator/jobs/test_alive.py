"""A worker's sign of life for whoever watches its process."""

import asyncio
import os
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from orchestrator.jobs import alive
from scripts.kubernetes.generate import K8S


@pytest.mark.anyio
async def test_the_probe_of_the_manifest_finds_the_file_that_a_worker_touches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alive, "EVERY_S", 0.01)
    folder = tmp_path / "worker-1"
    folder.mkdir()
    manifest = (K8S / "base" / "worker.yaml").read_text(encoding="utf-8")
    command = manifest.partition("[sh, -c, '")[2].partition("'")[0]
    assert command.startswith("test -n")

    async def probe() -> int:
        local = command.replace("/scratch", str(tmp_path))
        return (await asyncio.to_thread(subprocess.run, ["sh", "-c", local], check=False)).returncode

    assert await probe() == 1
    task = asyncio.create_task(alive.keep_fresh(folder))
    await asyncio.sleep(0.05)
    assert await probe() == 0
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    os.utime(folder / alive.NAME, (0, 0))
    assert await probe() == 1
