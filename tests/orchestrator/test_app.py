"""The API as a whole: errors as problem documents, request ids, health, its description, an outage of the database."""

import asyncio
import io
import json
import logging
import time
from collections.abc import Iterator

import httpx
import pytest
import structlog
from fastapi import FastAPI

from orchestrator.database import EmbeddedPostgres
from orchestrator.logs import configure_logging
from orchestrator.settings import Settings

pytestmark = pytest.mark.anyio


async def test_health_answers_without_a_token(application: FastAPI) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://api") as client:
        for path in ("/healthz", "/readyz"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/v1/jobs/00000000-0000-4000-8000-000000000000", 404, "not_found"),
        ("PUT", "/v1/me", 405, "method_not_allowed"),
        ("GET", "/v1/jobs/not-an-id", 422, "invalid_request"),
        ("POST", "/v1/jobs", 422, "invalid_request"),
    ],
)
async def test_every_error_is_a_problem_document(
    client: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    answer = await client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["code"], problem["type"]) == (status, code, f"urn:octavia:problem:{code}")
    assert problem["title"]
    assert problem["detail"]
    assert problem["request_id"] == answer.headers["X-Request-Id"]


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"\xff\xfe", b'{"kind": 1e999}', b'{"kind": "\\ud800"}'])
async def test_a_body_that_is_no_request_is_refused(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422), answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_a_large_body_is_refused_however_it_is_sent(client: httpx.AsyncClient) -> None:
    for content_type in ("application/json", "multipart/form-data; boundary=x"):
        headers = {"Content-Type": content_type}
        answer = await client.post("/v1/jobs", content=b" " * 1_100_000, headers=headers)
        assert answer.status_code == 413


async def test_a_request_id_is_taken_over_if_it_is_a_plain_one(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz", headers={"X-Request-Id": "abc-1.2_3"})).headers["X-Request-Id"] == "abc-1.2_3"
    for bad in ("a b", "x" * 200, '"}'):
        assert (await client.get("/healthz", headers={"X-Request-Id": bad})).headers["X-Request-Id"] != bad


async def test_a_failure_of_ours_tells_nothing_internal(application: FastAPI, client: httpx.AsyncClient) -> None:
    @application.get("/broken")
    async def broken() -> None:
        raise RuntimeError("secret detail")

    answer = await client.get("/broken")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text
    assert answer.json()["request_id"] == answer.headers["X-Request-Id"]


async def test_the_description_names_every_answer(client: httpx.AsyncClient) -> None:
    schema = (await client.get("/openapi.json")).json()
    assert "Problem" in schema["components"]["schemas"]
    assert "HTTPValidationError" not in json.dumps(schema["paths"])
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            assert operation["description"], f"{method} {path} has no description"
            if path.startswith("/v1") and method != "options":  # which asks nobody
                assert "503" in operation["responses"], f"{method} {path}"
            status, success = next(each for each in operation["responses"].items() if each[0].startswith("2"))
            said = success.get("content") or success.get("headers")
            assert status == "204" or said, f"{method} {path} does not say what it answers"


async def test_while_the_database_is_away_the_answer_is_a_quick_503(
    postgres: EmbeddedPostgres, client: httpx.AsyncClient
) -> None:
    assert (await client.get("/v1/jobs")).status_code == 200
    await asyncio.to_thread(postgres.stop)
    try:
        started = time.monotonic()
        for method, path in (("GET", "/v1/jobs"), ("GET", "/readyz"), ("POST", "/v1/auth/login")):
            answer = await client.request(method, path, json={"email": "a@b.c", "password": "x"})
            assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
            assert answer.headers["Retry-After"] == "5"
        assert (await client.get("/healthz")).status_code == 200
        assert time.monotonic() - started < 10, "an outage makes requests hang"
    finally:
        await asyncio.to_thread(postgres.start)
    assert (await client.get("/v1/jobs")).status_code == 200


@pytest.fixture
def log_lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What the configured log writes; the suite's own logging is put back afterwards."""
    root = logging.getLogger()
    handlers, level, before = root.handlers[:], root.level, structlog.get_config()
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    configure_logging(Settings(log_format="json"))
    yield written
    root.handlers, root.level = handlers, level
    structlog.configure(**before)


@pytest.mark.usefixtures("log_lines")
def test_a_traceback_on_a_terminal_shows_no_variables(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_format="console"))
    heard = "".join(["my ", "diary"])
    try:
        heard.index("nothing")
    except ValueError:
        structlog.get_logger("y").exception("failed")
    said = capsys.readouterr().err
    assert "ValueError: substring not found" in said
    assert "my diary" not in said


def test_a_log_line_is_json_with_its_context(log_lines: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        structlog.get_logger("x").info("took a job", job_id="j-1")
        logging.getLogger("library").warning("old %s", "style")
    ours, theirs = (json.loads(line) for line in log_lines.getvalue().splitlines())
    assert (ours["event"], ours["job_id"], ours["request_id"], ours["level"]) == ("took a job", "j-1", "r-1", "info")
    assert (theirs["event"], theirs["logger"], theirs["level"]) == ("old style", "library", "warning")


async def test_neither_token_nor_password_is_logged(log_lines: io.StringIO, client: httpx.AsyncClient) -> None:
    await client.post("/v1/auth/login", json={"email": "a@b.c", "password": "hunter2 hunter2"})
    await client.get("/v1/me?token=abc.def.ghi")
    text = log_lines.getvalue()
    assert '"status": 401' in text
    for secret in ("hunter2", "abc.def.ghi", client.headers["Authorization"].removeprefix("Bearer ")):
        assert secret not in text
