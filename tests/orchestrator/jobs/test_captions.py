"""The steps of jobs on subtitle files: cues stored, translated, written, each as often as a restart wants."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from dbos import AsyncSQLAlchemyDatasource
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from orchestrator.dubbing.timeline import Word
from orchestrator.inference import Hypothesis, Inference
from orchestrator.jobs import captions, context, durable, rows
from orchestrator.jobs.models import Job, SegmentRow
from orchestrator.jobs.speaking import translate_passage
from orchestrator.jobs.terms import Translated
from orchestrator.notifications.mailer import OutboxMailer
from orchestrator.settings import Settings
from orchestrator.storage import Storage
from orchestrator.subtitles import clock, cues_json, srt
from orchestrator.subtitles.cues import Cue
from orchestrator.subtitles.direction import PDF, RLE
from orchestrator.subtitles.markup import split
from tests.orchestrator.jobs.conftest import MakeJob, MakeMedia

pytestmark = pytest.mark.anyio
Sessions = async_sessionmaker[AsyncSession]
KEY = "media/film/source"

FILE = """2
00:00:05,000 --> 00:00:07,000
<i>Good morning.</i>

1
-00:00:01,000 --> 00:00:02,000
{\\an8}He was not an

7
00:00:02,100 --> 00:00:04,000
ill-disposed young man.

00:00:0x,000 --> 00:00:08,000
lost?

00:00:09,000 --> 00:00:09,000
[a door is shut]

00:00:10,000 --> 00:00:11,000
♪ … ♪

00:00:12,000 --> 00:00:12,500

"""


@pytest.fixture
async def worker(
    model_plane: str, engine: AsyncEngine, database_url: str, tmp_path: Path
) -> AsyncIterator[context.WorkerContext]:
    """The worker's context, as the steps see it."""
    settings = Settings(data_dir=tmp_path, database_url=database_url, model_address=model_plane)
    async with Inference(model_plane, wait_s=30) as models:
        datasource = await AsyncSQLAlchemyDatasource.create(database_url, engine=engine)
        storage, mailer = Storage.in_folder(tmp_path / "storage"), OutboxMailer(tmp_path / "outbox")
        made = context.WorkerContext(
            settings, engine, storage, models, datasource, mailer, durable.api_client(engine.sync_engine)
        )
        context.use(made)
        yield made


async def a_job(
    worker: context.WorkerContext, make_media: MakeMedia, make_job: MakeJob, text: str, kind: str, **values: Any
) -> str:
    await worker.storage.put_bytes(KEY, text.encode())
    found = {"format": "srt", "encoding": "utf-8", "cues": 1, "language": "en", "remarks": []}
    media = await make_media(kind="subtitles", video=None, audio=[], subtitles=found, duration=12.5, storage_key=KEY)
    job = await make_job(media_id=media.id, kind=kind, detected_language="en", **values)
    return str(job.id)


async def segments(make_session: Sessions, job_id: str) -> Sequence[SegmentRow]:
    async with make_session() as session:
        return await rows.segments(session, job_id)


async def warnings(make_session: Sessions, job_id: str) -> dict[str, str]:
    async with make_session() as session:
        job = await rows.job(session, job_id)
        return {each["code"]: each["message"] for each in job.warnings}


async def test_cues_with_words_are_stored_in_the_order_of_their_times_once(
    worker: context.WorkerContext, make_media: MakeMedia, make_job: MakeJob, make_session: Sessions
) -> None:
    job_id = await a_job(worker, make_media, make_job, FILE, "subtitle_translation")
    assert [await captions.read_cues(job_id) for _ in range(2)] == [1, 1]
    found = await segments(make_session, job_id)
    assert [(each.start, each.end, each.text, each.language) for each in found] == [
        (-1.0, 2.0, "He was not an", "en"),
        (2.1, 4.0, "ill-disposed young man.", "en"),
        (5.0, 7.0, "Good morning.", "en"),
        (9.0, 9.0, "[a door is shut]", "en"),
    ]
    told = await warnings(make_session, job_id)
    assert set(told) == {"malformed_cue", "negative_time", "out_of_order", "empty_cue"}
    assert told["malformed_cue"].startswith("Line 13: '00:00:0x,000 --> 00:00:08,000' is not")


