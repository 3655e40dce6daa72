"""Regenerating: what it costs, when it is refused, how its files take the place of the old ones, and how all goes."""

from typing import Any
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.accounts import deletion
from orchestrator.accounts.audit import SYSTEM
from orchestrator.accounts.models import User
from orchestrator.credits import ledger
from orchestrator.credits.prices import regeneration
from orchestrator.editing.models import SupersededFile, TranscriptSegment
from orchestrator.editing.preparing import prepare
from orchestrator.jobs import keys, progress, rows
from orchestrator.jobs.models import Artifact, Job, JobSpeaker, Rendition, SegmentRow
from orchestrator.retention import service as retention
from orchestrator.storage import Storage
from tests.fixtures_control_plane import QueueStandIn
from tests.orchestrator.editing.conftest import Ask, Complete
from tests.orchestrator.jobs.conftest import Sessions, storage_of_steps

__all__ = ["storage_of_steps"]

pytestmark = pytest.mark.anyio

EDIT = {"op": "translation", "segment": 1, "language": "es", "text": "otra"}


@pytest.fixture
async def job(complete: Complete, user: User, make_session: Sessions) -> Job:
    """It has cost ten credits; ten more are there."""
    async with make_session.begin() as session:
        await ledger.grant(session, user.id, 10, key="k", reference="test")
    return await complete(credits=10)


async def available(make_session: Sessions, user: User) -> tuple[int, int]:
    async with make_session() as session:
        there = await ledger.balance(session, user.id)
        return there.available, there.held


async def begun(ask: Ask, **operation: Any) -> UUID:
    await ask("transcript/edits", base_revision=1, operations=[operation or EDIT])
    answer = await ask("regenerate", base_revision=2)
    assert answer.status_code == 202, answer.text
    return UUID(answer.json()["job"]["id"])


def file(job_id: UUID, name: str) -> dict[str, Any]:
    key = keys.artifact(str(job_id), name)
    values = {"kind": "video", "language": "es", "content_type": "video/mp4", "size": 2, "sha256": "1" * 64}
    return {**values, "name": name, "storage_key": key}


@pytest.mark.parametrize(
    ("credits", "changed", "total", "cost"),
    [
        (10, 0.0, 100.0, 0),
        (10, 0.1, 100.0, 1),
        (10, 10.0, 100.0, 1),
        (10, 10.1, 100.0, 2),
        (10, 100.0, 100.0, 10),
        (10, 500.0, 100.0, 10),
        (1, 0.1, 100.0, 1),
        (0, 50.0, 100.0, 0),
        (10, 3.0, 0.0, 10),
    ],
)
def test_a_share_of_the_price_by_changed_seconds(credits: int, changed: float, total: float, cost: int) -> None:
    assert regeneration(credits, changed, total) == cost


async def test_where_nothing_has_changed_nothing_is_done_or_held(
    ask: Ask, queue: QueueStandIn, make_session: Sessions, user: User
) -> None:
    answer = await ask("regenerate", base_revision=1)
    assert (answer.status_code, answer.json()["changed"], answer.json()["job"]) == (200, False, None)
    assert queue.enqueued == []
    assert await available(make_session, user) == (10, 0)


async def test_its_price_is_quoted_held_and_spent_by_completion(
    ask: Ask, make_session: Sessions, user: User, job: Job, queue: QueueStandIn
) -> None:
    await ask("transcript/edits", base_revision=1, operations=[EDIT])
    quote = (await ask("regenerate/quote", x=1)).json()
    # Two of six seconds: a third of ten credits, rounded up.
    assert (quote["credits"], quote["seconds"], quote["segments"], quote["enough"]) == (4, {"es": 2.0}, [1], True)
    answer = await ask("regenerate", base_revision=2)
    made = UUID(answer.json()["job"]["id"])
    assert (queue.enqueued, queue.orders) == ([(made, user.id)], [(1, True)])
    assert await available(make_session, user) == (6, 4)
    async with make_session.begin() as session:
        await progress.start(session, made)
        assert await progress.complete(session, made, [file(made, "es.mp4")])
    assert await available(make_session, user) == (6, 0)


