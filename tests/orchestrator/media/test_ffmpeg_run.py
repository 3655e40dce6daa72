import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from orchestrator.media.failures import MediaError, failure
from orchestrator.media.ffmpeg import TELLING, run, source, target
from orchestrator.media.limits import Limits
from orchestrator.media.streams import inspect
from tests.orchestrator.media.clips import ffmpeg, waited

ENDLESS = ["ffmpeg", "-nostdin", "-re", "-f", "lavfi", "-i", "sine", "-f", "null", "-"]


def children() -> list[psutil.Process]:
    """Our own ffmpeg processes: the suite's servers are children of this process too."""
    return [
        each
        for each in psutil.Process().children()
        if each.status() != psutil.STATUS_ZOMBIE and each.name() in ("ffmpeg", "setpriv", "prlimit")
    ]


def test_the_output_of_a_command_is_returned() -> None:
    assert b"ffprobe version" in waited(run(["ffprobe", "-version"])).output


def test_progress_rises_to_the_length_of_the_output(tmp_path: Path) -> None:
    seen: list[float] = []
    ffmpeg(tmp_path, "{tone} in.wav")
    waited(run(target(source(tmp_path / "in.wav").audio, path=tmp_path / "out.mp3"), progress=seen.append))
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(3.0, abs=0.1)


def test_the_loop_goes_on_while_a_command_runs() -> None:
    async def scenario() -> int:
        ticks = 0
        work = asyncio.create_task(
            run(["ffmpeg", "-nostdin", "-f", "lavfi", "-i", "sine=duration=400", "-f", "null", "-"])
        )
        while not work.done():
            await asyncio.sleep(0.005)
            ticks += 1
        await work
        return ticks

    assert waited(scenario()) > 3


def test_a_command_that_takes_too_long_is_ended() -> None:
    with pytest.raises(MediaError, match="longer than") as caught:
        waited(run(ENDLESS, limits=Limits(0.5, 60)))
    assert caught.value.code == "media_timeout"
    assert children() == []


def test_cancelling_ends_the_command() -> None:
    async def scenario() -> None:
        work = asyncio.create_task(run(ENDLESS))
        while not children():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert children() == []

    waited(scenario())


def test_a_command_that_does_not_react_is_killed() -> None:
    async def scenario() -> None:
        work = asyncio.create_task(run(ENDLESS))
        while not children():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.2)
        for child in children():
            child.send_signal(signal.SIGSTOP)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert children() == []

    waited(scenario())


def test_no_command_outlives_a_worker_that_is_killed(tmp_path: Path) -> None:
    script = f"import asyncio\nfrom orchestrator.media.ffmpeg import run\nasyncio.run(run({ENDLESS!r}))"
    worker = subprocess.Popen([sys.executable, "-c", script])
    try:
        deadline = time.monotonic() + 30
        while not (started := [each for each in psutil.Process(worker.pid).children() if each.name() == "ffmpeg"]):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
    _, alive = psutil.wait_procs(started, timeout=60)
    assert alive == []


def test_a_full_disk_is_named() -> None:
    command = ["ffmpeg", "-nostdin", "-f", "lavfi", "-i", "sine=duration=20", "-f", "s16le", "-y", "/dev/full"]
    with pytest.raises(MediaError, match="no space") as caught:
        waited(run(command))
    assert (caught.value.code, caught.value.status) == ("storage_full", 507)


def test_a_full_disk_is_named_where_ffmpeg_tells_of_more_than_errors() -> None:
    command = ["ffmpeg", "-nostdin", "-f", "lavfi", "-i", "sine=duration=20", "-f", "s16le", "-y", "/dev/full"]
    with pytest.raises(MediaError, match="no space") as caught:
        waited(run(command, verbosity=TELLING))
    assert caught.value.code == "storage_full"


def test_a_damaged_file_is_named_where_ffmpeg_tells_of_more_than_errors(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no media at all" * 1000)
    with pytest.raises(MediaError, match="incomplete, damaged or not a media file"):
        waited(run(target(source(tmp_path / "a.mp4").audio, path=tmp_path / "a.wav"), verbosity=TELLING))


LIMITED = """
import asyncio, resource, signal, sys
from orchestrator.media.ffmpeg import MediaError, run

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
command = ["ffmpeg", "-nostdin", "-f", "lavfi", "-i", "sine=duration=60", "-y", sys.argv[1]]
try:
    asyncio.run(run(command))
except MediaError as error:
    print(error.code, error.status)
"""


@pytest.mark.parametrize("name", ["out.wav", "out.mkv", "out.mp4"])
def test_a_limit_of_file_sizes_is_a_full_disk(tmp_path: Path, name: str) -> None:
    command = [sys.executable, "-c", LIMITED, str(tmp_path / name)]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    assert said.split() == ["storage_full", "507"]


def test_a_command_that_dies_while_it_is_fed_says_why() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(1_000_000)

    command = ["ffmpeg", "-nostdin", "-f", "s16le", "-i", "pipe:0", "-f", "s16le", "-y", "/dev/full"]
    with pytest.raises(MediaError) as caught:
        waited(run(command, stdin=endless()))
    assert caught.value.code == "storage_full"


def test_what_fails_while_feeding_comes_through_and_leaves_no_process() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield bytes(1000)
        raise KeyError("clip")

    with pytest.raises(KeyError):
        waited(run(["ffmpeg", "-nostdin", "-f", "s16le", "-i", "pipe:0", "-f", "null", "-"], stdin=broken()))
    assert children() == []


@pytest.mark.parametrize("content", [b"", b"hello, this is no video at all\n" * 50, bytes(5000)])
def test_what_is_no_media_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "fake.mp4").write_bytes(content)
    with pytest.raises(MediaError) as caught:
        waited(inspect(tmp_path / "fake.mp4"))
    assert caught.value.code == "media_invalid"


def test_a_file_without_its_index_is_said_to_be_incomplete(tmp_path: Path) -> None:
    ffmpeg(tmp_path, "{picture} {h264} whole.mp4")
    (tmp_path / "half.mp4").write_bytes((tmp_path / "whole.mp4").read_bytes()[:5000])
    with pytest.raises(MediaError, match="incomplete") as caught:
        waited(inspect(tmp_path / "half.mp4"))
    assert caught.value.code == "media_invalid"


@pytest.mark.parametrize(
    "content",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nsecret.mp4\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile secret.mp4\n",
    ],
)
def test_a_playlist_opens_no_other_file(tmp_path: Path, content: str) -> None:
    ffmpeg(tmp_path, "{picture} {h264} secret.mp4")
    (tmp_path / "list.mp4").write_text(content)
    with pytest.raises(MediaError):
        waited(inspect(tmp_path / "list.mp4"))


@pytest.mark.parametrize("name", ["-i.wav", "http:x.wav", "a b'\"$(id);.wav", "%d.wav", "é" * 100 + ".wav"])
def test_a_name_is_only_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    ffmpeg(tmp_path, "{tone} plain.wav")
    monkeypatch.chdir(tmp_path)
    Path("plain.wav").rename(name)
    waited(run(target(source(Path(name)).audio, path=Path("out.wav"))))
    assert waited(inspect(Path(name))).duration == pytest.approx(3.0)


def test_an_error_nobody_foresaw_shows_its_last_line_without_paths() -> None:
    error = failure("something\nfile:/srv/data/jobs/1/x.mp4: the moon is in the wrong phase\n", 1)
    assert error.message == "ffmpeg could not work on the file: x.mp4: the moon is in the wrong phase"
    assert (error.code, error.status) == ("media_failed", 500)
    assert "ended with code 7" in failure("", 7).message
