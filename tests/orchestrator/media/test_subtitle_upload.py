"""Subtitle files taken in by the same route as media."""

import httpx
import pytest

from orchestrator.settings import Settings
from orchestrator.subtitles import cues_json
from orchestrator.subtitles.cues import Cue

pytestmark = pytest.mark.anyio

SRT = (
    "1\n00:00:01,000 --> 00:00:02,000\nHe was not an ill-disposed young man,\n\n"
    "2\n00:00:02,500 --> 00:01:04,250\nunless to be cold-hearted is to be ill-disposed.\n"
)


async def send(client: httpx.AsyncClient, data: bytes, name: str = "film.srt") -> httpx.Response:
    return await client.post("/v1/media", files={"file": (name, data, "application/octet-stream")})


async def test_a_subtitle_file_is_told_by_its_content(client: httpx.AsyncClient) -> None:
    answer = await send(client, SRT.encode(), "film.mp4")
    assert answer.status_code == 201, answer.text
    media = answer.json()
    assert (media["kind"], media["content_type"], media["duration"]) == ("subtitles", "application/x-subrip", 64.25)
    assert (media["has_audio"], media["video"], media["audio"]) == (False, None, [])
    assert media["subtitles"] == {"format": "srt", "encoding": "utf-8", "cues": 2, "language": "en", "remarks": []}
    assert (await client.get(f"/v1/media/{media['id']}")).json() == media


@pytest.mark.parametrize(
    ("data", "suffix", "content_type"),
    [
        (b"WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n", "vtt", "text/vtt"),
        (b"[Script Info]\n[Events]\nDialogue: 0,0:00:01.00,0:00:02.00,D,,0,0,0,,Hello\n", "ass", "text/x-ssa"),
        (b"[V4 Styles]\n[Events]\nDialogue: 0,0:00:01.00,0:00:02.00,D,,0,0,0,,Hello\n", "ssa", "text/x-ssa"),
        (SRT.encode("utf-16"), "srt", "application/x-subrip"),
    ],
)
async def test_every_format_is_taken(
    client: httpx.AsyncClient,
    data: bytes,
    suffix: str,
    content_type: str,
) -> None:
    media = (await send(client, data)).json()
    assert (media["subtitles"]["format"], media["content_type"]) == (suffix, content_type)


async def test_what_is_not_as_it_should_be_is_told_with_its_line(client: httpx.AsyncClient) -> None:
    text = SRT + "\n3\n00:01:0x,000 --> 00:01:08,000\nlost?\n\n4\n00:00:03,000 --> 00:00:01,000\nPeut-être à côté\n"
    media = (await send(client, text.encode("cp1252"))).json()
    remarks = {each["code"]: each["message"] for each in media["subtitles"]["remarks"]}
    assert set(remarks) == {"malformed_cue", "backwards", "encoding_guessed", "overlap"}
    assert remarks["malformed_cue"].startswith("Line 10: '00:01:0x,000 --> 00:01:08,000' is not")
    assert media["subtitles"]["cues"] == 3


@pytest.mark.parametrize(
    ("data", "status", "code", "says"),
    [
        (b"1\n00:00:0X,000 --> 00:00:02,000\nlost\n", 422, "subtitles_invalid", "line 2: '00:00:0X"),
        (b"1\n00:00:01,000 --> 99:00:02,000\nlong\n", 422, "too_long", "at most 10"),
        (b"Dear Elinor,\nI am well.\n", 422, "not_media", "srt, vtt, ass or ssa"),
        (b"\xef\xbb\xbf", 422, "not_media", "srt, vtt"),
    ],
)
async def test_what_no_cue_can_be_read_of_is_refused(
    client: httpx.AsyncClient, data: bytes, status: int, code: str, says: str
) -> None:
    answer = await send(client, data)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert says in answer.json()["detail"]
    assert (await client.get("/v1/media")).json()["items"] == []


async def test_a_subtitle_file_over_its_own_limit_is_refused(client: httpx.AsyncClient, app_settings: Settings) -> None:
    app_settings.max_subtitle_bytes = len(SRT)
    assert (await send(client, SRT.encode())).status_code == 201
    answer = await send(client, (SRT + "\n").encode())
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert "subtitle file" in answer.json()["detail"]
    other = await send(client, b"x" * (len(SRT) + 1))
    assert other.json()["code"] == "not_media"


async def test_a_text_without_times_is_taken_by_its_name_and_told_about(client: httpx.AsyncClient) -> None:
    text = "He was not an ill-disposed young man. He might even have been made amiable himself.\n\nHe was not.\n"
    answer = await send(client, text.encode(), "letter.TXT")
    assert answer.status_code == 201, answer.text
    subtitles = answer.json()["subtitles"]
    assert (subtitles["format"], subtitles["cues"]) == ("srt", 3)
    assert [each["code"] for each in subtitles["remarks"]] == ["no_times"]
    assert (await send(client, text.encode(), "letter.md")).status_code == 422


async def test_our_own_json_is_taken_again_and_none_other(client: httpx.AsyncClient) -> None:
    written = cues_json.dumps([Cue(1.0, 2.5, ("He was not an", "ill-disposed young man."), "Ann")], "en")
    answer = await send(client, written.encode(), "film.json")
    assert answer.status_code == 201, answer.text
    media = answer.json()
    assert (media["content_type"], media["duration"]) == ("application/json", 2.5)
    assert (media["subtitles"]["format"], media["subtitles"]["cues"]) == ("json", 1)
    broken = await send(client, written.encode()[:-9], "film.json")
    assert (broken.status_code, broken.json()["code"]) == (422, "subtitles_invalid")
    assert "not valid JSON" in broken.json()["detail"]
    assert (await send(client, b'{"segments": []}', "film.json")).status_code == 422