async def test_the_files_change_over_in_the_transaction_that_spends_the_credits(
    ask: Ask, make_session: Sessions, job: Job, storage_of_steps: Storage, engine: AsyncEngine, storage: Storage
) -> None:
    made = await begun(ask)
    old = keys.artifact(str(job.id), "es.mp4")
    await storage.put_bytes(old, b"old")
    async with make_session.begin() as session:
        await progress.start(session, made)
    assert await prepare(str(made)) == 1
    assert await prepare(str(made)) == 1, "it can be repeated"
    async with make_session.begin() as session:
        pairs = await rows.renditions(session, str(made), "es")
        assert [each.audio_key is None for _, each in pairs] == [False, True, False]
        assert [(segment.passage, segment.number) for segment, _ in pairs] == [(1, 0), (0, 1), (1, 2)]
        assert pairs[0][1].audio_key == keys.rendition(str(job.id), "es", 0)
        found = (await session.scalars(sa.select(Artifact.storage_key))).all()
        assert found == [old]
        assert await progress.complete(session, made, [file(made, "es.mp4")])
    async with make_session() as session:
        [artifact] = (await session.scalars(sa.select(Artifact))).all()
        assert (artifact.job_id, artifact.storage_key) == (job.id, keys.artifact(str(made), "es.mp4"))
        assert [each.text for _, each in await rows.renditions(session, str(job.id), "es")] == ["es 0", "otra", "es 2"]
        assert await rows.segments(session, str(made)) == []
        assert (await session.get_one(Job, job.id)).revision == 2
        await session.execute(sa.update(SupersededFile).values(at=sa.func.now() - sa.text("interval '2 minutes'")))
        await session.commit()
    await retention.sweep(engine, storage)
    assert not await storage.exists(old)
    transcript = (await ask("transcript")).json()
    assert (transcript["current_revision"], transcript["output_revision"]) == (2, 2)


async def test_what_was_translated_anew_becomes_a_revision(
    ask: Ask, make_session: Sessions, storage_of_steps: Storage
) -> None:
    made = await begun(ask, op="retranslate", segment=0)
    async with make_session.begin() as session:
        await progress.start(session, made)
    await prepare(str(made))
    async with make_session.begin() as session:
        session.add(Rendition(job_id=made, language="es", segment=0, text="nueva", voice="lola"))
        await session.flush()
        await progress.complete(session, made, [file(made, "es.mp4")])
    transcript = (await ask("transcript")).json()
    assert (transcript["current_revision"], transcript["output_revision"]) == (3, 3)
    line = transcript["segments"][0]["translations"]["es"]
    assert (line["text"], line["stale"]) == ("nueva", False)
    assert (await ask("transcript/revisions")).json()["items"][0]["what"] == "regenerate"


@pytest.mark.parametrize("outcome", ["failed", "cancelled"])
async def test_where_it_fails_or_is_cancelled_the_files_stay_and_the_credits_come_back(
    ask: Ask, outcome: str, make_session: Sessions, user: User, job: Job, client: httpx.AsyncClient
) -> None:
    made = await begun(ask)
    if outcome == "failed":
        async with make_session.begin() as session:
            assert await progress.fail(session, made, "no_voice", "There is no voice.")
    else:
        assert (await client.post(f"/v1/jobs/{made}/cancel")).status_code == 200
    assert await available(make_session, user) == (10, 0)
    [file_] = (await ask("artifacts")).json()["items"]
    assert file_["sha256"] == "0" * 64
    [told] = (await ask("regenerations")).json()["items"]
    assert (told["status"], told["regenerates"]) == (outcome, str(job.id))
    refused = await client.post(f"/v1/jobs/{made}/retry")
    assert (refused.status_code, refused.json()["code"]) == (409, "job_not_retryable")
    assert (await ask("regenerate", base_revision=2)).status_code == 202


async def test_while_it_runs_edits_and_others_are_told_the_current_revision(ask: Ask, job: Job) -> None:
    made = await begun(ask)
    for path, body in (
        ("transcript/edits", {"operations": [EDIT]}),
        ("transcript/restore", {"revision": 1}),
        ("regenerate", {}),
    ):
        refused = await ask(path, base_revision=2, **body)
        assert refused.status_code == 409
        told = refused.json()
        assert (told["code"], told["revision"], told["regeneration"]) == ("regenerating", 2, str(made))
    assert (await ask("transcript")).json()["regeneration"] == str(made)


async def test_an_old_revision_is_not_regenerated(ask: Ask) -> None:
    await ask("transcript/edits", base_revision=1, operations=[EDIT])
    refused = await ask("regenerate", base_revision=1)
    assert (refused.status_code, refused.json()["revision"]) == (409, 2)


