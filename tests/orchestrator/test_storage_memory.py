"""Files pass through storage in bounded memory, both ways, however large they are."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.standins.s3 import S3

GROWTH_MIB = 64
PASS_THROUGH = """
import asyncio, hashlib, os, re, sys
from pathlib import Path
from orchestrator.settings import Settings
from orchestrator.storage import Storage

url, megabytes = sys.argv[1], int(sys.argv[2])
NOISE = os.urandom(2**20)

def peak():
    # Not getrusage's, which knows the process this one was forked from.
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024

async def chunks(count):
    for number in range(count):
        yield number.to_bytes(8, "big") + NOISE[8:]

async def main():
    storage = Storage.from_settings(Settings(storage_url=url))
    await storage.put_stream("warm", chunks(16))
    async for _ in storage.stream("warm"):
        pass
    before = peak()
    stored = await storage.put_stream("large", chunks(megabytes))
    digest = hashlib.sha256()
    async for chunk in storage.stream("large"):
        digest.update(chunk)
        await asyncio.sleep(0)
    assert digest.hexdigest() == stored.sha256 and stored.size == megabytes * 2**20
    print(before, peak() - before, flush=True)

asyncio.run(main())
os._exit(0)  # obstore's threads may call into an interpreter that is being taken down, and abort it
"""


def growth(url: str, megabytes: int, environment: dict[str, str]) -> int:
    """MiB that the largest memory of a process grows by while a file of that size goes in and comes out."""
    command = [sys.executable, "-c", PASS_THROUGH, url, str(megabytes)]
    variables = {**os.environ, **environment}
    run = subprocess.run(command, check=False, capture_output=True, text=True, env=variables, timeout=3000)
    assert run.returncode == 0, run.stderr
    before, grown = map(int, run.stdout.split())
    print(f"{megabytes} MiB both ways through {url.partition(':')[0]}: {grown} MiB more than {before}")
    return grown


@pytest.mark.parametrize("megabytes", [150, pytest.param(3000, marks=pytest.mark.soak)])
def test_a_folder_takes_and_gives_files_in_bounded_memory(tmp_path: Path, megabytes: int) -> None:
    assert growth(f"file://{tmp_path}", megabytes, {}) < GROWTH_MIB


@pytest.mark.parametrize("megabytes", [150, pytest.param(400, marks=pytest.mark.soak)])
def test_an_object_store_takes_and_gives_files_in_bounded_memory(s3: S3, bucket: str, megabytes: int) -> None:
    assert growth(f"s3://{bucket}/files", megabytes, s3.environment()) < GROWTH_MIB
