"""Which voice speaks a segment and like whom, heard in what is spoken; and what a request for voices is answered."""

import dataclasses
import io
from typing import Any

import httpx
import pytest
import soundfile
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.capabilities import Voice
from orchestrator.credits import ledger, spending
from orchestrator.credits.balances import balance
from orchestrator.jobs import diarizing, rows, speaking, workflows
from orchestrator.jobs.casting import speakers_of
from orchestrator.jobs.checks import NoCloningError
from orchestrator.jobs.models import Job, JobSpeaker, Rendition, SegmentRow
from orchestrator.media.models import Media
from orchestrator.storage import Storage
from tests.fixtures_control_plane import KNOWN, QueueStandIn
from tests.orchestrator.jobs.conftest import Ask, MakeTalk
from tests.orchestrator.jobs.test_diarizing import CLONED, TALK, tell_apart
from tests.orchestrator.jobs.voices_plane import LOUD, SOFT
from tests.serve.fixture_models import note_of

pytestmark = pytest.mark.anyio
Sessions = async_sessionmaker[AsyncSession]

SENTENCE = "Dies ist ein Satz von einiger Laenge."


async def speak(job: Job, make_session: Sessions, storage: Storage, who: list[str | None]) -> list[float]:
    """The note in which each sentence is spoken, its speaker as given."""
    language = job.target_languages[0]
    async with make_session.begin() as session:
        for index, speaker in enumerate(who):
            place = {"job_id": job.id, "index": index, "passage": 0, "speaker": speaker, "language": "en"}
            times = {"start": 5.0 * index, "end": 5.0 * index + 3, "next_start": 5.0 * index + 5}
            session.add(SegmentRow(**place, **times, text="A sentence of some length.", words=[]))
            told = {"text": SENTENCE, "score": -0.1}
            session.add(Rendition(job_id=job.id, segment=index, language=language, candidates=[told], **told))
    await speaking.speak_passage(str(job.id), language, 0)
    async with make_session() as session:
        spoken = await rows.renditions(session, str(job.id), language)
    return [await heard_note(storage, rendition) for _, rendition in spoken]


async def heard_note(storage: Storage, rendition: Rendition) -> float:
    assert rendition.audio_key is not None
    samples, rate = soundfile.read(io.BytesIO(await storage.read(rendition.audio_key)), dtype="float32")
    return note_of(samples, rate)


async def test_each_speaker_is_heard_in_a_voice_of_their_own(
    storage_with_voices: Storage, make_talk: MakeTalk, make_session: Sessions
) -> None:
    job = await make_talk(TALK, 22)
    await tell_apart(job)
    notes = await speak(job, make_session, storage_with_voices, ["SPEAKER_00", "SPEAKER_01", "SPEAKER_00"])
    assert notes == pytest.approx([500, 700, 500], rel=0.01)


async def test_each_speaker_is_heard_in_the_voice_of_their_own_clip(
    storage_with_voices: Storage, make_talk: MakeTalk, make_session: Sessions
) -> None:
    job = await make_talk(TALK, 22, target_languages=["fr"], options=CLONED)
    await tell_apart(job)
    await diarizing.take_references(str(job.id))
    notes = await speak(job, make_session, storage_with_voices, ["SPEAKER_00", "SPEAKER_01", "SPEAKER_00"])
    assert notes == pytest.approx([LOUD, SOFT, LOUD], rel=0.01)


async def test_who_could_not_be_cloned_is_heard_in_a_voice_of_ours(
    storage_with_voices: Storage, make_talk: MakeTalk, make_session: Sessions
) -> None:
    job = await make_talk(TALK[:2], 15, target_languages=["fr"], options=CLONED)
    await tell_apart(job)
    await diarizing.take_references(str(job.id))
    assert await speak(job, make_session, storage_with_voices, ["SPEAKER_00", "SPEAKER_01"]) == pytest.approx(
        [LOUD, 2000], rel=0.01
    )


async def test_what_nobody_is_told_to_say_is_heard_in_the_voice_of_who_says_most(
    storage_with_voices: Storage, make_talk: MakeTalk, make_session: Sessions
) -> None:
    job = await make_talk(TALK, 22, target_languages=["fr"], options=CLONED)
    await tell_apart(job)
    await diarizing.take_references(str(job.id))
    assert await speak(job, make_session, storage_with_voices, [None]) == pytest.approx([LOUD], rel=0.01)


async def test_a_voice_that_is_named_with_its_speaker_is_heard(
    storage_with_voices: Storage, make_talk: MakeTalk, make_session: Sessions
) -> None:
    job = await make_talk(TALK, 22, options={"voice": "choir/bass"})
    await tell_apart(job)
    notes = await speak(job, make_session, storage_with_voices, ["SPEAKER_00", "SPEAKER_01"])
    assert notes == pytest.approx([1200, 1200], rel=0.01)


async def test_a_later_attempt_speaks_with_the_same_voices(
    storage_with_voices: Storage, make_talk: MakeTalk, make_session: Sessions
) -> None:
    job = await make_talk(TALK, 22)
    await tell_apart(job)
    async with make_session.begin() as session:  # as if other voices had come first then
        await session.execute(
            sa.update(JobSpeaker).where(JobSpeaker.name == "SPEAKER_00").values(voices={"de": "jill"})
        )
    await tell_apart(job)
    segment = SegmentRow(job_id=job.id, index=0, speaker="SPEAKER_00")
    assert [each.voice for each in await speakers_of(job, "de", [segment])] == ["jill"]


