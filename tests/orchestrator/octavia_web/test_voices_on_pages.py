"""The pages' voices: the library, those of a language, previews."""

import dataclasses

import httpx
import pytest

from orchestrator.capabilities import Voice
from tests.fixtures_control_plane import KNOWN, QueueStandIn
from tests.orchestrator.octavia_web.conftest import mirrored, refusal

pytestmark = pytest.mark.anyio


async def test_the_library_by_language_is_public(visitor: httpx.AsyncClient) -> None:
    fields = mirrored(await visitor.get("/api/voices/all"))
    assert set(fields["voices_by_language"]) == {"en", "es"}
    (voice,) = fields["voices_by_language"]["es"]
    assert (voice["voice_id"], voice["name"], voice["gender"]) == ("lola", "Lola (Female)", "female")
    assert voice["sample_text"].startswith("Hola")


async def test_a_language_gets_its_own_voices_or_the_stand_in_a_dub_would_get(visitor: httpx.AsyncClient) -> None:
    assert [each["voice_id"] for each in mirrored(await visitor.get("/api/voices/es"))["voices"]] == ["lola"]
    (stand_in,) = mirrored(await visitor.get("/api/voices/german"))["voices"]
    assert (stand_in["voice_id"], stand_in["language_code"]) == ("joe", "de")


@pytest.mark.parametrize("language", ["xyz", "ja", "no language at all"])
async def test_a_language_without_a_voice_is_said_to_be_unsupported(visitor: httpx.AsyncClient, language: str) -> None:
    answer = await visitor.get(f"/api/voices/{language}")
    assert "not supported" in refusal(answer, 200)
    assert answer.json()["voices"] == []


async def test_a_preview_by_voice_or_by_the_language_in_its_place(
    page: httpx.AsyncClient, visitor: httpx.AsyncClient, queue: QueueStandIn
) -> None:
    form = {"voice_id": "lola", "text": "Buenos días.", "language": "es"}
    fields = mirrored(await page.post("/api/voices/preview", data=form))
    assert fields["preview_url"].startswith("/api/voices/previews/")
    assert fields["credits_remaining"] == 0
    heard = await visitor.get(fields["preview_url"])
    assert (heard.status_code, heard.headers["Content-Type"]) == (200, "audio/mpeg")
    by_language = {"voice_id": "es", "text": "Buenos días.", "language": "es"}
    assert mirrored(await page.post("/api/voices/preview", data=by_language))["voice_id"] == "lola"
    assert [each.voice for each in queue.spoken] == ["lola"]


async def test_a_preview_needs_a_login_and_a_voice(page: httpx.AsyncClient, visitor: httpx.AsyncClient) -> None:
    form = {"voice_id": "nobody", "text": "Hello.", "language": "en"}
    refusal(await visitor.post("/api/voices/preview", data=form), 403)
    assert "no voice" in refusal(await page.post("/api/voices/preview", data=form), 400)
    refusal(await page.post("/api/voices/preview", data={}), 400)


async def test_without_models_the_library_says_so(visitor: httpx.AsyncClient, queue: QueueStandIn) -> None:
    queue.known = None
    refusal(await visitor.get("/api/voices/all"), 503)


async def test_a_voice_of_several_languages_is_offered_for_each(
    visitor: httpx.AsyncClient, queue: QueueStandIn
) -> None:
    several = Voice(
        "yours", "en", None, "CC0", True, frozenset(), 15.0, languages=frozenset({"en", "fr"}), cloning="xtts"
    )
    queue.known = dataclasses.replace(KNOWN, voices=(*KNOWN.voices, several))
    (french,) = mirrored(await visitor.get("/api/voices/fr"))["voices"]
    assert (french["voice_id"], french["language_code"], french["gender"]) == ("yours", "fr", None)
    assert [each["voice_id"] for each in mirrored(await visitor.get("/api/voices/es"))["voices"]] == ["lola"]
    assert mirrored(await visitor.get("/api/voices/all"))["total"] == 3
