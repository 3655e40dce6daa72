"""Following a job by server-sent events (WHATWG HTML, section 9.2), through every end of the stream but the job's."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import gevent
from geventhttpclient.response import HTTPParseError

from benchmarks.load.policy import RECONNECT_S
from benchmarks.load.profiles.user import OctaviaUser

NAME = "/v1/jobs/{id}/events"
DELAY = "event, from commit to receipt"
TERMINAL = ("completed", "failed", "cancelled")


class BrokenStreamError(Exception):
    """A stream was cut in the middle, or told something twice or too late."""


def follow(user: OctaviaUser, job_id: str) -> str:
    """The type of the event that ended the job.

    A stream that ends whole is opened again and counts as repeated; one that is cut counts as failed, and is opened
    again too. An event's delay counts by the clocks of both machines, and not where it happened before the stream.
    """
    last, pause = 0, RECONNECT_S
    while True:
        opened = datetime.now(UTC)
        given = {"Last-Event-ID": str(last)} if last else {}
        answer = user.call(
            "GET",
            f"/v1/jobs/{job_id}/events",
            name=NAME,
            expect=(200, 204),
            stream=True,
            headers={**user.bearer(), **given, "Accept-Encoding": "identity"},
        )
        if answer.status_code == 204:
            return "completed"
        try:
            for fields in _events(answer):
                pause = float(fields["retry"]) / 1e3 if "retry" in fields else pause
                if "data" not in fields or fields.get("event") == "expired":
                    continue
                told, last = json.loads(fields["data"]), _next(int(fields["id"]), last)
                at = datetime.fromisoformat(told["at"])
                if at > opened:
                    user.report("EVENT", DELAY, (datetime.now(UTC) - at).total_seconds() * 1e3)
                if fields["event"] in TERMINAL:
                    return fields["event"]
        except (OSError, HTTPParseError, BrokenStreamError) as error:
            user.report("STREAM", NAME, 0.0, BrokenStreamError(f"cut: {type(error).__name__}: {error}"))
        finally:
            answer._response.release()
        user.count_repeat(NAME)
        gevent.sleep(pause)


def _next(position: int, last: int) -> int:
    if position <= last:
        raise BrokenStreamError(f"event {position} came after {last}")
    return position


def _events(answer: Any) -> Iterator[dict[str, str]]:
    """The fields of each event until the stream ends whole. Raises OSError, HTTPParseError where it is cut."""
    fields: dict[str, str] = {}
    while line := answer._response.readline(b"\n"):
        text = line.decode().rstrip("\r\n")
        if not text:
            yield fields
            fields = {}
        elif not text.startswith(":"):
            name, _, value = text.partition(":")
            fields[name] = value.removeprefix(" ")