async def test_the_same_key_begins_one_regeneration(ask: Ask, queue: QueueStandIn) -> None:
    await ask("transcript/edits", base_revision=1, operations=[EDIT])
    first = await ask("regenerate", headers={"Idempotency-Key": "k"}, base_revision=2)
    again = await ask("regenerate", headers={"Idempotency-Key": "k"}, base_revision=2)
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["job"]["id"] == again.json()["job"]["id"]
    assert len(queue.enqueued) == 1
    other = await ask("regenerate", headers={"Idempotency-Key": "k"}, base_revision=1)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")


async def test_too_few_credits_begin_nothing(ask: Ask, make_session: Sessions, user: User) -> None:
    async with make_session.begin() as session:
        await ledger.hold(session, user.id, 8, key="other", reference="other")
    await ask("transcript/edits", base_revision=1, operations=[EDIT])
    assert (await ask("regenerate", base_revision=2)).status_code == 402
    assert (await ask("transcript")).json()["regeneration"] is None


async def test_a_job_is_deleted_with_its_regenerations_and_revisions_but_not_while_one_runs(
    ask: Ask, client: httpx.AsyncClient, job: Job, make_session: Sessions, storage: Storage
) -> None:
    made = await begun(ask)
    refused = await client.delete(f"/v1/jobs/{job.id}")
    assert (refused.status_code, refused.json()["code"]) == (409, "job_open")
    async with make_session.begin() as session:
        await progress.fail(session, made, "x", "y")
        await session.execute(sa.update(Job).values(swept_at=sa.func.now()))
    for id_ in (job.id, made):
        await storage.put_bytes(keys.rendition(str(id_), "es", 0), b"1")
    assert (await client.delete(f"/v1/jobs/{job.id}")).status_code == 204
    for id_ in (job.id, made):
        assert not await storage.exists(keys.rendition(str(id_), "es", 0))
    async with make_session() as session:
        assert (await session.scalars(sa.select(TranscriptSegment))).all() == []


async def test_what_a_regeneration_made_is_deleted_with_its_job_alone(
    ask: Ask, client: httpx.AsyncClient, job: Job, make_session: Sessions, storage: Storage
) -> None:
    made = await begun(ask)
    key = keys.artifact(str(made), "es.mp4")
    await storage.put_bytes(key, b"new")
    async with make_session.begin() as session:
        await progress.start(session, made)
        assert await progress.complete(session, made, [file(made, "es.mp4")])
    refused = await client.delete(f"/v1/jobs/{made}")
    assert (refused.status_code, refused.json()["code"]) == (409, "results_in_use")
    assert str(job.id) in refused.json()["detail"]
    assert await storage.read(key) == b"new"
    assert (await client.delete(f"/v1/jobs/{job.id}")).status_code == 204


async def test_results_that_are_due_are_withdrawn_once_no_regeneration_runs(
    ask: Ask, job: Job, make_session: Sessions, engine: AsyncEngine, storage: Storage
) -> None:
    made = await begun(ask)
    async with make_session.begin() as session:
        past = sa.func.now() - sa.text("interval '1 hour'")
        await session.execute(sa.update(Job).where(Job.id == job.id).values(expires_at=past))
    await retention.sweep(engine, storage)
    async with make_session.begin() as session:
        assert (await session.get_one(Job, job.id)).withdrawn_at is None
        await progress.fail(session, made, "x", "y")
    await retention.sweep(engine, storage)
    async with make_session() as session:
        assert (await session.get_one(Job, job.id)).withdrawn_at is not None
        assert (await session.get_one(Job, made)).withdrawn_at is not None
    assert (await ask("transcript")).status_code == 410


async def test_a_closed_account_stops_its_regenerations_and_gets_its_credits_back(
    ask: Ask, make_session: Sessions, user: User
) -> None:
    made = await begun(ask)
    async with make_session.begin() as session:
        _, stopped = await deletion.close(session, user.id, SYSTEM)
    assert stopped == [(made, 1)]
    assert await available(make_session, user) == (10, 0)


@pytest.mark.parametrize(
    ("operation", "again"),
    [(EDIT, {1}), ({"op": "times", "segment": 1, "start": 3.6, "end": 6.0}, {0, 1})],
)
async def test_hurried_speech_stays_as_it_is_where_its_time_does(
    ask: Ask,
    job: Job,
    make_session: Sessions,
    storage_of_steps: Storage,
    operation: dict[str, Any],
    again: set[int],
) -> None:
    """What the first run took for the next onset, or for the end of the sound, is not what the transcript says."""
    async with make_session.begin() as session:
        hurried = {"speed": 1.3, "overflow": 0.4}
        await session.execute(sa.update(Rendition).where(Rendition.job_id == job.id).values(hurried))
    made = await begun(ask, **operation)
    async with make_session.begin() as session:
        await progress.start(session, made)
    await prepare(str(made))
    async with make_session() as session:
        before = await rows.segments(session, str(job.id))
        pairs = await rows.renditions(session, str(made), "es")
    assert {segment.index for segment, rendition in pairs if rendition.audio_key is None} == again
    kept = [(segment, before[segment.index]) for segment, _ in pairs if segment.index not in again]
    assert kept
    assert all(now.next_start == was.next_start for now, was in kept)


