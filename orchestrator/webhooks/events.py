"""What endpoints are told: little more than ids; for the rest whoever reads it needs our API and a login. Pure."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, get_args
from uuid import UUID

Event = Literal["job.started", "job.completed", "job.failed", "job.cancelled"]
EVENTS: tuple[Event, ...] = get_args(Event)
PING = "webhook.ping"


def body(event: str, at: datetime, data: Mapping[str, Any]) -> str:
    """A payload as Standard Webhooks proposes it: type, time, data."""
    said = {"type": event, "timestamp": at.astimezone(UTC).isoformat(), "data": data}
    return json.dumps(said, separators=(",", ":"), ensure_ascii=False)


def of_job(job_id: UUID, kind: str, status: str, media_id: UUID, error_code: str | None) -> dict[str, Any]:
    """The data of a job's event; links are paths of our API."""
    data: dict[str, Any] = {"id": str(job_id), "kind": kind, "status": status, "media_id": str(media_id)}
    if error_code is not None:
        data["error"] = {"code": error_code}
    links = {"job": f"/v1/jobs/{job_id}"}
    if status == "completed":
        links["artifacts"] = f"/v1/jobs/{job_id}/artifacts"
    return data | {"links": links}
