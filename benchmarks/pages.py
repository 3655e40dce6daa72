"""How long the web frontend's pages wait, by their own calls: from the first byte uploaded to the last one downloaded.

1. A subtitle file of 500 cues, translated inside its request: the page gives up after 300 s.
2. Audio of one minute, dubbed: the page gives up after 10 minutes.
3. Subtitles of 20 cues, read aloud: the page gives up after 2 minutes.

    python -m benchmarks.pages [--runs 3] [--json FILE]
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from benchmarks.machine import RESULTS, machine
from benchmarks.measurements import Measurement, add_json_option, write
from benchmarks.minute import PHRASES, build
from orchestrator.inference import Inference
from orchestrator.local.up import up
from orchestrator.settings import Settings
from orchestrator.subtitles import clock

POLL_S = 2.0
"""As often as the pages ask."""
WANTED_S: Mapping[str, float] = {
    "500 cues translated": 60,
    "a minute of audio": 120,
    "20 cues read aloud": 60,
}
console = Console(width=120)


def subrip(cues: int, run: int) -> bytes:
    """So many cues of three seconds, of which no two runs have the same."""
    lines = [f"{PHRASES[at % len(PHRASES)][:-1]}, number {run * cues + at}." for at in range(cues)]
    return "\n".join(
        f"{at + 1}\n{clock.write(at * 3.0, ',')} --> {clock.write(at * 3.0 + 2.8, ',')}\n{line}\n"
        for at, line in enumerate(lines)
    ).encode()


async def started(client: httpx.AsyncClient, path: str, name: str, content: bytes, **fields: str) -> dict[str, Any]:
    answer = await client.post(path, files={"file": (name, content)}, data=fields)
    answer.raise_for_status()
    return dict(answer.json())


async def finished(client: httpx.AsyncClient, job: str, download: str) -> None:
    """Ask as a page does until the job has ended, then fetch its file."""
    while True:
        view = (await client.get(f"/api/translate/jobs/{job}/status")).raise_for_status().json()
        if view["status"] == "completed":
            break
        if view["status"] == "failed":
            raise RuntimeError(view["error"])
        await asyncio.sleep(POLL_S)
    (await client.get(download.format(id=job))).raise_for_status()


async def translate(client: httpx.AsyncClient, run: int) -> None:
    path = "/api/translate/subtitle-file?sourceLanguage=en&targetLanguage=es&format=srt"
    found = await started(client, path, "cues.srt", subrip(500, run))
    text = (await client.get(found["download_url"])).raise_for_status().text
    if text.count(" --> ") != 500:
        raise RuntimeError("not every cue came back")


async def dub(client: httpx.AsyncClient, audio: Path) -> None:
    fields = {"source_lang": "auto", "target_lang": "es"}
    found = await started(client, "/api/translate/audio", audio.name, audio.read_bytes(), **fields)
    await finished(client, found["job_id"], "/api/download/audio/{id}")


async def speak(client: httpx.AsyncClient, run: int) -> None:
    fields = {"source_language": "en", "target_language": "es", "output_format": "mp3"}
    found = await started(client, "/api/generate/subtitle-audio", "cues.srt", subrip(20, run), **fields)
    await finished(client, found["job_id"], "/api/download/subtitle-audio/{id}")


async def measure(runs: int, folder: Path) -> dict[str, list[float]]:
    os.environ |= {"OCTAVIA_DATA_DIR": str(folder), "OCTAVIA_DEMO_ACCOUNT": "true"}
    taken: dict[str, list[float]] = {name: [] for name in WANTED_S}
    async with (
        up(Settings(), private=True, say=lambda part: console.print(f"[dim]{part} …[/dim]")) as address,
        Inference(address.model_address) as models,
        httpx.AsyncClient(base_url=address.api_url, timeout=300, trust_env=False) as client,
    ):
        RESULTS.mkdir(parents=True, exist_ok=True)
        video = await build(models, RESULTS / "minute.mp4")
        audio = folder / "minute.mp3"
        command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(video), "-vn", str(audio)]
        await asyncio.to_thread(subprocess.run, command, check=True)
        entered = (await client.post("/api/auth/demo-login")).raise_for_status().json()
        client.headers["Authorization"] = f"Bearer {entered['token']}"
        for run in range(runs + 1):  # the first warms up and is not counted
            waits = (translate(client, run), dub(client, audio), speak(client, run))
            for name, wait in zip(WANTED_S, waits, strict=True):
                began = time.perf_counter()
                await wait
                if run:
                    taken[name].append(time.perf_counter() - began)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    add_json_option(parser)
    options = parser.parse_args()
    runs = options.runs
    with tempfile.TemporaryDirectory(prefix="octavia-pages-") as name:
        Path(name).chmod(0o755)
        taken = asyncio.run(measure(runs, Path(name)))
    table = Table(title=f"What a page waits for, seconds, {runs} runs")
    for column in ("", "median", "min", "max", "wanted"):
        table.add_column(column)
    for what, seconds in taken.items():
        found = (f"{pick(seconds):.1f}" for pick in (statistics.median, min, max))
        table.add_row(what, *found, f"< {WANTED_S[what]:g}")
    console.print(table)
    console.print(machine())
    write(
        options.json,
        [
            Measurement(name=what, unit="s", better="lower", values=tuple(seconds), section="end to end")
            for what, seconds in taken.items()
        ],
    )


if __name__ == "__main__":
    main()
