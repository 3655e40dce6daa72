"""The account routes under requests generated from their own OpenAPI document: no 5xx, no undocumented answer."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks as openapi

from tests.fixtures_control_plane import Bearer, MakeUser

pytestmark = pytest.mark.anyio

ROUTES = re.compile(r"^/v1/(auth|me)(/|$)")
FEW, MANY = 8, 300
CHECKS = [
    not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_schema_conformance,
]


def fuzz(url: str, headers: list[dict[str, str]], examples: int) -> Counter[int]:
    """Calls every account route `examples` times with a login of its own; how often each status was answered."""
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
        cases = found.ok().as_strategy(generation_mode=GenerationMode.POSITIVE)
        limits(given(case=cases)(_call(url, headers.pop(), answered)))()
    return answered


def _call(url: str, login: dict[str, str], answered: Counter[int]) -> Callable[[Any], None]:
    def run(case: Any) -> None:
        response = case.call(base_url=url, headers=login)
        case.validate_response(response, checks=CHECKS)
        answered[response.status_code] += 1

    return run


async def fuzzed(url: str, bearer: Bearer, make_user: MakeUser, examples: int) -> None:
    async with httpx.AsyncClient(base_url=url) as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
    operations = [(path, method) for path in paths if ROUTES.match(path) for method in paths[path]]
    headers = [await bearer(await make_user(f"user{number}@example.org")) for number in range(len(operations))]
    answered = await asyncio.to_thread(fuzz, url, headers, examples)
    assert {200, 202, 422} <= set(answered), answered


async def test_generated_requests_get_documented_answers(server: str, bearer: Bearer, make_user: MakeUser) -> None:
    await fuzzed(server, bearer, make_user, FEW)


@pytest.mark.soak
async def test_thousands_of_generated_requests_get_documented_answers(
    server: str, bearer: Bearer, make_user: MakeUser
) -> None:
    await fuzzed(server, bearer, make_user, MANY)
