"""Who speaks and with which voice each is dubbed, by a diarizer that goes by loudness and voices that whistle."""

import dataclasses
import io
from collections.abc import Sequence
from uuid import UUID

import numpy as np
import pytest
import soundfile
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.accounts import export
from orchestrator.dubbing import speakers
from orchestrator.inference import Inference, ModelRefusedError
from orchestrator.jobs import context, diarizing, keys
from orchestrator.jobs.checks import NoCloningError
from orchestrator.jobs.models import DiarizedPiece, HeardWindow, Job, JobSpeaker
from orchestrator.retention import service as retention
from orchestrator.storage import Storage
from tests.orchestrator.jobs.conftest import MakeTalk
from tests.orchestrator.jobs.voices_plane import LOUD, SOFT, whistling
from tests.serve.fixture_models import note_of

pytestmark = pytest.mark.anyio
Sessions = async_sessionmaker[AsyncSession]

TALK = [(1.0, 9.0, LOUD), (10.0, 14.0, SOFT), (15.0, 16.0, LOUD), (17.0, 21.0, SOFT)]
"""Nine seconds of one and eight of the other."""
CLONED = {"clone_voices": True, "cloning_consent": True}


async def tell_apart(job: Job) -> int:
    """As the workflow does; how many pieces there were."""
    pieces = await diarizing.plan_speakers(str(job.id))
    for piece in range(pieces):
        await diarizing.tell_apart(str(job.id), piece)
    await diarizing.settle_speakers(str(job.id))
    return pieces


async def speakers_of(make_session: Sessions, job: Job) -> Sequence[JobSpeaker]:
    async with make_session() as session:
        query = sa.select(JobSpeaker).where(JobSpeaker.job_id == job.id).order_by(JobSpeaker.name)
        return (await session.scalars(query)).all()


async def voices_of(make_session: Sessions, job: Job) -> dict[str, dict[str, str]]:
    return {each.name: each.voices for each in await speakers_of(make_session, job)}


async def warnings_of(make_session: Sessions, job: Job) -> dict[str, str]:
    async with make_session() as session:
        return {each["code"]: each["message"] for each in (await session.get_one(Job, job.id)).warnings}


async def said(make_session: Sessions, job: Job) -> list[list[str]]:
    """Who speaks in each window, in order."""
    async with make_session() as session:
        query = sa.select(HeardWindow).where(HeardWindow.job_id == job.id).order_by(HeardWindow.index)
        windows = (await session.scalars(query)).all()
        return [
            [who for start, end, who in window.turns or () if min(end, window.end) - max(start, window.start) > 0.2]
            for window in windows
        ]


async def test_each_speaker_is_told_apart_and_gets_a_voice(
    storage_with_voices: Storage, make_talk: MakeTalk, make_session: Sessions
) -> None:
    job = await make_talk(TALK, 22)
    assert await tell_apart(job) == 1
    assert await said(make_session, job) == [["SPEAKER_00"], ["SPEAKER_01"], ["SPEAKER_00"], ["SPEAKER_01"]]
    found = await speakers_of(make_session, job)
    assert {each.name: each.voices for each in found} == {"SPEAKER_00": {"de": "hugo"}, "SPEAKER_01": {"de": "inge"}}
    assert [each.seconds for each in found] == pytest.approx([9.0, 8.0], abs=0.3)
    assert await warnings_of(make_session, job) == {}
    async with make_session() as session:
        assert set((await session.get_one(Job, job.id)).voice_speeds) == {"hugo", "inge"}


async def test_the_steps_run_twice_change_nothing(
    storage_with_voices: Storage, make_talk: MakeTalk, make_session: Sessions
) -> None:
    job = await make_talk(TALK, 22, target_languages=["fr"], options=CLONED)

    async def rows() -> list[list[object]]:
        async with make_session() as session:
            pieces = (await session.scalars(sa.select(DiarizedPiece))).all()
        people = await speakers_of(make_session, job)
        return [[each.turns for each in pieces], [(each.name, each.voices, each.reference) for each in people]]

    await tell_apart(job)
    await diarizing.take_references(str(job.id))
    before = await rows()
    clip = await storage_with_voices.read(keys.reference(str(job.id), "SPEAKER_01"))
    assert await tell_apart(job) == 1
    await diarizing.take_references(str(job.id))
    assert await rows() == before
    assert await storage_with_voices.read(keys.reference(str(job.id), "SPEAKER_01")) == clip


BOTH_IN_THE_OVERLAP = [(1.0, 9.0, LOUD), (10.0, 11.0, SOFT), (12.0, 14.0, LOUD), (15.0, 17.0, SOFT)]


