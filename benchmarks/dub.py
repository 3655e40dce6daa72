"""A warm one-minute dub against the script a user would write: `make bench`.

Both get the same video and weights, runs are interleaved, model loads are excluded, and neither reads its dub back.
Ours is timed as a user sees it: from the first byte uploaded to the last byte of the dub downloaded.

    python -m benchmarks.dub [--runs 5] [--json FILE]
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from benchmarks.measurements import Measurement, add_json_option, times_faster, write
from benchmarks.minute import SECONDS, build
from benchmarks.stages import STEPS as SPANS
from benchmarks.stages import shares
from orchestrator.database import make_engine
from orchestrator.inference import Inference
from orchestrator.local.client import Client
from orchestrator.local.up import up
from orchestrator.settings import get_settings

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
TARGET = "es"
STEPS = sa.text(
    "select function_name as step, count(*) as calls,"
    " sum(completed_at_epoch_ms - started_at_epoch_ms) / 1000.0 as seconds,"
    " min(started_at_epoch_ms) as first, max(completed_at_epoch_ms) as last"
    " from dbos.operation_outputs where workflow_uuid like :job || '%' and completed_at_epoch_ms is not null"
    " and function_name not like 'DBOS.%' group by 1 order by first"
)
ONSET_RATE = 16_000
AUDIBLE = 0.01
console = Console(width=120)


class NaiveProcess:
    """`benchmarks.naive` in a process of its own, its models loaded."""

    def __init__(self, weights: list[str]) -> None:
        environment = {**os.environ}
        environment.pop("OMP_NUM_THREADS", None)  # a user's script takes the libraries' defaults
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.naive", *weights],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def dub(self, video: Path, out: Path) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"video": str(video), "out": str(out)}) + "\n")
        self._process.stdin.flush()
        return dict(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


async def ours(client: Client, video: Path, out: Path) -> dict[str, Any]:
    """One dub through the API; wall seconds and the finished job."""
    started = time.perf_counter()
    media = await client.upload(video)
    wish = {"kind": "video_translation", "media_id": media["id"], "target_languages": [TARGET]}
    job = await client.start({**wish, "options": {"read_back": False}})
    async for event in client.follow(job["id"]):
        last = event
    await client.download(job["id"], f"{TARGET}.mp4", out / "octavia.mp4")
    return {"total": time.perf_counter() - started, "job": job["id"], "status": last["type"]}


def starter_weights() -> list[str]:
    """Folders of Whisper, the Marian model as transformers reads it, and the voice: the same weights as ours."""
    command = [sys.executable, "-m", "serve.weights", "pull", "whisper-base", "en-joe"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    folders = dict(line.split("\t") for line in output.splitlines())
    return [folders["whisper-base"], str(ROOT / "model_repo/starter/opus-mt-en-es"), folders["en-joe"]]


def peak_memory(parent: psutil.Process) -> dict[str, int]:
    """Peak resident memory (VmHWM, MiB) of each living descendant, by name."""
    peaks: dict[str, int] = {}
    for process in parent.children(recursive=True):
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
            name = " ".join(process.cmdline()[:4])[-60:]
        except (OSError, psutil.Error):
            continue
        line = next((line for line in status.splitlines() if line.startswith("VmHWM")), None)
        if line:
            peaks[f"{process.pid} {name}"] = int(line.split()[1]) // 1024
    return peaks


async def measure(runs: int, scratch: Path) -> dict[str, Any]:
    settings = get_settings()
    async with (
        up(settings, private=True, say=lambda part: console.print(f"[dim]{part} …[/dim]")) as address,
        Client(address.api_url, address.token) as client,
        Inference(address.model_address) as models,
    ):
        video = await build(models, RESULTS / "minute.mp4")
        naive = NaiveProcess(starter_weights())
        try:
            figures: dict[str, list[Any]] = {"octavia": [], "naive": []}
            for run in range(runs + 1):  # the first run of each warms up and is not counted
                mine = await ours(client, video, scratch)
                theirs = await asyncio.to_thread(naive.dub, video, scratch / f"naive{run}")
                console.print(f"run {run}: octavia {mine['total']:.2f} s, naive {theirs['total']:.2f} s")
                if run:
                    figures["octavia"].append(mine)
                    figures["naive"].append(theirs)
        finally:
            naive.close()
        job = figures["octavia"][-1]["job"]
        segments = await client.segments(job)
        engine = make_engine(address.database_url)
        async with engine.connect() as connection:
            steps = [dict(row._mapping) for row in await connection.execute(STEPS, {"job": job})]
            for run in figures["octavia"]:
                spans = [tuple(row) for row in await connection.execute(SPANS, {"job": run["job"]})]
                run["seconds"] = by_step(spans, run["total"])
        await engine.dispose()
        return {
            **figures,
            "steps": steps,
            "segments": segments,
            "onset_errors": onset_errors(scratch / "octavia.mp4", segments),
            "memory": peak_memory(psutil.Process()),
        }


def onset_errors(dub: Path, segments: list[dict[str, Any]]) -> list[float]:
    """For each segment the seconds between its onset in the original and the first sound from there in the dub."""
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-i", str(dub), "-map", "0:a:0", "-ac", "1"]
    command += ["-ar", str(ONSET_RATE), "-f", "f32le", "-"]
    level = np.abs(np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout, np.float32))
    errors = []
    for segment in segments:
        start = max(0, round((segment["start"] - 0.1) * ONSET_RATE))
        loud = np.flatnonzero(level[start:] > AUDIBLE)
        errors.append(abs((start + int(loud[0])) / ONSET_RATE - segment["start"]) if len(loud) else float("inf"))
    return errors


def by_step(spans: Sequence[tuple[str, int, int]], total: float) -> dict[str, float]:
    """Wall seconds by step, those of several at once divided among them; the rest is upload, queue and download."""
    steps = [span for span in spans if not span[0].startswith("DBOS.")]
    edges = sorted({edge for _, began, ended in steps for edge in (began, ended)})
    busy = sum(b - a for a, b in pairwise(edges) if any(s <= a and e >= b for _, s, e in steps)) / 1000
    found = {step: percent / 100 * busy for step, percent in shares(steps).items()}
    return {**found, "upload, queue, download": total - busy}


def measurements(figures: dict[str, Any]) -> list[Measurement]:
    """Seconds of video a second, the ratio to the script by run, memory, onsets, and where the time goes."""
    mine, theirs = ([run["total"] for run in figures[name]] for name in ("octavia", "naive"))
    made = [
        Measurement(
            name=f"{name}: video dubbed",
            unit="video s/s",
            better="higher",
            values=tuple(SECONDS / each for each in totals),
            section="end to end" if name == "octavia" else "peers",
            note="a one-minute video, upload to download, not read back" if name == "octavia" else "a one-minute video",
        )
        for name, totals in (("octavia", mine), ("naive script", theirs))
    ]
    made.append(times_faster("octavia against the naive script", theirs, mine))
    off = figures["onset_errors"]
    note = f"the largest of {len(off)} sentences, last run"
    made.append(
        Measurement(name="onsets off by", unit="s", better="lower", values=(max(off),), section="end to end", note=note)
    )
    for name, bar in (("octavia", "octavia"), ("naive", "naive script")):
        runs = [run["seconds"] for run in figures[name]]
        for step in dict.fromkeys(step for run in runs for step in run):
            values = tuple(run.get(step, 0.0) for run in runs)
            made.append(
                Measurement(
                    name=f"{bar}: {step}",
                    unit="s",
                    better="lower",
                    values=values,
                    section="where the time goes",
                    at={"picture": "a one-minute dub", "bar": bar, "step": step},
                )
            )
    return made


def report(figures: dict[str, Any]) -> None:
    mine = [run["total"] for run in figures["octavia"]]
    theirs = [run["total"] for run in figures["naive"]]
    ratios = [b / a for a, b in zip(mine, theirs, strict=True)]
    table = Table(
        title=f"A one-minute dub, warm, seconds ({platform.processor() or platform.machine()}, {os.cpu_count()} cores)"
    )
    for column in ("", "median", "min", "max"):
        table.add_column(column)
    for name, values in (("octavia", mine), ("naive script", theirs), ("times faster", ratios)):
        table.add_row(name, *(f"{pick(values):.2f}" for pick in (statistics.median, min, max)))
    console.print(table)

    where = Table(title="Where ours goes (steps overlap; last run)")
    for column in ("step", "calls", "seconds in all", "from", "to"):
        where.add_column(column)
    zero = figures["steps"][0]["first"]
    for step in figures["steps"]:
        span = [f"{(step[edge] - zero) / 1000:.2f}" for edge in ("first", "last")]
        where.add_row(step["step"], str(step["calls"]), f"{step['seconds']:.2f}", *span)
    console.print(where)
    naive = figures["naive"][-1]
    console.print("Where the script's goes:", {name: round(value, 2) for name, value in naive["seconds"].items()})

    errors = figures["onset_errors"]
    console.print(f"Onsets: octavia {len(errors)} segments, heard in the dub {max(errors):.2f} s off at the most")
    first = figures["segments"][0]["start"]
    last = figures["segments"][-1]["start"]
    off = [naive["onsets"][0] - first, naive["onsets"][-1] - last]
    console.print(f"Onsets: the script starts its first sentence {off[0]:+.1f} s off, its last {off[1]:+.1f} s")
    console.print("Peak memory, MiB:", {"naive script": naive["peak_rss_mib"], **figures["memory"]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    add_json_option(parser)
    arguments = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        figures = asyncio.run(measure(arguments.runs, Path(scratch)))
    (RESULTS / "dub.json").write_text(json.dumps(figures, indent=1, default=float))
    report(figures)
    write(arguments.json, measurements(figures))


if __name__ == "__main__":
    main()