async def test_a_job_that_nobody_can_be_cloned_for_fails_and_its_credits_are_released(
    storage_with_voices: Storage, make_talk: MakeTalk, make_session: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await make_talk([], 12, target_languages=["fr"], options=CLONED, credits=7)
    async with make_session.begin() as session:
        await ledger.grant(session, job.user_id, 10, key="test", reference="test")
        await spending.hold(session, job.user_id, job.id, 7)
    await tell_apart(job)

    async def decided(name: str, outcome: workflows.Outcome, *arguments: Any) -> None:
        async with make_session.begin() as session:
            assert await outcome(session, *arguments, attempt=1)

    monkeypatch.setattr(workflows, "_end", decided)  # but for the workflow around it
    await workflows._or_fail(str(job.id), diarizing.take_references(str(job.id)))
    async with make_session() as session:
        failed = await session.get_one(Job, job.id)
        assert failed.error is not None
        assert (failed.status, failed.error["code"]) == ("failed", "nothing_to_clone")
        assert (await balance(session, job.user_id)).available == 10


async def test_a_job_that_was_accepted_while_the_models_were_away_is_refused_by_its_first_check(
    storage_with_voices: Storage, make_talk: MakeTalk
) -> None:
    job = await make_talk(TALK, 22, options=CLONED)
    with pytest.raises(NoCloningError, match="GET /v1/languages shows which voices clone") as refused:
        await speaking.check_route(str(job.id), "en", "de")
    assert refused.value.code == "no_cloning"


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs/quote"])
@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (CLONED, "no_cloning", "Voices cannot be cloned for es here"),
        ({"speakers": 2}, "no_diarization", "the operator can set OCTAVIA_DIARIZE"),
    ],
)
async def test_voices_that_cannot_be_had_are_refused_with_the_reason_before_anything_is_held(
    client: httpx.AsyncClient, ask: Ask, media: Media, path: str, options: dict[str, object], code: str, says: str
) -> None:
    body = {"kind": "video_translation", "media_id": str(media.id), "target_languages": ["es"], "options": options}
    answer = await client.post(path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert says in answer.json()["detail"]
    assert (await client.get("/v1/jobs")).json()["items"] == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"options": {"clone_voices": True}}, "everybody whose voice is cloned has agreed to it"),
        ({"options": {"cloning_consent": True}}, "not asked for"),
        ({"options": {**CLONED, "voice": "joe"}}, "not both"),
        ({"options": {"gender": "male", "voice": "joe"}}, "not both"),
        ({"options": {"gender": "robot"}}, "gender"),
        ({"options": {"speakers": 0}}, "speakers"),
        ({"options": {"speakers": 21}}, "speakers"),
        ({"kind": "subtitles", "options": CLONED}, "gives no speech"),
        ({"kind": "subtitles", "options": {"gender": "male"}}, "gives no speech"),
        ({"kind": "subtitle_to_audio", "options": {"speakers": 2}}, "nobody is heard"),
    ],
)
async def test_a_request_for_voices_that_cannot_be_meant_is_refused(
    ask: Ask, changes: dict[str, Any], says: str
) -> None:
    answer = await ask(**changes)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert says in answer.json()["detail"]


PARROT = Voice("parrot", "es", None, "CC0", True, frozenset(), 15.0, cloning="xtts")


async def test_consent_is_recorded_once_with_the_job_and_where_it_came_from(
    client: httpx.AsyncClient, ask: Ask, queue: QueueStandIn
) -> None:
    queue.known = dataclasses.replace(KNOWN, voices=(*KNOWN.voices, PARROT))
    headers = {"Idempotency-Key": "once", "User-Agent": "a program"}
    asked = [await ask(headers, options=CLONED) for _ in range(2)]
    assert [each.status_code for each in asked] == [201, 200]
    assert (await ask(options={"gender": "female"})).status_code == 201
    events = (await client.get("/v1/me/security-events")).json()["items"]
    (consent,) = [each for each in events if each["kind"] == "cloning_consent"]
    assert consent["detail"] == {"job": asked[0].json()["id"]}
    assert consent["address"] == "127.0.0.1"
    assert consent["user_agent"] == "a program"
    assert asked[0].json()["options"] | CLONED == asked[0].json()["options"]


async def test_while_the_models_are_away_cloning_is_accepted_with_consent_and_waits(
    ask: Ask, queue: QueueStandIn
) -> None:
    queue.known = None
    assert (await ask(options=CLONED)).status_code == 201


async def test_the_languages_say_which_voices_clone_and_whether_speakers_are_told_apart(
    client: httpx.AsyncClient, queue: QueueStandIn
) -> None:
    told = (await client.get("/v1/languages")).json()
    assert (told["speakers_told_apart"], {each["cloning"] for each in told["voices"]}) == (False, {None})
    queue.known = dataclasses.replace(KNOWN, voices=(*KNOWN.voices, PARROT), diarizer="by-loudness")
    told = (await client.get("/v1/languages")).json()
    assert told["speakers_told_apart"]
    assert [each["name"] for each in told["voices"] if each["cloning"]] == ["parrot"]