@pytest.mark.parametrize(
    ("talk", "options", "third"),
    [
        pytest.param(BOTH_IN_THE_OVERLAP, {}, "SPEAKER_00", id="both speak where the pieces overlap"),
        pytest.param(TALK, {"speakers": 2}, "SPEAKER_00", id="one does not, but there are two"),
        pytest.param(TALK, {}, "SPEAKER_02", id="one does not, and nobody says how many there are"),
    ],
)
async def test_the_speakers_of_two_pieces_are_the_same_people_where_that_can_be_known(
    storage_with_voices: Storage,
    make_talk: MakeTalk,
    make_session: Sessions,
    monkeypatch: pytest.MonkeyPatch,
    talk: list[tuple[float, float, int]],
    options: dict[str, object],
    third: str,
) -> None:
    monkeypatch.setattr(speakers, "PIECE_S", 13.0)
    monkeypatch.setattr(speakers, "OVERLAP_S", 3.5)
    job = await make_talk(talk, 22, options=options)
    assert await tell_apart(job) == 2
    async with make_session() as session:
        pieces = (await session.scalars(sa.select(DiarizedPiece).order_by(DiarizedPiece.index))).all()
    assert pieces[1].turns is not None
    assert pieces[1].turns[0][2] == "SPEAKER_00"  # of its own: the one who speaks first in it is soft
    assert pieces[1].turns[0][0] == pytest.approx(10.0, abs=0.1)  # seconds of the media
    assert await said(make_session, job) == [["SPEAKER_00"], ["SPEAKER_01"], [third], ["SPEAKER_01"]]


@pytest.mark.parametrize(("speakers", "people"), [(2, 2), (5, 2)])
async def test_where_fewer_speak_than_was_said_it_is_told_apart_all_the_same(
    storage_with_voices: Storage, make_talk: MakeTalk, make_session: Sessions, speakers: int, people: int
) -> None:
    job = await make_talk(TALK, 22, options={"speakers": speakers})
    await tell_apart(job)
    assert len(await speakers_of(make_session, job)) == people


@pytest.mark.parametrize("changes", [{"options": {"speakers": 1}}, {"kind": "subtitle_to_audio"}])
async def test_nobody_is_told_apart_where_one_speaks_or_nobody_is_heard(
    storage_with_voices: Storage, make_talk: MakeTalk, changes: dict[str, object]
) -> None:
    job = await make_talk(TALK, 22, **changes)
    assert await diarizing.plan_speakers(str(job.id)) == 0


async def test_pieces_are_planned_only_where_a_diarizer_is_configured(
    storage_of_steps: Storage, make_talk: MakeTalk
) -> None:
    job = await make_talk(TALK, 22)
    async with whistling(diarizer=False) as address, Inference(address, wait_s=30) as models:
        context.use(dataclasses.replace(context.current(), models=models))
        assert await diarizing.plan_speakers(str(job.id)) == 0
        with pytest.raises(ModelRefusedError, match="OCTAVIA_DIARIZE"):
            await models.diarize(np.zeros(16_000, np.float32))


async def test_voices_are_of_the_gender_that_is_asked_for(
    storage_with_voices: Storage, make_talk: MakeTalk, make_session: Sessions
) -> None:
    job = await make_talk(TALK, 22, options={"gender": "female"})
    await tell_apart(job)
    voices = await voices_of(make_session, job)
    assert voices == {"SPEAKER_00": {"de": "inge"}, "SPEAKER_01": {"de": "jill"}}
    assert await warnings_of(make_session, job) == {}


async def test_where_there_are_fewer_voices_than_speakers_it_is_said_that_some_share(
    storage_with_voices: Storage, make_talk: MakeTalk, make_session: Sessions
) -> None:
    job = await make_talk(TALK, 22, options={"gender": "male"})
    await tell_apart(job)
    voices = await voices_of(make_session, job)
    assert voices == {"SPEAKER_00": {"de": "hugo"}, "SPEAKER_01": {"de": "hugo"}}
    assert "fewer voices for 'de'" in (await warnings_of(make_session, job))["shared_voice"]


async def test_a_voice_that_is_named_speaks_for_all(
    storage_with_voices: Storage, make_talk: MakeTalk, make_session: Sessions
) -> None:
    job = await make_talk(TALK, 22, options={"voice": "choir/bass"})
    await tell_apart(job)
    assert await voices_of(make_session, job) == {"SPEAKER_00": {}, "SPEAKER_01": {}}


async def test_each_speakers_clip_holds_that_speaker_alone(
    storage_with_voices: Storage, make_talk: MakeTalk, make_session: Sessions
) -> None:
    job = await make_talk(TALK, 22, target_languages=["fr"], options=CLONED)
    await tell_apart(job)
    await diarizing.take_references(str(job.id))
    for speaker, note in zip(await speakers_of(make_session, job), (LOUD, SOFT), strict=True):
        assert speaker.voices == {"fr": "parrot"}
        clip = await diarizing.clip_of(speaker)
        assert clip is not None
        samples, rate = clip
        assert 6 <= len(samples) / rate <= 15.2
        assert note_of(samples, rate) == pytest.approx(note, abs=3)
    assert await warnings_of(make_session, job) == {}


