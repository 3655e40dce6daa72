"""Every call of the pages against a running Octavia: it is answered, and with every field the pages read."""

import json
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.web_frontend.table import PUBLISHED, SUCCESSOR, Call, Wanted
from tests.web_frontend.tour import Tour

LIVE_ROUTES = 35


def test_the_table_has_every_live_route() -> None:
    assert len({call.route for call in PUBLISHED}) == len(PUBLISHED) == LIVE_ROUTES


@pytest.mark.parametrize("call", [*PUBLISHED, *SUCCESSOR], ids=lambda call: call.route)
def test_a_call_is_answered_with_what_the_page_reads(tour: Tour, call: Call) -> None:
    answer = tour.answer(call)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Access-Control-Allow-Origin"] == tour.origin
    assert "Content-Disposition" in answer.headers["Access-Control-Expose-Headers"]
    if call.gives:
        assert answer.headers["Content-Type"].startswith(call.gives)
        assert len(answer.content) > 50
        return
    body = answer.json()
    assert body["success"] is True
    for path, wanted in call.reads.items():
        found = values(body, path.split("."))
        assert found, f"{path}: nothing is there"
        for value in found:
            assert fits(value, tour.filled(wanted) if isinstance(wanted, str) else wanted), f"{path}: {value!r}"


def values(body: Any, path: list[str]) -> list[Any]:
    """What stands at a path; `*` leads to each item of a list. Empty where there is no such place."""
    if not path:
        return [body]
    if path[0] == "*":
        return [found for item in body for found in values(item, path[1:])]
    return values(body[path[0]], path[1:]) if path[0] in body else []


def fits(value: object, wanted: Wanted) -> bool:
    if isinstance(wanted, str):
        return value == wanted
    if isinstance(wanted, frozenset):
        return value in wanted
    return isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))


def test_a_socket_tells_the_progress_without_a_token(tour: Tour) -> None:
    job = tour.job("audio")
    with connect(f"{tour.api.replace('http', 'ws', 1)}/ws/progress/{job.id}", origin=Origin(tour.origin)) as socket:
        told = json.loads(socket.recv(60))
    assert (told["status"], told["progress"]) == ("completed", 100)
    assert told["download_url"] == f"/api/download/audio/{job.id}"
    assert {"message", "status_message", "error"} <= set(told)


@pytest.mark.parametrize("code", ["zh-cn", "sv", "swe", "swa", "te", "kn", "xyz"])
def test_a_language_is_spoken_or_said_to_be_not_supported(tour: Tour, code: str) -> None:
    body = tour.client.get(f"/api/voices/{code}").json()
    assert body["success"] is bool(body["voices"])
    assert body["voices"] or "not supported" in body["error"]


@pytest.mark.parametrize("call", [call for call in PUBLISHED if call.login], ids=lambda call: call.route)
def test_a_preflight_allows_what_the_page_is_about_to_send(tour: Tour, call: Call) -> None:
    asked = {
        "Origin": tour.origin,
        "Access-Control-Request-Method": call.method,
        "Access-Control-Request-Headers": "accept,authorization,content-type",
    }
    path = call.address.replace("{", "").replace("}", "")
    answer: httpx.Response = tour.client.options(path, headers=asked)
    assert answer.status_code == 200
    assert call.method in answer.headers["Access-Control-Allow-Methods"]
    allowed = answer.headers["Access-Control-Allow-Headers"].lower()
    assert all(name in allowed for name in ("authorization", "content-type", "accept"))
