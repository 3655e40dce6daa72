"""Accounts and credits under requests generated from their OpenAPI document: no 5xx, no undocumented answer."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks as openapi

from tests.fixtures_control_plane import Bearer, MakeUser

pytestmark = pytest.mark.anyio

ROUTES = re.compile(r"^/v1/(auth|me|credits)(/|$)")
FEW, MANY = 6, 200
CHECKS = [
    not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_schema_conformance,
]


def fuzz(url: str, headers: list[dict[str, str]], examples: int) -> Counter[int]:
    """Calls every one of these routes `examples` times with a login of its own; how often each status was answered."""
    answered: Counter[int] = Counter()
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json").include(path_regex=ROUTES.pattern)
    limits = settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        login = headers.pop()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            with suppress(Unsatisfiable):  # no wrong request is possible where nothing is asked for
                cases = found.ok().as_strategy(generation_mode=mode)
                limits(given(case=cases)(_call(url, login, answered)))()
    return answered


def _call(url: str, login: dict[str, str], answered: Counter[int]) -> Callable[[Any], None]:
    def run(case: Any) -> None:
        response = case.call(base_url=url, headers=login)
        case.validate_response(response, checks=CHECKS)
        answered[response.status_code] += 1

    return run


async def fuzzed(url: str, bearer: Bearer, make_user: MakeUser, examples: int) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
    operations = [(path, method) for path in paths if ROUTES.match(path) for method in paths[path]]
    headers = [await bearer(await make_user(f"user{number}@example.org")) for number in range(len(operations))]
    answered = await asyncio.to_thread(fuzz, url, headers, examples)
    assert {200, 202, 422} <= set(answered), answered


async def test_generated_requests_get_documented_answers(server: str, bearer: Bearer, make_user: MakeUser) -> None:
    await fuzzed(server, bearer, make_user, FEW)


BROKEN = {
    "no UTF-8": (b'{"email": "\xff"}', 400),
    "no JSON": (b"{", 422),
    "nested without end": (b"[" * 20_000, 400),
    "a number without end": (b'{"email": ' + b"1" * 10_000 + b"}", 400),
    "too many fields": (b"{" + b",".join(b'"%d": 1' % number for number in range(20_000)) + b"}", 413),
    "too large": (b'{"email": "' + b"x" * 2_000_000 + b'"}', 413),
}


@pytest.mark.parametrize("kind", BROKEN)
async def test_a_broken_body_is_refused_with_a_documented_status(client: httpx.AsyncClient, kind: str) -> None:
    content, status = BROKEN[kind]
    paths = (await client.get("/openapi.json")).json()["paths"]
    asked = 0
    for path, methods in paths.items():
        for method, operation in methods.items():
            if ROUTES.match(path) and "requestBody" in operation:
                headers = {"Content-Type": "application/json"}
                answer = await client.request(method, path, content=content, headers=headers)
                assert answer.status_code == status, f"{method} {path}"
                assert str(status) in operation["responses"], f"{method} {path}"
                assert len(answer.content) < 10_000
                asked += 1
    assert asked == 13


@pytest.mark.soak
async def test_thousands_of_generated_requests_get_documented_answers(
    server: str, bearer: Bearer, make_user: MakeUser
) -> None:
    await fuzzed(server, bearer, make_user, MANY)
