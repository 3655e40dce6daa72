"""What a minute of video costs each part of Octavia, by one job on this machine; written to benchmarks/results/.

A minute of video is dubbed with everything running for itself. Of each kind of process the CPU time is counted from
before to after the job, so other work on the machine changes little; of the database its transactions that write and
its log; of the storage its growth. What an idle system spends is measured before and taken off. Then how many commits a
second the database takes from eight connections, and what the disk takes.

    python -m benchmarks.scaling.measure [--idle 20] [--jobs 2]
"""

import argparse
import asyncio
import json
import os
import re
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa
import tritonclient.grpc as triton
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.machine import RESULTS, machine
from benchmarks.minute import SAMPLE, SECONDS, build
from orchestrator.database import make_engine
from orchestrator.inference import Inference
from orchestrator.local.client import Client
from orchestrator.local.up import up
from orchestrator.settings import Settings

MEASURED = RESULTS / "scaling-measured.json"
MODELS = ("vad", "whisper", "opus_mt", "coqui_tts")
GROUPS: Mapping[str, str] = {
    r"ray::ServeReplica:octavia:(\w+)": r"\1",
    r"ray::ProxyActor": "proxy",
    r"orchestrator\.app": "api",
    r"orchestrator\.jobs\.worker|ffmpeg": "worker",
    r"postgres": "database",
    r"ray::|raylet|gcs_server|ray/": "ray",
}
WRITES = sa.text("select pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
"""The next transaction's number. Only those that write are given one, so its growth counts them."""

CONNECTIONS = 8
DATABASE_S = 5.0
DISK_BYTES, PIECE_BYTES = 256 * 2**20, 8 * 2**20


@dataclass(frozen=True, slots=True)
class Seen:
    """CPU seconds of each kind of process, transactions that write, bytes of the database's log and in the storage."""

    cpu_s: Mapping[str, float]
    commits: float
    log_bytes: float
    storage_bytes: float
    calls: Mapping[str, int]

    def since(self, before: "Seen", idle: "Seen | None" = None, share: float = 0.0) -> "Seen":
        """What has come since; less what an idle system spends, `share` times `idle`."""

        def less(now: float, then: float, spent: float) -> float:
            return max(0.0, now - then - share * spent)

        return Seen(
            {
                name: less(value, before.cpu_s.get(name, 0.0), idle.cpu_s.get(name, 0.0) if idle else 0.0)
                for name, value in self.cpu_s.items()
            },
            less(self.commits, before.commits, idle.commits if idle else 0.0),
            less(self.log_bytes, before.log_bytes, idle.log_bytes if idle else 0.0),
            self.storage_bytes - before.storage_bytes,
            {name: value - before.calls.get(name, 0) for name, value in self.calls.items()},
        )


def group(command: str) -> str | None:
    """The kind of process with this command line; None for one that is none of ours."""
    for pattern, name in GROUPS.items():
        if found := re.search(pattern, command):
            return found.expand(name)
    return None


def cpu_seconds(parent: psutil.Process) -> dict[str, float]:
    """Of each kind of process from `parent` on, with those of its children that have ended."""
    spent: Counter[str] = Counter()
    for process in [parent, *parent.children(recursive=True)]:
        try:
            name = group(" ".join(process.cmdline()) or process.name())
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        if name is not None:
            spent[name] += times.user + times.system + times.children_user + times.children_system  # type: ignore[assignment]
    return dict(spent)


def model_calls(address: str) -> dict[str, int]:
    """Rows that each model has computed so far."""
    with triton.InferenceServerClient(address) as client:
        stats = client.get_inference_statistics(as_json=True)["model_stats"]
    return {each["name"]: int(each.get("inference_count", 0)) for each in stats if each["name"] in MODELS}


async def look(engine: AsyncEngine, data: Path, model_address: str) -> Seen:
    """Everything, now. `data` is the data folder."""
    async with engine.connect() as connection:
        commits = await connection.scalar(WRITES)
        log = await connection.scalar(sa.text("select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')"))
    files = sum(path.stat().st_size for path in (data / "storage").rglob("*") if path.is_file())
    calls = await asyncio.to_thread(model_calls, model_address)
    database = psutil.Process(int((data / "postgres" / "postmaster.pid").read_text().split()[0]))
    cpu_s = cpu_seconds(psutil.Process()) | {"database": cpu_seconds(database).get("database", 0.0)}
    return Seen(cpu_s, float(commits or 0), float(log or 0), float(files), calls)


async def commits_per_second(engine: AsyncEngine) -> float:
    """Rows inserted and committed one by one from CONNECTIONS connections, over DATABASE_S."""
    async with engine.begin() as connection:
        await connection.execute(sa.text("create table scaling_probe (id bigserial primary key, payload text)"))
    done = 0
    until = time.monotonic() + DATABASE_S

    async def insert() -> None:
        nonlocal done
        async with engine.connect() as connection:
            while time.monotonic() < until:
                await connection.execute(sa.text("insert into scaling_probe (payload) values (repeat('x', 500))"))
                await connection.commit()
                done += 1

    await asyncio.gather(*(insert() for _ in range(CONNECTIONS)))
    async with engine.begin() as connection:
        await connection.execute(sa.text("drop table scaling_probe"))
    return done / DATABASE_S


def disk_bytes_per_second(folder: Path) -> float:
    """Written to a file and flushed to the disk."""
    piece = os.urandom(PIECE_BYTES)
    path = folder / "scaling-probe"
    began = time.monotonic()
    with path.open("wb") as file:
        for _ in range(DISK_BYTES // PIECE_BYTES):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    took = time.monotonic() - began
    path.unlink()
    return DISK_BYTES / took


async def measure(idle_s: float, jobs: int, scratch: Path) -> dict[str, Any]:
    """Everything that is measured."""
    settings = Settings(data_dir=scratch / "data")
    data = settings.data_dir
    async with (
        up(settings, private=True, say=print) as address,
        Client(address.api_url, address.token) as client,
        Inference(address.model_address) as models,
    ):
        minute = await build(models, RESULTS / "minute.mp4")
        engine = make_engine(address.database_url)

        async def dub(path: Path) -> str:
            media = await client.upload(path)
            wish = {"kind": "video_translation", "media_id": media["id"], "target_languages": ["es"]}
            job = await client.start(wish)
            async for _ in client.follow(job["id"]):
                pass
            return str((await client.job(job["id"]))["status"])

        await dub(SAMPLE)  # warms up
        before = await look(engine, data, address.model_address)
        began = time.monotonic()
        await asyncio.sleep(idle_s)
        idle = (await look(engine, data, address.model_address)).since(before)
        idle_took = time.monotonic() - began
        before = await look(engine, data, address.model_address)
        began = time.monotonic()
        for _ in range(jobs):
            status = await dub(minute)
            if status != "completed":
                raise RuntimeError(f"the job ended as {status}")
        took = time.monotonic() - began
        spent = (await look(engine, data, address.model_address)).since(before, idle, took / idle_took)
        minutes = jobs * SECONDS / 60
        found = {
            "minutes": minutes,
            "job_s": took / jobs,
            "per_minute": {
                "cpu_s": {name: value / minutes for name, value in sorted(spent.cpu_s.items())},
                "commits": spent.commits / minutes,
                "log_bytes": spent.log_bytes / minutes,
                "storage_bytes": spent.storage_bytes / minutes,
                "rows": {name: value / minutes for name, value in spent.calls.items()},
            },
            "idle_per_second": {
                name: value / idle_took if isinstance(value, float) else value
                for name, value in asdict(idle).items()
                if name in {"commits", "log_bytes"}
            },
            "commits_per_second": await commits_per_second(engine),
            "disk_bytes_per_second": await asyncio.to_thread(disk_bytes_per_second, scratch),
        }
        await engine.dispose()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--idle", type=float, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    command = f"python -m benchmarks.scaling.measure --idle {options.idle:g} --jobs {options.jobs}"
    with tempfile.TemporaryDirectory(prefix="octavia-measure-") as folder:
        Path(folder).chmod(0o755)
        found = asyncio.run(measure(options.idle, options.jobs, Path(folder)))
    result = {"machine": machine(), "command": command, "weights": os.environ.get("OCTAVIA_WEIGHTS", "auto"), **found}
    MEASURED.write_text(json.dumps(result, indent=1), encoding="utf-8")
    print(json.dumps(result, indent=1))
    print(MEASURED)


if __name__ == "__main__":
    main()