async def test_what_is_read_aloud_begins_at_zero_and_leaves_out_sounds(
    worker: context.WorkerContext, make_media: MakeMedia, make_job: MakeJob, make_session: Sessions
) -> None:
    job_id = await a_job(worker, make_media, make_job, FILE, "subtitle_to_audio")
    await captions.read_cues(job_id)
    found = await segments(make_session, job_id)
    assert [(each.start, each.next_start) for each in found] == [(0.0, 2.1), (2.1, 5.0), (5.0, 12.5)]


@pytest.mark.parametrize(
    ("kind", "texts", "said"),
    [
        ("subtitle_to_audio", ["Buenos", "días.", "", ""], ["Buenos", "días."]),
        ("subtitle_translation", ["Buenos", "días.", "días.", "días."], []),
    ],
)
async def test_a_word_is_spoken_once_though_it_is_shown_on_while_its_sentence_has_cues(
    worker: context.WorkerContext,
    make_media: MakeMedia,
    make_job: MakeJob,
    make_session: Sessions,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    texts: list[str],
    said: list[str],
) -> None:
    words = ["A", "very", "good", "morning."]
    file = "".join(f"{at}\n00:00:0{at},000 --> 00:00:0{at},900\n{word}\n\n" for at, word in enumerate(words, 1))

    async def translated(*_: Any) -> list[Translated]:
        return [Translated([Hypothesis("Buenos días.", -0.1)])]

    monkeypatch.setattr(captions, "translate", translated)
    job_id = await a_job(worker, make_media, make_job, file, kind)
    await captions.read_cues(job_id)
    await translate_passage(job_id, "es", 0)
    async with make_session() as session:
        made = [rendition for _, rendition in await rows.renditions(session, job_id, "es")]
    assert [each.text for each in made] == texts
    assert [candidate["text"] for each in made for candidate in each.candidates] == said


async def test_a_file_comes_back_as_it_was_with_other_words(
    worker: context.WorkerContext, make_media: MakeMedia, make_job: MakeJob, make_session: Sessions
) -> None:
    job_id = await a_job(worker, make_media, make_job, FILE.replace("\n", "\r\n"), "subtitle_translation")
    await captions.read_cues(job_id)
    for _ in range(2):
        await translate_passage(job_id, "es", 0)
    for _ in range(2):
        (file,) = await captions.write_translation(job_id)
    assert (file["name"], file["kind"], file["content_type"]) == ("es.srt", "subtitles", "application/x-subrip")
    text = (await worker.storage.read(file["storage_key"])).decode().replace("\r\n", "\n")
    before, after = FILE.splitlines(), text.splitlines()
    assert len(after) == len(before)
    changed = {old: new for old, new in zip(before, after, strict=True) if old != new}
    assert set(changed) <= {
        *("<i>Good morning.</i>", "{\\an8}He was not an", "ill-disposed young man.", "[a door is shut]")
    }
    assert changed["<i>Good morning.</i>"] == "<i>Buenos días.</i>"
    assert changed["{\\an8}He was not an"].startswith("{\\an8}No era")
    assert changed["ill-disposed young man."].endswith("índole.")


@pytest.mark.parametrize(
    ("source", "text", "written"),
    [
        ("Hello!", "مرحبا!", f"{RLE}مرحبا!{PDF}"),
        (f"{RLE}مرحبا!{PDF}", "أهلا!", f"{RLE}أهلا!{PDF}"),
        ("Hello!", "Hola!", "Hola!"),
    ],
)
def test_a_cue_that_comes_to_run_from_the_right_is_told_to_players(source: str, text: str, written: str) -> None:
    cue = split(f"{{\\i1}}{source}", "ass")
    assert captions.said_in(cue, text, "ass", "es" if text == "Hola!" else "ar") == f"{{\\i1}}{written}"


async def test_a_file_in_the_language_asked_for_is_kept_to_the_letter(
    worker: context.WorkerContext, make_media: MakeMedia, make_job: MakeJob
) -> None:
    job_id = await a_job(worker, make_media, make_job, FILE, "subtitle_translation", target_languages=["en"])
    await captions.read_cues(job_id)
    await translate_passage(job_id, "en", 0)
    (file,) = await captions.write_translation(job_id)
    assert (await worker.storage.read(file["storage_key"])).decode() == FILE


