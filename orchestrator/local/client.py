"""The command line's client of the HTTP API: upload, start, follow, download, as any program would."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import IO, Any, Self

import httpx
from uuid_utils.compat import uuid7

from orchestrator.errors import OctaviaError

TERMINAL = ("completed", "failed", "cancelled")


class ApiError(OctaviaError):
    """The API refused; its own words are passed on."""

    def __init__(self, response: httpx.Response) -> None:
        try:
            problem = response.json()
        except ValueError:
            problem = {}
        message = problem.get("detail") or f"the API answered {response.status_code}: {response.text[:200]}"
        super().__init__(problem.get("code", "api_error"), message, response.status_code)


class _Counting:
    """A file whose reads are reported, for the upload's progress bar."""

    def __init__(self, file: IO[bytes], read: Callable[[int], None]) -> None:
        self._file = file
        self._report = read

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._report(len(data))
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _new_trace() -> str:
    """A trace for all of a session's requests (W3C Trace Context), so that the upload and the job share one."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


class Client:
    """One session with the API at `url` under a bearer token."""

    def __init__(self, url: str, token: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {token}", "traceparent": _new_trace()},
            timeout=httpx.Timeout(60, read=600),
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def upload(self, path: Path, progress: Callable[[int], None] = lambda _: None) -> dict[str, Any]:
        """Store a file as media; `progress` is told the bytes of each piece sent."""
        with path.open("rb") as file:
            upload = {"file": (path.name, _Counting(file, progress), "application/octet-stream")}
            return await self._json("POST", "/v1/media", files=upload)

    async def start(self, body: dict[str, Any]) -> dict[str, Any]:
        """Create a job. The idempotency key makes a repeated send after a lost answer harmless."""
        return await self._json("POST", "/v1/jobs", json=body, headers={"Idempotency-Key": str(uuid7())})

    async def job(self, job_id: str) -> dict[str, Any]:
        return await self._json("GET", f"/v1/jobs/{job_id}")

    async def segments(self, job_id: str) -> list[dict[str, Any]]:
        return list((await self._json("GET", f"/v1/jobs/{job_id}/segments"))["items"])

    async def cancel(self, job_id: str) -> None:
        await self._json("POST", f"/v1/jobs/{job_id}/cancel")

    async def follow(self, job_id: str) -> AsyncIterator[dict[str, Any]]:
        """The job's events as they come until it ends, through lost connections."""
        last_id = ""
        failures = 0
        while True:
            try:
                headers = {"Last-Event-ID": last_id} if last_id else {}
                url = f"/v1/jobs/{job_id}/events"
                async with self._http.stream("GET", url, headers=headers, timeout=httpx.Timeout(30)) as response:
                    if response.is_error:
                        await response.aread()
                        raise ApiError(response)
                    async for event_id, event in _events(response):
                        last_id, failures = event_id, 0
                        yield event
                        if event["type"] in TERMINAL:
                            return
            except httpx.TransportError:
                failures += 1
                if failures > 60:
                    raise
                await asyncio.sleep(1)

    async def download(self, job_id: str, name: str, destination: Path) -> Path:
        """An artifact, written beside its final name and renamed when whole."""
        part = destination.with_name(destination.name + ".part")
        async with self._http.stream("GET", f"/v1/jobs/{job_id}/artifacts/{name}") as response:
            if response.is_error:
                await response.aread()
                raise ApiError(response)
            try:
                with part.open("wb") as file:
                    async for chunk in response.aiter_bytes():
                        file.write(chunk)
                return part.rename(destination)
            finally:
                part.unlink(missing_ok=True)

    async def _json(self, method: str, url: str, **options: Any) -> dict[str, Any]:
        response = await self._http.request(method, url, **options)
        if response.is_error:
            raise ApiError(response)
        return dict(response.json())


async def _events(response: httpx.Response) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Server-sent events (WHATWG HTML, section 9.2) as (id, {"type", …data})."""
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif "data" in fields:
            yield fields.get("id", ""), {"type": fields.get("event", "message"), **json.loads(fields["data"])}
            fields = {}
