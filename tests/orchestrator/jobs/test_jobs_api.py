"""Jobs through the API: asked for, refused with words that help, repeated safely, listed, cancelled."""

import asyncio
import dataclasses
from uuid import UUID, uuid4

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.accounts.models import User
from orchestrator.app import create_app
from orchestrator.backends import open_backends
from orchestrator.jobs import progress
from orchestrator.jobs.models import Job, JobEvent, Rendition, SegmentRow
from orchestrator.media.models import Media
from orchestrator.settings import Settings
from tests.fixtures_control_plane import Bearer, QueueStandIn
from tests.orchestrator.jobs.conftest import Ask, MakeJob, MakeMedia

pytestmark = pytest.mark.anyio
Sessions = async_sessionmaker[AsyncSession]


async def count(make_session: Sessions, table: type[Job | JobEvent]) -> int:
    async with make_session() as session:
        return await session.scalar(sa.select(sa.func.count()).select_from(table)) or 0


async def test_a_job_is_created_pending_and_enqueued(
    ask: Ask, client: httpx.AsyncClient, queue: QueueStandIn, user: User, media: Media
) -> None:
    answer = await ask(source_language="en")
    assert answer.status_code == 201
    job = answer.json()
    assert (job["status"], job["progress"], job["stage"], job["error"]) == ("pending", 0, None, None)
    assert (job["kind"], job["media_id"], job["source_language"]) == ("video_translation", str(media.id), "en")
    assert job["target_languages"] == ["es"]
    assert answer.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert queue.enqueued == [(UUID(job["id"]), user.id)]
    assert (await client.get(f"/v1/jobs/{job['id']}")).json() == job | {"artifacts": [], "quality": {}}


async def test_one_target_may_be_named_singly_and_codes_in_any_case(ask: Ask) -> None:
    job = (await ask(kind="subtitles", target_languages=[], target_language="PT-br", source_language="EN")).json()
    assert (job["source_language"], job["target_languages"]) == ("en", ["pt-BR"])


async def test_several_targets_are_one_job(ask: Ask, queue: QueueStandIn) -> None:
    assert (await ask(target_languages=["es", "de"])).json()["target_languages"] == ["es", "de"]
    assert len(queue.enqueued) == 1


async def test_source_may_equal_target(ask: Ask) -> None:
    assert (await ask(source_language="ja", target_languages=["ja"])).status_code == 201


async def test_subtitles_need_no_target(ask: Ask) -> None:
    assert (await ask(kind="subtitles", target_languages=[])).status_code == 201


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"kind": "karaoke"}, "kind"),
        ({"kind": None}, "kind"),
        ({"media_id": "1"}, "media_id"),
        ({"target_languages": []}, "target_languages is needed"),
        ({"target_languages": ["es", "ES"]}, "more than once"),
        ({"target_languages": ["english"]}, "not a language code"),
        ({"target_languages": ["e"]}, "not a language code"),
        ({"target_languages": "es"}, "target_languages"),
        ({"target_languages": [f"a{a}{b}" for a in "abcde" for b in "abcde"]}, "at most 20"),
        ({"source_language": "../en"}, "not a language code"),
        ({"target_language": "de"}, "not both"),
        ({"options": {"voice": ""}}, "voice"),
        ({"options": {"voice": "joe\0"}}, "voice"),
        ({"options": {"volume": 11}}, "volume"),
        ({"options": {"mix": "karaoke"}}, "'replace', 'voice_over' or 'keep_background'"),
        ({"options": {"loudness": -20}}, "-16, -23 or -14"),
        ({"options": {"loudness": "loud"}}, "-16, -23 or -14"),
        ({"kind": "subtitles", "options": {"mix": "replace"}}, "options.mix is for video_translation and audio_tran"),
        ({"kind": "subtitles", "options": {"loudness": -16}}, "subtitles gives no speech"),
        ({"callback": "http://169.254.169.254"}, "callback"),
    ],
)
async def test_a_request_that_cannot_be_meant_is_refused(
    ask: Ask, make_session: Sessions, changes: dict[str, object], says: str
) -> None:
    answer = await ask(**changes)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert says in answer.json()["detail"]
    assert await count(make_session, Job) == 0


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"source_language": "xx"}, "unknown_language", "Available: de, en, es, ja"),
        ({"target_languages": ["xx"]}, "unknown_language", "Available: de, en, es, pt-BR"),
        ({"source_language": "ja"}, "no_translation", "Available: none"),
        ({"source_language": "de", "target_languages": ["es"]}, "no_translation", "nor a way through 'en'"),
        ({"target_languages": ["pt-BR"]}, "no_voice", "ask for subtitles"),
        ({"options": {"voice": "caruso"}}, "no_voice", "Available: joe, lola"),
        ({"options": {"mix": "keep_background"}}, "no_separation", "'voice_over' or 'replace'"),
    ],
)
async def test_what_the_models_cannot_do_is_refused_with_what_they_can(
    ask: Ask, make_session: Sessions, changes: dict[str, object], code: str, says: str
) -> None:
    answer = await ask(**changes)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert says in answer.json()["detail"]
    assert await count(make_session, Job) == await count(make_session, JobEvent) == 0


