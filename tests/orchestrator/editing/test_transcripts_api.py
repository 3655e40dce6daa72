"""The transcript of a completed job: read, edited in revisions, restored; edits that cross or race."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from orchestrator.capabilities import Voice
from orchestrator.editing.models import TranscriptSegment
from orchestrator.jobs.models import Job
from tests.fixtures_control_plane import QueueStandIn
from tests.orchestrator.editing.conftest import Ask, Complete
from tests.orchestrator.jobs.conftest import MakeJob, Sessions

pytestmark = pytest.mark.anyio


def translation(segment: int, text: str) -> dict[str, Any]:
    return {"op": "translation", "segment": segment, "language": "es", "text": text}


async def test_an_edit_makes_a_revision_and_the_ones_before_stay_readable(ask: Ask) -> None:
    first = (await ask("transcript")).json()
    assert (first["revision"], first["current_revision"], first["output_revision"]) == (1, 1, 1)
    assert [each["id"] for each in first["segments"]] == [0, 1, 2]
    assert first["segments"][0]["translations"]["es"]["spoken"]["seconds"] == 1.5
    operations = [translation(1, "مرحبا 🙂"), {"op": "split", "segment": 0, "word": 2}]
    edited = await ask("transcript/edits", base_revision=1, operations=operations)
    assert (edited.status_code, edited.json()) == (201, {"revision": 2, "created": [3], "notices": []})
    now = (await ask("transcript")).json()
    assert [(each["id"], each["text"]) for each in now["segments"]] == [
        (0, "One two"),
        (3, "three"),
        (1, "Four five"),
        (2, "Six"),
    ]
    stale = {each["id"]: each["translations"]["es"]["stale"] for each in now["segments"]}
    assert stale == {0: True, 3: True, 1: True, 2: False}
    assert now["segments"][2]["translations"]["es"]["text"] == "مرحبا 🙂"
    assert (await ask("transcript?revision=1")).json()["segments"] == first["segments"]
    back = await ask("transcript/restore", base_revision=2, revision=1)
    assert back.json()["revision"] == 3
    assert (await ask("transcript")).json()["segments"] == first["segments"]
    revisions = (await ask("transcript/revisions")).json()
    assert [(each["number"], each["what"], each["restored"]) for each in revisions["items"]] == [
        (3, "restore", 1),
        (2, "edit", None),
        (1, "original", None),
    ]
    quote = await ask("regenerate/quote", x=1)
    assert (quote.json()["changed"], quote.json()["credits"]) == (False, 0)


async def test_a_revision_stores_only_the_segments_that_are_other(ask: Ask, job: Job, make_session: Sessions) -> None:
    await ask("transcript/edits", base_revision=1, operations=[translation(1, "a")])
    await ask("transcript/edits", base_revision=2, operations=[translation(1, "b")])
    async with make_session() as session:
        query = sa.select(sa.func.count()).select_from(TranscriptSegment).where(TranscriptSegment.job_id == job.id)
        assert await session.scalar(query) == 5


async def test_an_id_that_is_gone_is_given_to_no_other_segment(ask: Ask) -> None:
    await ask("transcript/edits", base_revision=1, operations=[{"op": "split", "segment": 0, "word": 1}])
    await ask("transcript/edits", base_revision=2, operations=[{"op": "delete", "segment": 3}])
    third = await ask("transcript/edits", base_revision=3, operations=[{"op": "split", "segment": 1, "word": 1}])
    assert third.json()["created"] == [4]


async def test_of_edits_that_cross_one_counts_and_the_other_is_told_the_current_revision(ask: Ask) -> None:
    answers = await asyncio.gather(
        *(ask("transcript/edits", base_revision=1, operations=[translation(1, text)]) for text in ("a", "b", "c"))
    )
    assert sorted(each.status_code for each in answers) == [201, 409, 409]
    for refused in (each.json() for each in answers if each.status_code == 409):
        assert (refused["code"], refused["revision"]) == ("revision_conflict", 2)


async def test_nothing_of_an_edit_is_done_where_one_operation_cannot_be(ask: Ask) -> None:
    operations = [translation(0, "a"), {"op": "times", "segment": 1, "end": 9.0}]
    refused = await ask("transcript/edits", base_revision=1, operations=operations)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_edit")
    assert (await ask("transcript")).json()["current_revision"] == 1


@pytest.mark.parametrize(
    "operation",
    [
        translation(1, ""),
        translation(1, " \u200b"),
        translation(1, "a\x00b"),
        translation(1, "a\ud800"),
        translation(1, "x" * 2001),
        {"op": "times", "segment": 2, "end": 61.0},
        {"op": "times", "segment": 2, "start": -1},
        {"op": "voice", "segment": 0, "language": "es", "voice": "nobody"},
        {"op": "voice", "segment": 0, "language": "de", "voice": "lola"},
        {"op": "merge", "segments": [0, 2]},
        {"op": "explode", "segment": 0},
        {"op": "text", "segment": 2**40, "text": "a"},
    ],
)
async def test_a_bad_operation_is_refused(client: httpx.AsyncClient, job: Job, operation: dict[str, Any]) -> None:

    body = json.dumps({"base_revision": 1, "operations": [operation]})
    headers = {"Content-Type": "application/json"}
    answer = await client.post(f"/v1/jobs/{job.id}/transcript/edits", content=body, headers=headers)
    assert answer.status_code == 422, answer.text


async def test_a_text_too_long_for_its_time_is_taken_and_told_of(ask: Ask) -> None:
    answer = await ask("transcript/edits", base_revision=1, operations=[translation(1, "hola " * 400)])
    [notice] = answer.json()["notices"]
    assert notice["code"] == "text_too_long"
    assert "Segment 1 has 4.0 s" in notice["message"]


async def test_only_the_transcript_of_ones_own_completed_job_can_be_edited(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, job: Job, make_job: MakeJob
) -> None:
    assert (await stranger.get(f"/v1/jobs/{job.id}/transcript")).status_code == 404
    running = await make_job()
    answer = await client.get(f"/v1/jobs/{running.id}/transcript")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_editable")


async def test_a_voice_speaks_the_language_or_stands_in_for_it(ask: Ask, queue: QueueStandIn) -> None:
    assert queue.known is not None
    french = Voice("jean", "fr", "male", "CC0", True, frozenset(), 15.0)
    queue.known = replace(queue.known, voices=(*queue.known.voices, french))
    for voice, status in (("jean", 422), ("joe", 201)):
        operation = {"op": "voice", "segment": 0, "language": "es", "voice": voice}
        assert (await ask("transcript/edits", base_revision=1, operations=[operation])).status_code == status


async def test_of_a_translated_subtitle_file_the_translations_alone_can_be_edited(
    complete: Complete, client: httpx.AsyncClient
) -> None:
    job = await complete(kind="subtitle_translation")
    url = f"/v1/jobs/{job.id}/transcript/edits"
    refused = await client.post(url, json={"base_revision": 1, "operations": [{"op": "delete", "segment": 0}]})
    assert refused.status_code == 422
    taken = await client.post(url, json={"base_revision": 1, "operations": [translation(0, "x")]})
    assert taken.status_code == 201


async def test_a_voice_is_not_checked_while_the_models_are_away(ask: Ask, queue: QueueStandIn) -> None:
    queue.known = None
    operation = {"op": "voice", "segment": 0, "language": "es", "voice": "whoever"}
    assert (await ask("transcript/edits", base_revision=1, operations=[operation])).status_code == 201
