"""One job from the command line: upload, follow under a bar per stage, fetch what it produced."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from orchestrator.errors import OctaviaError
from orchestrator.local import show
from orchestrator.local.client import Client

LONGEST_NAME = 255
"""Bytes of a file's name on every common file system."""
CANCEL_S = 10.0
DUBS = {"video": "video_translation", "audio": "audio_translation", "subtitles": "subtitle_to_audio"}
"""The kind of job that speaks what a file says."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asked for. `kind` None: the dub of what the file is; `suffixes` None: every artifact.

    Options that are None are left to the API.
    """

    file: Path
    out: Path
    kind: str | None = None
    to: str | None = None
    source: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    suffixes: frozenset[str] | None = None

    def request(self, media: dict[str, Any]) -> dict[str, Any]:
        """The job's request body for the uploaded file."""
        options = {name: value for name, value in self.options.items() if value is not None}
        return {
            "media_id": media["id"],
            "kind": self.kind or DUBS[media["kind"]],
            "target_languages": [self.to] if self.to else [],
            "source_language": self.source,
            **({"options": options} if options else {}),
        }

    def stages(self) -> tuple[str, ...]:
        """The bars to show."""
        left_out = {"synthesizing"} if self.kind in ("subtitles", "subtitle_translation") else set()
        left_out |= {"transcribing"} if self.kind in ("subtitle_translation", "subtitle_to_audio") else set()
        left_out |= set() if self.to else {"translating"}
        return tuple(stage for stage in show.BARS if stage not in left_out)


async def perform(client: Client, console: Console, wish: Wish) -> None:
    """Run the wish to its end and show the results. Raises OctaviaError with the job's own words when it failed."""
    wish.out.mkdir(parents=True, exist_ok=True)
    with show.StageBars(console, wish.stages()) as bars:
        media = await _upload(client, wish.file, bars)
        job = await client.start(wish.request(media))
        bars.begin("extracting")
        try:
            async for event in client.follow(job["id"]):
                bars.counts(event.get("counts", {}))
        except asyncio.CancelledError:
            await _cancel(client, job["id"])
            raise
    job = await client.job(job["id"])
    if job["status"] != "completed":
        reason = job["error"] or {"code": "cancelled", "message": "The job was cancelled."}
        raise OctaviaError(reason["code"], reason["message"], 422)
    files = await _fetch(client, job, wish)
    reports = [json.loads(path.read_text()) for name, path in files.items() if is_report(name, ".json")]
    show.results(console, files, reports, job)


async def _upload(client: Client, file: Path, bars: show.StageBars) -> dict[str, Any]:
    size, sent = file.stat().st_size, 0

    def uploaded(count: int) -> None:
        nonlocal sent
        sent += count
        bars.update("uploading", sent, size)

    return await client.upload(file, uploaded)


async def _cancel(client: Client, job_id: str) -> None:
    """The user is leaving: a system that does not answer any more keeps nobody waiting."""
    with suppress(httpx.HTTPError, OctaviaError, TimeoutError):
        async with asyncio.timeout(CANCEL_S):
            await client.cancel(job_id)


async def _fetch(client: Client, job: dict[str, Any], wish: Wish) -> dict[str, Path]:
    names = [each["name"] for each in job["artifacts"]]
    chosen = [name for name in names if wish.suffixes is None or Path(name).suffix in wish.suffixes]
    return {
        name: await client.download(job["id"], name, wish.out / result_name(wish.file.stem, name)) for name in chosen
    }


def is_report(artifact: str, suffix: str) -> bool:
    """Whether this is a quality report of that form."""
    return artifact.startswith("quality.") and artifact.endswith(suffix)


def result_name(stem: str, artifact: str) -> str:
    """`stem.artifact`; a stem too long for that, or for a partial download of that name, is cut between characters."""
    room = LONGEST_NAME - len(f".{artifact}.part".encode())
    return f"{stem.encode()[:room].decode(errors='ignore')}.{artifact}"
