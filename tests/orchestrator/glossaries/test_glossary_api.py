"""A user's glossary over the API, and that a job keeps the one it was asked for with."""

from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from orchestrator.jobs.models import Job
from orchestrator.jobs.terms import terms_of
from tests.orchestrator.jobs.conftest import Ask, Sessions, ask, make_media, media

__all__ = ["ask", "make_media", "media"]

pytestmark = pytest.mark.anyio


async def add(client: httpx.AsyncClient, source: str, **entry: Any) -> httpx.Response:
    return await client.post("/v1/glossary", json={"source": source, **entry})


async def test_terms_are_added_listed_changed_and_deleted(client: httpx.AsyncClient) -> None:
    first = await add(client, " data  base ", target="base de datos", source_language="EN", target_language="es")
    assert first.status_code == 201
    entry = first.json()
    assert (entry["source"], entry["source_language"]) == ("data base", "en")
    await add(client, "Elinor")
    page = (await client.get("/v1/glossary?limit=1")).json()
    assert [each["source"] for each in page["items"]] == ["Elinor"]
    rest = (await client.get(f"/v1/glossary?cursor={page['next_cursor']}")).json()
    assert ([each["id"] for each in rest["items"]], rest["next_cursor"]) == ([entry["id"]], None)
    url = f"/v1/glossary/{entry['id']}"
    changed = await client.put(url, json={"source": "data base", "target": "banco de datos", "target_language": "es"})
    assert (changed.json()["target"], changed.json()["source_language"]) == ("banco de datos", None)
    assert (await client.get(url)).json() == changed.json()
    assert (await client.delete(url)).status_code == 204
    assert (await client.get(url)).status_code == 404


async def test_a_term_there_is_already_is_refused_whatever_its_case_unless_that_counts(
    client: httpx.AsyncClient,
) -> None:
    there = (await add(client, "Straße", target="calle", target_language="es")).json()
    again = await add(client, "STRASSE", target="rúa", target_language="es")
    assert (again.status_code, again.json()["code"], again.json()["entry_id"]) == (409, "term_exists", there["id"])
    assert (await add(client, "STRASSE", target="rue", target_language="fr")).status_code == 201
    assert (await add(client, "US", target="EE. UU.", case_sensitive=True)).status_code == 201
    assert (await add(client, "us", target="nosotros", case_sensitive=True)).status_code == 201
    own = await client.put(f"/v1/glossary/{there['id']}", json={"source": "straße", "target_language": "es"})
    assert own.status_code == 200


@pytest.mark.parametrize(
    "entry",
    [
        {"source": ""},
        {"source": " \u200b "},
        {"source": "a\x00"},
        {"source": "a\nb"},
        {"source": "a", "target": ""},
        {"source": "x" * 201},
        {"source": "a", "target_language": "klingonish-x"},
        {"source": "a", "other": 1},
        {},
    ],
)
async def test_a_term_that_is_none_is_refused(client: httpx.AsyncClient, entry: dict[str, Any]) -> None:
    assert (await client.post("/v1/glossary", json=entry)).status_code == 422


async def test_emoji_right_to_left_and_terms_within_terms_are_terms(client: httpx.AsyncClient) -> None:
    for source in ("🙂", "إلينور", "base", "base de datos", "C++"):
        assert (await add(client, source, target="x")).status_code == 201


async def test_a_glossary_is_its_owners_alone(client: httpx.AsyncClient, stranger: httpx.AsyncClient) -> None:
    entry = (await add(client, "a")).json()
    assert (await stranger.get(f"/v1/glossary/{entry['id']}")).status_code == 404
    assert (await stranger.delete(f"/v1/glossary/{entry['id']}")).status_code == 404
    assert (await stranger.get("/v1/glossary")).json()["items"] == []


async def test_a_job_keeps_the_glossary_it_was_asked_for_with(
    client: httpx.AsyncClient, ask: Ask, make_session: Sessions
) -> None:
    entry = (await add(client, "database", target="base de datos", target_language="es")).json()
    await add(client, "database", target="Datenbank", target_language="de")
    await add(client, "Elinor")
    await add(client, "elinor", target="Leonor", source_language="en", target_language="es-MX")
    created = await ask()
    assert created.status_code == 201, created.text
    await client.delete(f"/v1/glossary/{entry['id']}")
    async with make_session() as session:
        job = await session.scalar(sa.select(Job))
        assert job is not None
    terms = {term.source: term.target for term in terms_of(job, "en-GB", "es")}
    assert terms == {"database": "base de datos", "elinor": "Leonor"}
    assert {term.source for term in terms_of(job, "ja", "es")} == {"database", "Elinor"}
