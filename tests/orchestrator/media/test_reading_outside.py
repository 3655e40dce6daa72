"""No file of a user makes ffmpeg open another file or call an address: seen at the system calls, not by an error."""

import asyncio
import contextlib
import shlex
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.errors import OctaviaError
from orchestrator.media.audio import encode_audio, extract_speech_audio
from orchestrator.media.ffmpeg import run, source, target
from orchestrator.media.loudness import measure_loudness
from orchestrator.media.merge import merge
from orchestrator.media.probe import probe
from orchestrator.media.streams import inspect
from tests.orchestrator.media import watched
from tests.orchestrator.media.baits import BAITS, Bait, Trap, trap
from tests.orchestrator.media.watched import needs_strace

pytestmark = needs_strace

SUBTITLES = (".srt", ".vtt", ".ass")
"""We read these ourselves, and ffmpeg only where it is made to."""


@pytest.fixture(scope="module")
def set_trap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trap]:
    with trap(tmp_path_factory.mktemp("trap")) as found:
        yield found


def laid(bait: Bait, set_trap: Trap) -> Path:
    path = set_trap.folder / bait.name
    path.write_bytes(bait.content(set_trap))
    set_trap.visits.clear()
    return path


def names(bait: object) -> str:
    return bait.name if isinstance(bait, Bait) else ""


@pytest.mark.parametrize("bait", [each for each in BAITS if each.careless is not None], ids=names)
def test_a_careless_ffmpeg_takes_the_bait_and_is_seen(bait: Bait, set_trap: Trap, tmp_path: Path) -> None:
    path = laid(bait, set_trap)
    log = tmp_path / "log"
    options = shlex.split(bait.careless or "")
    command = ["ffmpeg", "-nostdin", "-v", "error", *options, "-i", f"file:{path}", "-t", "0.1", "-f", "null", "-"]
    subprocess.run([*watched.command(log), *command], check=False, capture_output=True, timeout=60)
    seen = watched.touched(log, [path])
    assert seen
    assert bool(set_trap.visits) == any("SOCK_STREAM" in line for line in seen)


async def read_plainly(path: Path, _: Path) -> None:
    """ffmpeg on its own, where the functions below stop at what ffprobe says."""
    await run(target(source(path), path=Path("/dev/null"), format="null"))


async def speech(path: Path, folder: Path) -> None:
    await extract_speech_audio(path, folder / "speech.pcm")


async def encoded(path: Path, folder: Path) -> None:
    await encode_audio(path, folder / "sound.mp3")


async def merged(path: Path, folder: Path) -> None:
    await merge(path, None, folder / "merged.mp4")


async def dubbed(path: Path, folder: Path) -> None:
    """The file in the place of a dub."""
    await merge(path.parent / "plain.mov", path, folder / "merged.mp4")


Reader = Callable[[Path, Path], Awaitable[object]]
READERS: tuple[Reader, ...] = (
    lambda path, _: probe(path),
    read_plainly,
    lambda path, _: inspect(path),
    lambda path, _: measure_loudness(path),
    speech,
    encoded,
    merged,
    dubbed,
)


def read(path: Path, folder: Path, readers: tuple[Reader, ...]) -> None:
    """Let our own functions read a file, or refuse it in their own words."""

    async def all_of_them() -> None:
        for reader in readers:
            with contextlib.suppress(OctaviaError):
                await reader(path, folder)

    asyncio.run(all_of_them())


def nothing_was_touched(
    bait: Bait, set_trap: Trap, folder: Path, monkeypatch: pytest.MonkeyPatch, readers: tuple[Reader, ...]
) -> None:
    path = laid(bait, set_trap)
    log = folder / "log"
    watched.watch(monkeypatch, log)
    read(path, folder, readers)
    ours = (f'"{folder}/', f'"{path.parent}/plain.mov"')
    assert ("ffmpeg" if path.suffix in SUBTITLES else "ffprobe") in log.read_text()
    assert [line for line in watched.touched(log, [path]) if not any(each in line for each in ours)] == []
    assert set_trap.visits == []


@pytest.mark.parametrize("bait", BAITS, ids=names)
def test_no_bait_is_taken(bait: Bait, set_trap: Trap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing_was_touched(bait, set_trap, tmp_path, monkeypatch, READERS[:2])


@pytest.mark.soak
@pytest.mark.parametrize("bait", BAITS, ids=names)
def test_no_bait_is_taken_anywhere(bait: Bait, set_trap: Trap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing_was_touched(bait, set_trap, tmp_path, monkeypatch, READERS)
