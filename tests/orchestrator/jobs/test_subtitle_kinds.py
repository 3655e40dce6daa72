"""Jobs on subtitle files through the API: what they need and cost, and what is refused before anything is held."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.jobs.models import Job
from orchestrator.media.models import Media
from tests.orchestrator.jobs.conftest import MakeMedia

pytestmark = pytest.mark.anyio
Sessions = async_sessionmaker[AsyncSession]
Ask = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
def make_file(make_media: MakeMedia) -> Callable[..., Awaitable[Media]]:
    async def make(language: str | None = "en") -> Media:
        found = {"format": "srt", "encoding": "utf-8", "cues": 2, "language": language, "remarks": []}
        return await make_media(
            kind="subtitles", filename="film.srt", video=None, audio=[], subtitles=found, duration=64.0
        )

    return make


@pytest.fixture
async def file(make_file: Callable[..., Awaitable[Media]]) -> Media:
    """A subtitle file whose text is English."""
    return await make_file()


@pytest.fixture
def ask(client: httpx.AsyncClient, file: Media) -> Ask:
    """Ask for a translation of the file into Spanish, or for what the changes make of that; of the quote by `path`."""

    async def ask_for(path: str = "", **changes: Any) -> httpx.Response:
        body = {"kind": "subtitle_translation", "media_id": str(file.id), "target_languages": ["es"]} | changes
        return await client.post(f"/v1/jobs{path}", json=body)

    return ask_for


async def test_the_language_of_the_file_is_told_by_its_text(ask: Ask) -> None:
    job = (await ask(target_languages=["es", "de"])).json()
    assert (job["kind"], job["source_language"], job["detected_language"]) == ("subtitle_translation", None, "en")
    assert job["target_languages"] == ["es", "de"]
    given = (await ask(source_language="es", target_languages=["de"])).json()
    assert (given["source_language"], given["detected_language"]) == ("es", None)


async def test_without_a_target_a_file_is_read_aloud_in_its_own_language(ask: Ask) -> None:
    job = (await ask(kind="subtitle_to_audio", target_languages=[])).json()
    assert job["target_languages"] == ["en"]
    quoted = (await ask("/quote", kind="subtitle_to_audio", target_languages=[])).json()
    assert quoted["lines"] == [{"language": "en", "credits": 0}]
    assert quoted["notices"] == []


async def test_a_file_whose_language_is_not_certain_needs_it_said(
    ask: Ask, make_file: Callable[..., Awaitable[Media]]
) -> None:
    vague = await make_file(language=None)
    for path in ("", "/quote"):
        answer = await ask(path, media_id=str(vague.id))
        assert (answer.status_code, answer.json()["code"]) == (422, "source_language_needed")
        assert "Give source_language" in answer.json()["detail"]
    assert (await ask(media_id=str(vague.id), source_language="en")).status_code == 201


async def test_each_kind_is_for_its_own_media(ask: Ask, media: Media) -> None:
    for kind in ("video_translation", "audio_translation", "subtitles"):
        answer = await ask(kind=kind)
        assert (answer.status_code, answer.json()["code"]) == (422, "unfit_media")
        assert "subtitle_translation" in answer.json()["detail"]
    for kind in ("subtitle_translation", "subtitle_to_audio"):
        answer = await ask(kind=kind, media_id=str(media.id))
        assert (answer.status_code, answer.json()["code"]) == (422, "unfit_media")
        assert "no subtitle file" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["", "/quote"])
@pytest.mark.parametrize(
    ("changes", "code", "can"),
    [
        (
            {"kind": "subtitle_to_audio", "target_languages": ["es", "pt-BR", "fr"]},
            "no_voice",
            {"es": "speech", "pt-BR": "subtitles", "fr": "nothing"},
        ),
        ({"target_languages": ["pt-BR", "fr"]}, "unknown_language", {"pt-BR": "subtitles", "fr": "nothing"}),
        (
            {"source_language": "de", "target_languages": ["es", "de"]},
            "no_translation",
            {"es": "nothing", "de": "speech"},
        ),
        (
            {"kind": "subtitle_to_audio", "source_language": "xx", "target_languages": []},
            "no_voice",
            {"xx": "subtitles"},
        ),
    ],
)
async def test_what_each_target_can_get_is_said_before_anything_is_held(
    ask: Ask, make_session: Sessions, path: str, changes: dict[str, Any], code: str, can: dict[str, str]
) -> None:
    answer = await ask(path, **changes)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert answer.json()["targets"] == can
    for language, what in can.items():
        words = {"speech": "can be spoken", "subtitles": "subtitles only, no voice", "nothing": "nothing, no"}[what]
        assert f"{language}: {words}" in answer.json()["detail"]
    async with make_session() as session:
        assert await session.scalar(sa.select(sa.func.count()).select_from(Job)) == 0


async def test_the_same_is_said_of_a_dub(client: httpx.AsyncClient, media: Media) -> None:
    body = {
        "kind": "video_translation",
        "media_id": str(media.id),
        "source_language": "en",
        "target_languages": ["es", "pt-BR"],
    }
    answer = await client.post("/v1/jobs/quote", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "no_voice")
    assert answer.json()["targets"] == {"es": "speech", "pt-BR": "subtitles"}


async def test_a_language_that_is_not_heard_can_still_be_read(ask: Ask) -> None:
    assert (await ask(source_language="pt", target_languages=["pt"])).status_code == 201


async def test_a_quote_says_what_to_know_of_the_result(ask: Ask) -> None:
    quoted = (await ask("/quote", kind="subtitle_to_audio", target_languages=["es", "de"])).json()
    assert [each["code"] for each in quoted["notices"]] == ["toy_translation", "stand_in_voice"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"options": {"format": "wav"}}, "gives no sound file"),
        ({"kind": "subtitle_to_audio", "options": {"formats": ["srt"]}}, "which subtitle_to_audio does not give"),
        ({"kind": "subtitle_to_audio", "options": {"format": "midi"}}, "format"),
        ({"options": {"formats": []}}, "formats"),
        ({"options": {"loudness": -23}}, "subtitle_translation gives no speech"),
        ({"kind": "subtitle_to_audio", "options": {"mix": "voice_over"}}, "subtitle_to_audio has none"),
        ({"options": {"formats": ["srt", "srt"]}}, "more than once"),
        ({"options": {"formats": ["docx"]}}, "formats"),
        ({"target_languages": []}, "target_languages is needed"),
    ],
)
async def test_options_are_those_of_the_kind(ask: Ask, changes: dict[str, Any], says: str) -> None:
    answer = await ask(**changes)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert says in answer.json()["detail"]


async def test_while_the_models_are_away_a_job_on_a_file_waits_too(ask: Ask, queue: Any) -> None:
    queue.known = None
    assert (await ask(target_languages=["fr"])).status_code == 201
