"""What options about subtitles make of a job's files: formats, profiles, words with times, painted subtitles."""

import json
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.jobs import assembling
from orchestrator.jobs.models import Job, SegmentRow
from orchestrator.jobs.writing import write_subtitles
from orchestrator.media.streams import inspect
from orchestrator.storage import Storage
from orchestrator.subtitles import cues_json, reader, vtt
from tests.orchestrator.jobs.conftest import Ask

pytestmark = pytest.mark.anyio
Sessions = async_sessionmaker[AsyncSession]

FORMATS = ["srt", "vtt", "ass", "txt", "json"]


async def with_options(make_session: Sessions, job: Job, **options: Any) -> None:
    async with make_session.begin() as session:
        await session.execute(sa.update(Job).where(Job.id == job.id).values(options=options))


async def texts(job: Job, storage: Storage) -> dict[str, str]:
    return {
        each["name"]: (await storage.read(each["storage_key"])).decode()
        for each in await write_subtitles(str(job.id))
        if each["kind"] == "subtitles"
    }


async def test_every_format_says_the_same(dub: Job, make_session: Sessions, storage_of_steps: Storage) -> None:
    await with_options(make_session, dub, formats=FORMATS, subtitle_profile="ted", word_timing=True)
    async with make_session.begin() as session:
        await session.execute(sa.update(SegmentRow).where(SegmentRow.job_id == dub.id).values(speaker="Ann"))
    files = await texts(dub, storage_of_steps)
    assert {name for name in files if name.startswith("en.")} == {f"en.{kind}" for kind in FORMATS}
    said = [cue.text for cue in cues_json.loads(files["en.json"])]
    for kind in ("srt", "vtt", "ass"):
        found = reader.read(files[f"en.{kind}"].encode())
        assert found is not None
        assert len(found.document.cues) == len(said)
    assert [cue.text for cue in vtt.loads(files["en.vtt"])] == said
    assert files["en.txt"] == f"Ann: {' '.join(' '.join(said).split())}\n"
    assert files["en.vtt"].count("<v Ann>") == len(said)
    assert json.loads(files["en.json"])["profile"] == "ted"
    assert all(cue.words and cue.speaker == "Ann" for cue in cues_json.loads(files["en.json"]))


async def test_what_a_profile_asked_for_leaves_is_told_in_words_and_listed(
    dub: Job, make_session: Sessions, storage_of_steps: Storage
) -> None:
    await with_options(make_session, dub, formats=["json"], subtitle_profile="netflix")
    hurried = "A sentence that nobody could ever read in a tenth of a second, however fast they may be. " * 3
    words = [{"text": " " + text, "start": 0.5, "end": 0.6, "probability": 0.9} for text in hurried.split()]
    changed = {"text": hurried.strip(), "words": words, "start": 0.5, "end": 0.6}
    async with make_session.begin() as session:
        await session.execute(
            sa.update(SegmentRow).where(SegmentRow.job_id == dub.id, SegmentRow.index == 0).values(**changed)
        )
    files = await texts(dub, storage_of_steps)
    left = json.loads(files["en.json"])["broken_rules"]
    assert {each["rule"] for each in left} >= {"reading_speed"}
    async with make_session() as session:
        warnings = {each["code"]: each["message"] for each in (await session.get_one(Job, dub.id)).warnings}
    assert "are to be read faster than 20 characters a second" in warnings["hard_to_read"]
    assert warnings["hard_to_read"].endswith("what is said is not condensed.")


async def test_painted_subtitles_are_no_track(dub: Job, make_session: Sessions, storage_of_steps: Storage) -> None:
    await with_options(make_session, dub, burn_in=True)
    await assembling.place_dub(str(dub.id), "es")
    (video,) = await assembling.render(str(dub.id), "es")
    async with storage_of_steps.local(video["storage_key"]) as path:
        container = await inspect(path)
    assert [each.kind for each in container.streams][:1] == ["video"]
    assert "subtitle" not in {each.kind for each in container.streams}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"options": {"subtitle_profile": "arte"}}, "subtitle_profile"),
        (
            {"kind": "subtitle_to_audio", "options": {"subtitle_profile": "ted"}},
            "which subtitle_to_audio does not give",
        ),
        ({"kind": "subtitle_translation", "options": {"word_timing": True}}, "hears no words"),
        ({"options": {"word_timing": True, "formats": ["srt"]}}, "add vtt to options.formats"),
        ({"kind": "subtitles", "options": {"burn_in": True}}, "gives no picture"),
        ({"options": {"burn_in": "maybe"}}, "burn_in"),
        ({"options": {"formats": ["txt", "txt"]}}, "more than once"),
    ],
)
async def test_options_that_are_none_of_the_kinds_are_refused(ask: Ask, changes: dict[str, Any], says: str) -> None:
    answer = await ask(**changes)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert says in answer.json()["detail"]


async def test_options_of_subtitles_are_kept_with_the_job(ask: Ask) -> None:
    options = {"subtitle_profile": "bbc", "word_timing": True, "burn_in": True, "formats": ["vtt", "json"]}
    answer = await ask(options=options)
    assert answer.status_code == 201, answer.text
    assert options.items() <= answer.json()["options"].items()
