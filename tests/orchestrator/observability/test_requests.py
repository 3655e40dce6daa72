"""Requests are counted by route, whatever is asked for, and each is a span that tells no secrets."""

from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from orchestrator.observability import metrics
from tests.orchestrator.observability.spans import Spans

pytestmark = pytest.mark.anyio


def counted(method: str, route: str, status: int) -> float:
    labels = {"method": method, "route": route, "status": str(status)}
    return metrics.REGISTRY.get_sample_value("octavia_http_requests_total", labels) or 0.0


@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [
        ("GET", "/v1/jobs/00000000-0000-4000-8000-000000000000", "/v1/jobs/{job_id}", 404),
        ("GET", "/v1/jobs/not-an-id", "/v1/jobs/{job_id}", 422),
        ("PUT", "/v1/me", "/v1/me", 405),
        ("GET", "/nowhere/00000000-0000-4000-8000-000000000000", "none", 404),
        ("GET", "/healthz", "/healthz", 200),
    ],
)
async def test_a_request_is_counted_by_its_route_never_by_its_path(
    client: httpx.AsyncClient, method: str, path: str, route: str, status: int
) -> None:
    before = counted(method, route, status)
    assert (await client.request(method, path)).status_code == status
    assert counted(method, route, status) == before + 1


async def test_a_made_up_method_makes_no_series_of_its_own(client: httpx.AsyncClient) -> None:
    before = counted("other", "/healthz", 405)
    await client.request("BREW", "/healthz")
    assert counted("other", "/healthz", 405) == before + 1


async def test_an_upload_by_an_overridden_method_is_counted_by_its_route(client: httpx.AsyncClient) -> None:
    """The scope is copied on its way there."""
    route = "/v1/uploads/{upload_id}"
    headers = {"X-HTTP-Method-Override": "DELETE", "Tus-Resumable": "1.0.0"}
    answer = await client.post(f"/v1/uploads/{uuid4()}", headers=headers)
    assert answer.status_code == 404
    assert counted("POST", route, 404) == 1


async def test_a_failure_of_ours_counts_as_one(application: FastAPI, client: httpx.AsyncClient) -> None:
    @application.get("/broken")
    async def broken() -> None:
        raise RuntimeError

    before = counted("GET", "/broken", 500)
    assert (await client.get("/broken")).status_code == 500
    assert counted("GET", "/broken", 500) == before + 1


async def test_bytes_of_uploads_are_counted(client: httpx.AsyncClient) -> None:
    before = metrics.REGISTRY.get_sample_value("octavia_upload_bytes_total") or 0.0
    await client.post("/v1/media", files={"file": ("a.srt", b"1\n00:00:01,000 --> 00:00:02,000\nHi\n")})
    assert metrics.REGISTRY.get_sample_value("octavia_upload_bytes_total") == before + 35


async def test_a_request_is_a_span_of_the_callers_trace(client: httpx.AsyncClient, spans: Spans) -> None:
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    await client.get("/v1/credits?token=secret", headers={"traceparent": f"00-{trace}-{parent}-01"})
    (seen,) = spans.named("GET /v1/credits")
    assert (seen.trace, seen.parent) == (trace, parent)
    assert seen.attributes == {
        "http.request.method": "GET",
        "http.route": "/v1/credits",
        "http.response.status_code": 200,
    }


@pytest.mark.parametrize("given", ["", "nonsense", "00-0-0-01", "00-" + "0" * 32 + "-b7ad6b7169203331-01", "\x00"])
async def test_a_traceparent_that_is_none_is_passed_over(client: httpx.AsyncClient, spans: Spans, given: str) -> None:
    assert (await client.get("/v1/credits", headers={"traceparent": given})).status_code == 200
    (seen,) = spans.named("GET /v1/credits")
    assert seen.parent is None
