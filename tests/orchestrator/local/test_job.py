"""What the command line asks for, and where its results land."""

import asyncio
from pathlib import Path

import httpx
import pytest

from orchestrator.local.client import Client
from orchestrator.local.job import Wish, result_name

MEDIA = {"id": "7", "kind": "audio"}


@pytest.mark.parametrize("kind", ["audio", "video"])
def test_a_dub_is_of_the_kind_the_upload_turned_out_to_be(kind: str) -> None:
    wish = Wish(Path("a.bin"), Path("out"), to="es")
    assert wish.request({"id": "7", "kind": kind}) == {
        "media_id": "7",
        "kind": f"{kind}_translation",
        "target_languages": ["es"],
        "source_language": None,
    }


def test_a_voice_and_a_language_are_passed_on() -> None:
    request = Wish(Path("a.wav"), Path("out"), to="es", source="en", options={"voice": "joe", "format": None}).request(
        MEDIA
    )
    assert (request["options"], request["source_language"]) == ({"voice": "joe"}, "en")


def test_subtitles_need_no_language_to_translate_into_and_show_no_bars_for_what_is_not_done() -> None:
    wish = Wish(Path("a.wav"), Path("out"), "subtitles")
    assert wish.request(MEDIA)["target_languages"] == []
    assert wish.stages() == ("uploading", "extracting", "transcribing", "merging")
    assert "translating" in Wish(Path("a.wav"), Path("out"), "subtitles", to="es").stages()


def test_results_are_named_after_the_file() -> None:
    assert result_name("talk.v2", "es.mp4") == "talk.v2.es.mp4"


@pytest.mark.parametrize("stem", ["x" * 251, "é" * 120 + "x", "話" * 83, "🎬" * 62])
def test_a_long_name_is_cut_between_characters_so_that_a_partial_download_fits_too(stem: str) -> None:
    name = result_name(stem, "transcript.en.json")
    assert len(f"{name}.part".encode()) in range(252, 256)
    assert name.endswith(".transcript.en.json")
    assert stem.startswith(name.removesuffix(".transcript.en.json"))


async def download_from(answer: bytes, destination: Path) -> Path:
    """Download from a server that sends these bytes and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, Client(f"http://127.0.0.1:{port}", "token") as client:
        return await client.download("7", "es.mp4", destination)


def test_a_whole_download_gets_its_name(tmp_path: Path) -> None:
    path = asyncio.run(download_from(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfilm", tmp_path / "es.mp4"))
    assert path.read_bytes() == b"film"
    assert list(tmp_path.iterdir()) == [path]


def test_a_download_that_breaks_off_leaves_nothing_and_an_earlier_result_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "es.mp4").write_bytes(b"earlier")
    with pytest.raises(httpx.RemoteProtocolError):
        asyncio.run(download_from(b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\nfilm", tmp_path / "es.mp4"))
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("es.mp4", b"earlier")]