async def test_a_pair_by_way_of_english_is_possible(ask: Ask) -> None:
    assert (await ask(source_language="es", target_languages=["de"])).status_code == 201


async def test_subtitles_need_no_voice(ask: Ask) -> None:
    assert (await ask(kind="subtitles", target_languages=["pt-BR"])).status_code == 201


async def test_how_a_dub_is_mixed_and_how_loud_it_is_stay_with_the_job(ask: Ask, client: httpx.AsyncClient) -> None:
    made = (await ask(options={"mix": "voice_over", "loudness": -23})).json()
    shown = (await client.get(f"/v1/jobs/{made['id']}")).json()["options"]
    assert (shown["mix"], shown["loudness"]) == ("voice_over", -23)


async def test_a_background_is_kept_where_a_model_takes_voices_out(
    ask: Ask, client: httpx.AsyncClient, queue: QueueStandIn
) -> None:
    assert (await client.get("/v1/languages")).json()["mixes"] == ["replace", "voice_over"]
    assert queue.known is not None
    queue.known = dataclasses.replace(queue.known, separator="demucs")
    assert (await ask(options={"mix": "keep_background"})).status_code == 201
    assert (await client.get("/v1/languages")).json()["mixes"] == ["replace", "voice_over", "keep_background"]


async def test_a_quote_refuses_what_the_job_would(client: httpx.AsyncClient, media: Media) -> None:
    body = {"kind": "audio_translation", "media_id": str(media.id), "target_languages": ["es"]}
    answer = await client.post("/v1/jobs/quote", json=body | {"options": {"mix": "keep_background"}})
    assert (answer.status_code, answer.json()["code"]) == (422, "no_separation")


async def test_while_the_models_are_away_a_job_is_accepted_and_waits(ask: Ask, queue: QueueStandIn) -> None:
    queue.known = None
    assert (await ask(source_language="xx", target_languages=["yy"])).status_code == 201


@pytest.mark.parametrize("kind", ["video_translation", "audio_translation", "subtitles"])
async def test_without_sound_there_is_nothing_to_hear(ask: Ask, make_media: MakeMedia, kind: str) -> None:
    silent = await make_media(audio=[])
    answer = await ask(kind=kind, media_id=str(silent.id))
    assert (answer.status_code, answer.json()["code"]) == (422, "unfit_media")
    assert "no audio track" in answer.json()["detail"]


async def test_a_sound_file_is_sent_to_the_right_kind(ask: Ask, make_media: MakeMedia) -> None:
    song = await make_media(kind="audio", video=None)
    answer = await ask(media_id=str(song.id))
    assert answer.status_code == 422
    assert "audio_translation" in answer.json()["detail"]
    for kind in ("audio_translation", "subtitles"):
        assert (await ask(kind=kind, media_id=str(song.id))).status_code == 201


async def test_unknown_and_strangers_media_are_not_there(
    ask: Ask, stranger: httpx.AsyncClient, media: Media, make_session: Sessions
) -> None:
    assert (await ask(media_id=str(uuid4()))).status_code == 404
    body = {"kind": "subtitles", "media_id": str(media.id)}
    assert (await stranger.post("/v1/jobs", json=body)).status_code == 404
    assert await count(make_session, Job) == 0


