"""A job as the frontend reads it: one shape for every route, with each field under every name some page gives it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.dubbing.segments import PASSAGE_S
from orchestrator.jobs import messages
from orchestrator.jobs.models import Artifact, Job, JobEvent
from orchestrator.media.models import Media
from orchestrator.octavia_web.orders import PROJECT
from orchestrator.octavia_web.vocabulary import (
    ABSOLUTE,
    DOWNLOADS,
    MAIN_ARTIFACTS,
    TYPES,
    shown_progress,
    shown_status,
)

COUNTED = ("synthesizing", "translating", "transcribing")
"""Stages whose units pages call chunks and segments: the first of which there are any."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A job and what is told with it. `base` is the server's address for links that must name it."""

    job: Job
    media: Media
    artifacts: Sequence[Artifact]
    base: str
    log: Sequence[JobEvent] = ()


def job_view(shown: Shown) -> dict[str, Any]:
    job = shown.job
    said = messages.of_job(job.status, job.message, job.error)
    done, expected = next((count for stage in COUNTED if (count := job.counts.get(stage, [0, 0]))[1]), [0, 0])
    language = job.target_languages[0] if job.target_languages else job.source_language or job.detected_language
    file = main_artifact(job, shown.artifacts)
    there = job.status == "completed" and job.available
    return {
        "id": job.id,
        "job_id": job.id,
        "type": TYPES[job.kind],
        "status": shown_status(job.kind, job.status),
        "progress": 100 if job.status == "completed" else shown_progress(job.kind, job.progress),
        "status_message": said,
        "message": said,
        "error": job.error["message"] if job.error else None,
        "download_url": download_url(job, shown.base) if there else None,
        "output_path": str(job.id) if there else None,
        "source_language": job.source_language or job.detected_language or "auto",
        "target_language": language or "auto",
        "language": language or "auto",
        "original_filename": shown.media.filename,
        "format": file.name.rpartition(".")[2] if file else None,
        "total_chunks": expected,
        "processed_chunks": done,
        "chunks_processed": done,
        "chunk_size": PASSAGE_S,
        "available_chunks": [],
        "segment_count": expected,
        "logs": [_line(event) for event in shown.log],
        "project_id": job.options.get(PROJECT),
        "created_at": job.created_at,
        "completed_at": job.finished_at,
        "processing_time_seconds": _seconds(job),
    }


def _line(event: JobEvent) -> dict[str, Any]:
    """A line of the log; pages cut it at a hyphen between spaces."""
    return {"timestamp": event.at, "message": messages.of_event(event.type, event.data).replace(" - ", " \N{EN DASH} ")}


def download_url(job: Job, base: str) -> str:
    path = DOWNLOADS[job.kind].format(id=job.id)
    return f"{base}{path}" if job.kind in ABSOLUTE else path


def main_artifact(job: Job, artifacts: Sequence[Artifact], wanted: Sequence[str] | None = None) -> Artifact | None:
    """The file a page means by the job's result: of the first target language, else of the original.

    `wanted`: kinds of artifact, the first that is there counts; the job's own main kind when left out.
    """
    first = job.target_languages[0] if job.target_languages else None
    for kind in wanted or MAIN_ARTIFACTS[job.kind]:
        files = [file for file in artifacts if file.kind == kind]
        ours = [file for file in files if file.language == first] or files
        if ours:
            return min(ours, key=lambda file: _FORMATS.get(file.name.rpartition(".")[2], len(_FORMATS)))
    return None


_FORMATS = {name: place for place, name in enumerate(("mp4", "mp3", "srt", "wav", "vtt", "ass"))}
"""Of several files of one kind and language the first in this order."""


def _seconds(job: Job) -> float:
    if job.started_at is None or job.finished_at is None:
        return 0.0
    return round((job.finished_at - job.started_at).total_seconds(), 1)