async def test_speech_at_ease_stays_though_what_is_before_it_pushed_it_past_its_slot(
    ask: Ask, job: Job, make_session: Sessions, storage_of_steps: Storage
) -> None:
    async with make_session.begin() as session:
        await session.execute(sa.update(Rendition).where(Rendition.job_id == job.id).values(overflow=0.4))
    made = await begun(ask, op="times", segment=1, start=3.6, end=6.0)
    async with make_session.begin() as session:
        await progress.start(session, made)
    await prepare(str(made))
    async with make_session() as session:
        pairs = await rows.renditions(session, str(made), "es")
    assert {segment.index for segment, rendition in pairs if rendition.audio_key is None} == {1}


@pytest.fixture
async def two_speakers(job: Job, make_session: Sessions) -> Job:
    """Ann, who says the first and the last segment in the voice of the job, and Bob, whose voice is another."""
    async with make_session.begin() as session:
        for name, voice, seconds in (("Ann", "lola", 4.0), ("Bob", "joe", 2.0)):
            session.add(JobSpeaker(job_id=job.id, name=name, seconds=seconds, voices={"es": voice}))
        for index, name in enumerate(("Ann", "Bob", "Ann")):
            at = {"job_id": job.id, "index": index}
            await session.execute(sa.update(SegmentRow).filter_by(**at).values(speaker=name))
        bobs = sa.update(Rendition).where(Rendition.job_id == job.id, Rendition.segment == 1)
        await session.execute(bobs.values(voice="joe"))
    return job


async def regenerated(ask: Ask, make_session: Sessions, base: int) -> tuple[set[int], dict[int, dict[str, str]]]:
    """What is to be spoken, and each segment's chosen voices, when the revision is regenerated to its end."""
    answer = await ask("regenerate", base_revision=base)
    assert answer.status_code == 202, answer.text
    made = UUID(answer.json()["job"]["id"])
    async with make_session.begin() as session:
        await progress.start(session, made)
    await prepare(str(made))
    async with make_session.begin() as session:
        pairs = await rows.renditions(session, str(made), "es")
        open_ = {segment.index for segment, rendition in pairs if rendition.audio_key is None}
        chosen = {segment.index: segment.voices for segment, _ in pairs}
        voice = {segment.index: "joe" if segment.speaker == "Bob" else "lola" for segment, _ in pairs}
        for segment, rendition in pairs:
            if rendition.audio_key is None:
                rendition.voice, rendition.seconds = voice[segment.index], 1.5
                rendition.audio_key = keys.rendition(str(made), "es", segment.index)
        await session.flush()
        assert await progress.complete(session, made, [file(made, "es.mp4")])
    return open_, chosen


async def test_another_speaker_speaks_in_their_own_voice_from_then_on(
    ask: Ask, two_speakers: Job, make_session: Sessions, storage_of_steps: Storage
) -> None:
    await ask("transcript/edits", base_revision=1, operations=[{"op": "speaker", "segment": 2, "speaker": "Bob"}])
    quote = (await ask("regenerate/quote", x=1)).json()
    assert (quote["segments"], quote["credits"]) == ([2], 4)
    shown = (await ask("transcript")).json()["segments"][2]["translations"]["es"]
    assert (shown["voice"], shown["stale"]) == ("joe", True)
    assert await regenerated(ask, make_session, 2) == ({2}, {0: {}, 1: {}, 2: {}})
    await ask("transcript/edits", base_revision=2, operations=[{**EDIT, "segment": 0}])
    assert await regenerated(ask, make_session, 3) == ({0}, {0: {}, 1: {}, 2: {}})


