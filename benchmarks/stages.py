"""Where a job's time goes, and how well the time it still takes is foretold.

For jobs of each kind on the sample and on longer files: the share of the wall time of each stage, seconds in which
several steps ran divided among them, beside the weight it has in the percentage; and at some percentages what the job
said it would still take, beside what it took.

    python -m benchmarks.stages [--minutes 6] [--runs 2] [--json FILE]
"""

import argparse
import asyncio
import subprocess
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.machine import machine
from benchmarks.measurements import Measurement, add_json_option, write
from benchmarks.minute import SAMPLE, build
from orchestrator.database import make_engine
from orchestrator.inference import Inference
from orchestrator.jobs.advance import WEIGHTS
from orchestrator.local.client import Client
from orchestrator.local.up import up
from orchestrator.settings import Settings

RESULTS = Path(__file__).parent / "results"
KINDS = ("video_translation", "audio_translation", "subtitles")
AT = (10, 25, 50, 80, 90)
STAGES: Mapping[str, str] = {
    "extract": "extracting",
    "listen": "extracting",
    "detect": "transcribing",
    "transcribe": "transcribing",
    "segment": "transcribing",
    "check_route": "translating",
    "translate": "translating",
    "speak": "synthesizing",
    "place": "merging",
    "write_subtitles": "merging",
    "render": "merging",
    "measure": "merging",
}
"""Of each durable step the stage it belongs to."""
STEPS = sa.text(
    "select function_name as step, started_at_epoch_ms as began, completed_at_epoch_ms as ended"
    " from dbos.operation_outputs where workflow_uuid like :job || '%' and completed_at_epoch_ms is not null"
)
console = Console(width=140)


def shares(steps: Sequence[tuple[str, int, int]]) -> Counter[str]:
    """Percent of the wall time by stage, from steps as (stage, began, ended)."""
    times = sorted({time for _, began, ended in steps for time in (began, ended)})
    spent: Counter[str] = Counter()
    for start, end in pairwise(times):
        at_work = [stage for stage, began, ended in steps if began <= start and ended >= end]
        for stage in at_work:
            spent[stage] += (end - start) / len(at_work)  # type: ignore[assignment]
    return Counter({stage: 100 * value / spent.total() for stage, value in spent.items()})


def foretold(events: Sequence[Mapping[str, Any]]) -> dict[int, tuple[float, float]]:
    """By percentage, seconds foretold at the first report from there on, and seconds it took."""
    end = datetime.fromisoformat(events[-1]["at"])
    found = {}
    for percent in AT:
        for event in events:
            if event.get("progress", 0) >= percent and event.get("estimated_finish_at"):
                at = datetime.fromisoformat(event["at"])
                finish = datetime.fromisoformat(event["estimated_finish_at"])
                found[percent] = ((finish - at).total_seconds(), (end - at).total_seconds())
                break
    return found


async def measure(client: Client, engine: AsyncEngine, media: str, kind: str) -> tuple[Counter[str], list[Any]]:
    """One job's shares and events."""
    job = await client.start({"kind": kind, "media_id": media, "target_languages": ["es"]})
    events = [event async for event in client.follow(job["id"])]
    async with engine.connect() as connection:
        rows = (await connection.execute(STEPS, {"job": job["id"]})).all()
    return shares([(STAGES[row.step], row.began, row.ended) for row in rows if row.step in STAGES]), events


async def run(minutes: int, runs: int, scratch: Path) -> list[Measurement]:
    """Every kind on every file, printed as a table; the wall seconds of each stage as measurements."""
    found: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    settings = Settings(data_dir=scratch / "data")
    async with (
        up(settings, private=True, say=lambda part: console.print(f"[dim]{part} …[/dim]")) as address,
        Client(address.api_url, address.token) as client,
        Inference(address.model_address) as models,
    ):
        minute = await build(models, RESULTS / "minute.mp4")
        files = {"sample": SAMPLE, "1 minute": minute}
        if minutes > 1:
            files[f"{minutes} minutes"] = await asyncio.to_thread(repeated, minute, minutes, scratch)
        engine = make_engine(address.database_url)
        uploaded = {name: (await client.upload(path))["id"] for name, path in files.items()}
        await measure(client, engine, uploaded["sample"], "video_translation")  # warms up
        table = Table(title="Percent of the wall time by stage (its weight), and seconds foretold / taken")
        for column in ("file", "kind", "seconds", *WEIGHTS[KINDS[0]], *(f"at {percent} %" for percent in AT)):
            table.add_column(column)
        for name, media in uploaded.items():
            for kind in KINDS:
                for _ in range(runs):
                    spent, events = await measure(client, engine, media, kind)
                    table.add_row(name, kind, *_row(kind, spent, events))
                    for stage in WEIGHTS[kind]:
                        found[name, kind, stage].append(spent[stage] / 100 * _seconds(events))
        await engine.dispose()
    console.print(table)
    console.print(machine())
    return [
        Measurement(
            name=f"{kind} of {name}: {stage}",
            unit="s",
            better="lower",
            values=tuple(percents),
            section="where the time goes",
            at={"picture": "jobs by stage", "bar": f"{kind} of {name}", "step": stage},
        )
        for (name, kind, stage), percents in found.items()
    ]


def _row(kind: str, spent: Counter[str], events: list[Any]) -> list[str]:
    told = foretold(events)
    return [
        f"{_seconds(events):.1f}",
        *(f"{spent[stage]:.1f} ({weight})" for stage, weight in WEIGHTS[kind].items()),
        *(f"{told[percent][0]:.1f} / {told[percent][1]:.1f}" if percent in told else "" for percent in AT),
    ]


def _seconds(events: list[Any]) -> float:
    began, ended = (datetime.fromisoformat(events[at]["at"]) for at in (0, -1))
    return (ended - began).total_seconds()


def repeated(video: Path, times: int, folder: Path) -> Path:
    """The video so many times after itself."""
    result = folder / f"{times}.mp4"
    command = ["ffmpeg", "-nostdin", "-v", "error", "-stream_loop", str(times - 1), "-i", str(video), "-c", "copy"]
    subprocess.run([*command, str(result)], check=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=6)
    parser.add_argument("--runs", type=int, default=2)
    add_json_option(parser)
    options = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="octavia-stages-") as folder:
        Path(folder).chmod(0o755)
        made = asyncio.run(run(options.minutes, options.runs, Path(folder)))
    write(options.json, made)


if __name__ == "__main__":
    main()