async def test_without_a_diarizer_the_clip_is_of_all_that_is_said(
    storage_with_voices: Storage, make_talk: MakeTalk, make_session: Sessions
) -> None:
    job = await make_talk([(1.0, 9.0, LOUD)], 10, target_languages=["fr"], options={**CLONED, "speakers": 1})
    assert await diarizing.plan_speakers(str(job.id)) == 0
    await diarizing.settle_speakers(str(job.id))
    await diarizing.take_references(str(job.id))
    (everybody,) = await speakers_of(make_session, job)
    assert (everybody.name, everybody.voices) == ("", {"fr": "parrot"})
    data = await storage_with_voices.read(keys.reference(str(job.id), ""))
    assert soundfile.info(io.BytesIO(data)).duration == pytest.approx(8.0, abs=0.2)


async def test_who_speaks_too_little_gets_a_voice_of_ours_and_it_is_said(
    storage_with_voices: Storage, make_talk: MakeTalk, make_session: Sessions
) -> None:
    job = await make_talk(TALK[:2], 15, target_languages=["fr"], options=CLONED)
    await tell_apart(job)
    await diarizing.take_references(str(job.id))
    loud, soft = await speakers_of(make_session, job)
    assert (loud.reference is not None, soft.reference) == (True, None)
    assert soft.voices == {"fr": "parrot"}
    warning = (await warnings_of(make_session, job))["not_cloned"]
    assert warning.startswith("SPEAKER_01 does not speak clearly and alone for 6 seconds")


@pytest.mark.parametrize(
    "said",
    [
        pytest.param([(1.0, 5.0, LOUD), (6.0, 10.0, SOFT)], id="too short each"),
        pytest.param([], id="silence"),
    ],
)
async def test_where_nobody_can_be_cloned_it_is_refused(
    storage_with_voices: Storage, make_talk: MakeTalk, said: list[tuple[float, float, int]]
) -> None:
    job = await make_talk(said, 12, target_languages=["fr"], options=CLONED)
    await tell_apart(job)
    with pytest.raises(diarizing.NothingToCloneError, match="Your credits are back") as refused:
        await diarizing.take_references(str(job.id))
    assert (refused.value.code, refused.value.status) == ("nothing_to_clone", 422)


async def test_what_voice_activity_took_for_speech_but_is_silent_is_not_cloned(
    storage_with_voices: Storage, make_talk: MakeTalk, make_session: Sessions
) -> None:
    job = await make_talk([], 12, target_languages=["fr"], options={**CLONED, "speakers": 1})
    async with make_session.begin() as session:
        place = {"job_id": job.id, "index": 0, "start": 1.0, "end": 11.0}
        session.add(HeardWindow(**place, speech=10.0, stretches=[[1.0, 11.0]]))
    await diarizing.settle_speakers(str(job.id))
    with pytest.raises(diarizing.NothingToCloneError):
        await diarizing.take_references(str(job.id))
    assert not await storage_with_voices.exists(keys.reference(str(job.id), ""))


async def test_where_no_voice_clones_nobody_is_given_another(
    storage_with_voices: Storage, make_talk: MakeTalk, make_session: Sessions
) -> None:
    job = await make_talk(TALK, 22, options=CLONED)  # accepted while the models were away
    with pytest.raises(NoCloningError, match="cannot be cloned for de here"):
        await tell_apart(job)
    assert await speakers_of(make_session, job) == []


async def test_a_dub_into_the_files_own_language_clones_nothing(
    storage_with_voices: Storage, make_talk: MakeTalk, make_session: Sessions
) -> None:
    job = await make_talk(TALK[:2], 15, target_languages=["en"], options=CLONED)
    await tell_apart(job)
    await diarizing.take_references(str(job.id))
    assert [each.reference for each in await speakers_of(make_session, job)] == [None, None]


async def test_what_ended_meanwhile_is_left_alone(
    storage_with_voices: Storage, make_talk: MakeTalk, make_session: Sessions
) -> None:
    job = await make_talk(TALK, 22)
    assert await diarizing.plan_speakers(str(job.id)) == 1
    async with make_session.begin() as session:
        await session.execute(sa.update(Job).where(Job.id == UUID(str(job.id))).values(status="cancelled"))
    await diarizing.tell_apart(str(job.id), 0)
    await diarizing.settle_speakers(str(job.id))
    assert await speakers_of(make_session, job) == []
    async with make_session() as session:
        assert (await session.get_one(DiarizedPiece, (job.id, 0))).turns is None


async def test_what_is_kept_of_speakers_is_in_the_export_and_is_forgotten_with_the_texts(
    storage_with_voices: Storage, make_talk: MakeTalk, make_session: Sessions
) -> None:
    job = await make_talk(TALK, 22)
    await tell_apart(job)
    async with make_session() as session:
        document = await export.document(session, job.user_id)
    assert [each["name"] for each in document["speakers"]] == ["SPEAKER_00", "SPEAKER_01"]
    assert len(document["diarized_pieces"][0]["turns"]) == 4
    await retention._forget_texts(make_session, job.id)
    assert await speakers_of(make_session, job) == []
    async with make_session() as session:
        assert await session.get(DiarizedPiece, (job.id, 0)) is None