async def test_a_new_name_for_a_speaker_leaves_the_voice_and_costs_nothing(
    ask: Ask, two_speakers: Job, make_session: Sessions, storage_of_steps: Storage
) -> None:
    await ask("transcript/edits", base_revision=1, operations=[{"op": "speaker", "segment": 1, "speaker": "Elinor"}])
    assert (await ask("regenerate/quote", x=1)).json()["credits"] == 0
    assert await regenerated(ask, make_session, 2) == (set(), {0: {}, 1: {}, 2: {}})
    async with make_session() as session:
        cast = {each.name: each for each in await rows.speakers(session, str(two_speakers.id))}
    assert (cast["Elinor"].voices, cast["Elinor"].seconds) == ({"es": "joe"}, 0.0)


async def test_a_name_that_is_free_again_is_that_of_whoever_is_given_it_next(ask: Ask, two_speakers: Job) -> None:
    named = [(1, "Kim"), (1, "Bob"), (2, "Kim")]
    for base, (segment, name) in enumerate(named, 1):
        operation = {"op": "speaker", "segment": segment, "speaker": name}
        assert (await ask("transcript/edits", base_revision=base, operations=[operation])).status_code == 201
    assert (await ask("regenerate/quote", x=1)).json()["segments"] == []
    shown = (await ask("transcript")).json()["segments"]
    assert [each["translations"]["es"]["voice"] for each in shown] == ["lola", "joe", "lola"]


async def test_cloned_voices_differ_by_whom_they_are_cloned_from(
    ask: Ask, two_speakers: Job, make_session: Sessions, storage_of_steps: Storage
) -> None:
    async with make_session.begin() as session:
        for name in ("Ann", "Bob"):
            clip = {"key": f"clip/{name}", "rate": 24_000, "spans": []}
            cloned = sa.update(JobSpeaker).where(JobSpeaker.name == name)
            await session.execute(cloned.values(voices={"es": "clone"}, reference=clip))
        await session.execute(sa.update(Rendition).values(voice="clone"))
    await ask("transcript/edits", base_revision=1, operations=[{"op": "speaker", "segment": 2, "speaker": "Bob"}])
    assert (await ask("regenerate/quote", x=1)).json()["segments"] == [2]
    assert (await regenerated(ask, make_session, 2))[0] == {2}


async def test_the_voice_there_was_asked_for_by_name_or_as_the_usual_one_costs_nothing(ask: Ask) -> None:
    for base, voice in ((1, None), (2, "lola")):
        operation = {"op": "voice", "segment": 1, "language": "es", "voice": voice}
        assert (await ask("transcript/edits", base_revision=base, operations=[operation])).status_code == 201
        assert (await ask("regenerate", base_revision=base + 1)).json()["changed"] is False


@pytest.mark.parametrize(
    ("operations", "credits"),
    [
        ([{"op": "delete", "segment": 0}], 4),
        ([{"op": "delete", "segment": 0}, {"op": "delete", "segment": 2}], 7),
        ([{"op": "merge", "segments": [0, 1]}], 8),
    ],
)
async def test_what_is_gone_is_a_share_of_what_there_was(
    ask: Ask, operations: list[dict[str, Any]], credits: int
) -> None:
    await ask("transcript/edits", base_revision=1, operations=operations)
    assert (await ask("regenerate/quote", x=1)).json()["credits"] == credits


async def test_a_language_that_is_not_spoken_costs_nothing(
    complete: Complete, client: httpx.AsyncClient, user: User
) -> None:
    two = await complete(credits=12, target_languages=["en", "es"], voices={"es": "lola"})
    url = f"/v1/jobs/{two.id}"
    operations = [{"op": "text", "segment": 1, "text": "Other words"}]
    await client.post(f"{url}/transcript/edits", json={"base_revision": 1, "operations": operations})
    quote = (await client.post(f"{url}/regenerate/quote")).json()
    assert (quote["seconds"], quote["credits"]) == ({"en": 2.0, "es": 2.0}, 2)


async def test_what_is_true_of_a_job_is_told_of_its_regeneration_and_what_its_files_say_is_told_anew(
    ask: Ask, job: Job, make_session: Sessions
) -> None:
    told = [{"code": code, "message": code} for code in ("toy_translation", "hard_to_read")]
    async with make_session.begin() as session:
        await session.execute(sa.update(Job).where(Job.id == job.id).values(warnings=told))
    made = await begun(ask)
    async with make_session.begin() as session:
        assert (await session.get_one(Job, made)).warnings == told[:1]
        await progress.start(session, made)
        await progress.warn(session, made, "hard_to_read", "one cue")
        assert await progress.complete(session, made, [file(made, "es.mp4")])
    async with make_session() as session:
        found = (await session.get_one(Job, job.id)).warnings
    assert found == [told[0], {"code": "hard_to_read", "message": "one cue"}]