async def test_a_key_and_request_sent_again_give_the_same_job(
    ask: Ask, queue: QueueStandIn, make_session: Sessions
) -> None:
    first, again = [await ask(headers={"Idempotency-Key": "k-1"}) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert len(queue.enqueued) == await count(make_session, Job) == 1


async def test_a_key_sent_with_another_request_is_refused(ask: Ask, make_session: Sessions) -> None:
    assert (await ask(headers={"Idempotency-Key": "k-1"})).status_code == 201
    answer = await ask(headers={"Idempotency-Key": "k-1"}, target_languages=["de"])
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_key_reused")
    assert await count(make_session, Job) == 1


async def test_without_a_key_every_request_is_a_job(ask: Ask, make_session: Sessions) -> None:
    assert [(await ask()).status_code for _ in range(2)] == [201, 201]
    assert await count(make_session, Job) == 2


async def test_twenty_requests_at_once_with_one_key_make_one_job(
    ask: Ask, queue: QueueStandIn, make_session: Sessions
) -> None:
    answers = await asyncio.gather(*(ask(headers={"Idempotency-Key": "same"}) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(queue.enqueued) == await count(make_session, Job) == await count(make_session, JobEvent) == 1


async def test_a_strangers_key_is_another_key(
    ask: Ask, stranger: httpx.AsyncClient, make_media: MakeMedia, make_session: Sessions
) -> None:
    assert (await ask(headers={"Idempotency-Key": "k"})).status_code == 201
    me = (await stranger.get("/v1/me")).json()["id"]
    body = {"kind": "subtitles", "media_id": str((await make_media(user_id=UUID(me))).id)}
    assert (await stranger.post("/v1/jobs", json=body, headers={"Idempotency-Key": "k"})).status_code == 201


@pytest.mark.parametrize("key", ["", "a b", "x" * 256])
async def test_a_key_that_is_none_is_refused(ask: Ask, key: str) -> None:
    assert (await ask(headers={"Idempotency-Key": key})).status_code == 422


async def test_when_the_queue_refuses_there_is_no_job(ask: Ask, queue: QueueStandIn, make_session: Sessions) -> None:
    queue.refusal = RuntimeError("queue broken")
    answer = await ask()
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "queue broken" not in answer.text
    assert await count(make_session, Job) == await count(make_session, JobEvent) == 0


async def test_job_and_workflow_are_enqueued_and_cancelled_together_for_real(
    app_settings: Settings, bearer: Bearer, user: User, media: Media, make_session: Sessions
) -> None:
    app_settings.model_address = "127.0.0.1:1"
    app = create_app(app_settings, open_backends)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://api", headers=await bearer(user)
        ) as client,
    ):
        body = {"kind": "subtitles", "media_id": str(media.id)}
        job_id = (await client.post("/v1/jobs", json=body)).json()["id"]
        workflow = sa.text(
            "select status, queue_name, queue_partition_key from dbos.workflow_status where workflow_uuid = :id"
        )
        async with make_session() as session:
            assert tuple((await session.execute(workflow, {"id": job_id})).one()) == ("ENQUEUED", "jobs", str(user.id))
        assert (await client.post(f"/v1/jobs/{job_id}/cancel")).json()["status"] == "cancelled"
        async with make_session() as session:
            assert (await session.execute(workflow, {"id": job_id})).one().status == "CANCELLED"
        assert (await client.get("/v1/languages")).status_code == 503


async def test_cancelling_ends_an_open_job_once(
    make_job: MakeJob, client: httpx.AsyncClient, queue: QueueStandIn
) -> None:
    for started in (False, True):
        job = await make_job(started=started)
        answer = await client.post(f"/v1/jobs/{job.id}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
        assert answer.json()["finished_at"] is not None
        again = await client.post(f"/v1/jobs/{job.id}/cancel")
        assert (again.status_code, again.json()["code"]) == (409, "job_ended")
        assert queue.cancelled[-1] == job.id
    assert len(queue.cancelled) == 2


async def test_a_cancel_stands_although_the_queue_does_not_answer(
    job: Job, client: httpx.AsyncClient, queue: QueueStandIn
) -> None:
    queue.refusal = sa.exc.OperationalError("select 1", {}, Exception("gone"))
    assert (await client.post(f"/v1/jobs/{job.id}/cancel")).json()["status"] == "cancelled"


async def test_a_completed_job_cannot_be_cancelled(job: Job, client: httpx.AsyncClient, make_session: Sessions) -> None:
    async with make_session.begin() as session:
        await progress.complete(session, job.id, [])
    answer = await client.post(f"/v1/jobs/{job.id}/cancel")
    assert answer.status_code == 409
    assert "completed" in answer.json()["detail"]


async def test_pages_of_jobs_are_newest_first_complete_and_of_one_status(
    make_job: MakeJob, client: httpx.AsyncClient
) -> None:
    made = [str((await make_job(started=number % 2 == 0)).id) for number in range(7)]
    for status, expected in ((None, made[::-1]), ("pending", made[5::-2]), ("failed", [])):
        seen: list[str] = []
        query: dict[str, str | int] = {"limit": 2} | ({"status": status} if status else {})
        while True:
            page = (await client.get("/v1/jobs", params=query)).json()
            assert len(page["items"]) <= 2
            seen += [job["id"] for job in page["items"]]
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
        assert seen == expected
    for bad in ({"limit": 0}, {"limit": 1000}, {"cursor": "x"}, {"status": "lost"}):
        assert (await client.get("/v1/jobs", params=bad)).status_code == 422


async def test_a_job_shows_how_far_it_is_and_what_to_know(
    job: Job, client: httpx.AsyncClient, make_session: Sessions
) -> None:
    async with make_session.begin() as session:
        await progress.record(session, job.id, stage="transcribing", progress=12, counts={"transcribing": [3, 12]})
        await progress.warn(session, job.id, "stand_in_voice", "The voice is a stand-in.")
    seen = (await client.get(f"/v1/jobs/{job.id}")).json()
    assert (seen["status"], seen["stage"], seen["progress"]) == ("processing", "transcribing", 12)
    assert seen["counts"] == {"transcribing": [3, 12]}
    assert seen["warnings"] == [{"code": "stand_in_voice", "message": "The voice is a stand-in."}]


async def test_segments_carry_their_renditions(job: Job, client: httpx.AsyncClient, make_session: Sessions) -> None:
    async with make_session.begin() as session:
        for index in range(5):
            row = {"passage": index // 2, "start": index * 2.0, "end": index * 2 + 1.5, "next_start": index * 2 + 2.0}
            session.add(SegmentRow(job_id=job.id, index=index, language="en", text=f"s{index}", words=[], **row))
            for language in ("es", "de"):
                placed = {"onset": index * 2.0, "seconds": 1.7, "speed": 1.1, "overflow": 0.2}
                session.add(
                    Rendition(job_id=job.id, language=language, segment=index, text=language, candidates=[], **placed)
                )
    first = (await client.get(f"/v1/jobs/{job.id}/segments", params={"limit": 3})).json()
    assert [segment["index"] for segment in first["items"]] == [0, 1, 2]
    assert [each["language"] for each in first["items"][1]["renditions"]] == ["de", "es"]
    rendition = first["items"][1]["renditions"][1]
    assert (rendition["onset"], rendition["speed"], rendition["overflow"]) == (2.0, 1.1, 0.2)
    rest = (await client.get(f"/v1/jobs/{job.id}/segments", params={"cursor": first["next_cursor"]})).json()
    assert [segment["index"] for segment in rest["items"]] == [3, 4]
    assert rest["next_cursor"] is None


async def test_a_strangers_job_is_not_there_in_any_way(job: Job, stranger: httpx.AsyncClient) -> None:
    for method, path in (
        ("GET", ""),
        ("POST", "/cancel"),
        ("GET", "/events"),
        ("GET", "/segments"),
        ("GET", "/artifacts"),
        ("GET", "/artifacts/dub.es.mp4"),
        ("HEAD", "/artifacts/dub.es.mp4"),
    ):
        answer = await stranger.request(method, f"/v1/jobs/{job.id}{path}")
        assert answer.status_code == 404, path
    assert (await stranger.get("/v1/jobs")).json()["items"] == []


async def test_languages_tell_ways_voices_and_toys(client: httpx.AsyncClient, queue: QueueStandIn) -> None:
    known = (await client.get("/v1/languages")).json()
    assert known["heard"] == ["de", "en", "es", "ja"]
    ways = {(route["source"], route["target"]): route for route in known["routes"]}
    assert set(ways) == {("en", "es"), ("en", "de"), ("en", "pt-BR"), ("es", "en"), ("es", "de"), ("es", "pt-BR")}
    assert ways["es", "de"] == {
        "source": "es",
        "target": "de",
        "via": "en",
        "toy": True,
        "voice": "joe",
        "stand_in": True,
    }
    assert (ways["en", "es"]["voice"], ways["en", "es"]["stand_in"]) == ("lola", False)
    assert ways["en", "pt-BR"]["voice"] is None
    queue.known = None
    away = await client.get("/v1/languages")
    assert (away.status_code, away.headers["Retry-After"]) == (503, "5")