async def test_a_cancelled_job_writes_nothing(
    worker: context.WorkerContext, make_media: MakeMedia, make_job: MakeJob, make_session: Sessions
) -> None:
    job_id = await a_job(worker, make_media, make_job, FILE, "subtitle_translation")
    async with make_session.begin() as session:
        await session.execute(sa.update(Job).values(status="cancelled"))
    assert await captions.write_translation(job_id) == []


async def test_a_file_without_a_word_is_told_of(
    worker: context.WorkerContext, make_media: MakeMedia, make_job: MakeJob, make_session: Sessions
) -> None:
    text = "00:00:01,000 --> 00:00:02,000\n[a door is shut]\n"
    job_id = await a_job(worker, make_media, make_job, text, "subtitle_to_audio")
    assert await captions.read_cues(job_id) == 0
    assert "no_speech" in await warnings(make_session, job_id)


async def test_fifty_thousand_cues_become_passages_of_bounded_size(
    worker: context.WorkerContext, make_media: MakeMedia, make_job: MakeJob, make_session: Sessions
) -> None:
    count = 50_000
    text = "".join(
        f"{at}\n{clock.write(at * 0.7, ',')} --> {clock.write(at * 0.7 + 0.6, ',')}\nHe went {at}"
        f"{'.' if at % 3 else ''}\n\n"
        for at in range(count)
    )
    job_id = await a_job(worker, make_media, make_job, text, "subtitle_translation")
    passages = await captions.read_cues(job_id)
    async with make_session() as session:
        sizes = (
            await session.scalars(sa.select(sa.func.count()).select_from(SegmentRow).group_by(SegmentRow.passage))
        ).all()
    assert (len(sizes), sum(sizes)) == (passages, count)
    assert max(sizes) <= 2 * captions.CUES_A_PASSAGE["subtitle_translation"]
    assert len(srt.loads(text)) == count


async def test_json_is_written_anew_in_other_words_with_its_times_and_speakers(
    worker: context.WorkerContext, make_media: MakeMedia, make_job: MakeJob
) -> None:
    cues = [
        Cue(1.0, 2.5, ("Good morning.",), "Ann", (Word(" Good", 1.0, 1.2), Word(" morning.", 1.2, 2.0)), 1.0),
        Cue(2.5, 3.0, ("He was not an ill-disposed young man.",), "Bob"),
    ]
    job_id = await a_job(worker, make_media, make_job, cues_json.dumps(cues, "en"), "subtitle_translation")
    await captions.read_cues(job_id)
    await translate_passage(job_id, "es", 0)
    (file,) = await captions.write_translation(job_id)
    assert (file["name"], file["content_type"]) == ("es.json", "application/json")
    written = cues_json.loads((await worker.storage.read(file["storage_key"])).decode())
    assert [(cue.start, cue.end, cue.speaker, cue.words) for cue in written] == [
        (1.0, 2.5, "Ann", ()),
        (2.5, 3.0, "Bob", ()),
    ]
    assert written[0].text == "Buenos días."


@pytest.mark.parametrize(("profile", "kept"), [(None, True), ("netflix", False)])
async def test_other_formats_are_cut_anew_only_where_a_profile_is_asked_for_and_the_file_never(
    worker: context.WorkerContext, make_media: MakeMedia, make_job: MakeJob, profile: str | None, kept: bool
) -> None:
    text = "1\n00:00:01,000 --> 00:00:01,300\nGood morning.\n\n2\n00:00:08,000 --> 00:00:09,000\nGood morning.\n"
    options = {"formats": ["srt", "json", "txt"], "subtitle_profile": profile}
    job_id = await a_job(worker, make_media, make_job, text, "subtitle_translation", options=options)
    await captions.read_cues(job_id)
    await translate_passage(job_id, "es", 0)
    files = {
        each["name"]: (await worker.storage.read(each["storage_key"])).decode()
        for each in await captions.write_translation(job_id)
    }
    assert "00:00:01,000 --> 00:00:01,300\nBuenos días.\n" in files["es.srt"]
    assert (cues_json.loads(files["es.json"])[0].end == 1.3) is kept
    assert files["es.txt"] == "Buenos días.\n\nBuenos días.\n"
