import asyncio

import httpx

from orchestrator.local.client import ApiError, _events


def events_of(text: str) -> list[tuple[str, dict[str, object]]]:
    async def read() -> list[tuple[str, dict[str, object]]]:
        return [event async for event in _events(httpx.Response(200, text=text))]

    return asyncio.run(read())


def test_events_carry_their_id_and_type_and_heartbeats_are_passed_over() -> None:
    stream = ': ping\n\nid: 4\nevent: progress\ndata: {"progress": 10}\n\nid: 5\nevent: completed\ndata: {}\n\n'
    assert events_of(stream) == [("4", {"type": "progress", "progress": 10}), ("5", {"type": "completed"})]


def test_an_event_cut_off_by_a_lost_connection_is_not_delivered() -> None:
    assert events_of('id: 4\nevent: progress\ndata: {"progress": 10}\n') == []


def test_the_words_of_a_problem_are_passed_on() -> None:
    problem = {"type": "about:blank", "code": "no_translation", "detail": "No model translates 'en' to 'xx'."}
    error = ApiError(httpx.Response(422, json=problem))
    assert (error.code, error.message) == ("no_translation", "No model translates 'en' to 'xx'.")


def test_an_answer_that_is_no_problem_document_still_makes_a_readable_error() -> None:
    assert "502" in ApiError(httpx.Response(502, text="<html>Bad gateway</html>")).message
