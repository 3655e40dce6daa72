"""Damaged and hostile files through the real upload, and what is taken in through everything that reads it."""

import asyncio
import contextlib
import itertools
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from orchestrator.errors import OctaviaError
from orchestrator.media.audio import encode_audio, extract_speech_audio
from orchestrator.media.clip import clip
from orchestrator.media.loudness import measure_loudness
from orchestrator.media.merge import merge
from orchestrator.settings import Settings
from tests.orchestrator.media import watched
from tests.orchestrator.media.baits import BAITS, Trap, trap
from tests.orchestrator.media.clips import ffmpeg
from tests.orchestrator.media.giants import GIANTS
from tests.orchestrator.media.hollows import HOLLOWS
from tests.orchestrator.media.mutants import MEDIA, TEXT, mutant
from tests.orchestrator.media.watched import needs_strace

pytestmark = [pytest.mark.anyio, needs_strace]

File = tuple[str, bytes]
"""What is wrong with it, and its content."""

QUICK_MEDIA, QUICK_TEXT = 12, 5
QUICK_TELLING = (("v.mov", 81), ("v.flv", 194), ("av1.mkv", 200))
"""Sound that cannot be decoded, and two files that end somewhat before their headers say."""
QUICK_HOLLOWS = (
    "empty",
    "wav of one sample",
    "mp4 without samples",
    "mp4 of no seconds in its times",
    "wav without sound",
)
QUICK_BAITS = ("segment-on-disk.mp4", "concat-on-the-web.mov", "drawing.svg")
QUICK_GIANTS = ("a zip archive",)
FULL_MEDIA, FULL_TEXT = 208, 64
LONGEST_S = 200
"""What an upload may take at most, by the limits of probing; and each of the stages after it."""
TEXTS = [each.name for each in BAITS if each.name.endswith((".mp4", ".srt", ".vtt", ".ass", ".smi", ".asx", ".mkv"))]
REASONS = frozenset(
    {
        *("not_media", "media_incomplete", "media_empty", "media_hollow", "media_unreadable", "frame_too_large"),
        *("too_many_streams", "media_too_heavy", "codec_unsupported", "no_file", "too_long", "subtitles_invalid"),
        *("no_audio", "no_picture", "media_truncated", "media_invalid", "picture_undecodable"),
    }
)
"""All that a damaged file may be told; each says what to do."""


@dataclass
class Tally:
    """What became of the files."""

    answers: Counter[str] = field(default_factory=Counter)
    stages: Counter[str] = field(default_factory=Counter)
    longest: tuple[float, str] = (0.0, "")
    slowest_health: float = 0.0
    traced: int = 0
    """Files for which strace saw ffprobe run."""

    def __str__(self) -> str:
        seconds, name = self.longest
        return (
            f"{sum(self.answers.values())} uploads, {self.traced} of them read by ffprobe: {dict(self.answers)}; "
            f"stages of what was taken in: {dict(self.stages)}; longest {seconds:.1f} s ({name}); "
            f"slowest health check {self.slowest_health:.2f} s"
        )


@pytest.fixture(scope="module")
def seeds(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A short file of every container."""
    folder = tmp_path_factory.mktemp("seeds")
    more = {
        "h264.ts": "{picture} {tone} {h264} -bf 2 -c:a aac",
        "old.mpg": "{picture} {tone} -c:v mpeg1video -c:a mp2",
        "phone.3gp": "{picture} {tone} -c:v h263 -s 176x144 -c:a aac -ar 8000 -ac 1",
        "fragments.mp4": "{picture} {tone} {h264} -c:a aac -movflags frag_keyframe+empty_moov",
        "av1.mkv": "{picture} {tone} -c:v libsvtav1 -preset 12 -c:a libopus",
        "hevc.mov": "{picture} {tone} -c:v libx265 -preset ultrafast -x265-params log-level=none -c:a alac",
        "vp9.webm": "{picture} {tone} -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libvorbis",
    }
    for name, arguments in more.items():
        ffmpeg(folder, f"{arguments} {name}")
    return {path.name: path.read_bytes() for where in (clips, folder) for path in sorted(where.iterdir())}


@pytest.fixture(scope="module")
def set_trap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trap]:
    with trap(tmp_path_factory.mktemp("trap")) as found:
        yield found


def media_mutants(seeds: dict[str, bytes], count: int) -> list[File]:
    """Every container in turn, every kind of damage in turn."""
    names = itertools.cycle(seeds)
    return [mutant(name, seeds[name], number, MEDIA) for number, name in zip(range(count), names, strict=False)]


def text_mutants(set_trap: Trap, count: int) -> list[File]:
    """Playlists, scripts and subtitles that name other files, damaged."""
    texts = {each.name: each.content(set_trap) for each in BAITS if each.name in TEXTS}
    names = itertools.cycle(texts)
    return [mutant(name, texts[name], number, TEXT) for number, name in zip(range(count), names, strict=False)]


def made(makers: dict[str, Callable[[Path], bytes]], names: Sequence[str], workshop: Path) -> list[File]:
    """Files that are made in a folder each."""
    found = []
    for name in names:
        folder = workshop / name.replace(" ", "-")
        folder.mkdir(parents=True)
        found.append((name, makers[name](folder)))
    return found


def baits(set_trap: Trap, names: Sequence[str]) -> list[File]:
    return [(each.name, each.content(set_trap)) for each in BAITS if each.name in names]


@contextlib.asynccontextmanager
async def kept_healthy(client: httpx.AsyncClient, tally: Tally) -> AsyncIterator[None]:
    """Asks the API all the while whether it is well."""

    async def ask() -> None:
        while True:
            began = time.monotonic()
            assert (await client.get("/healthz")).status_code == 200
            tally.slowest_health = max(tally.slowest_health, time.monotonic() - began)
            await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as group:
        asking = group.create_task(ask())
        yield
        asking.cancel()


async def ends_of_stages(path: Path, scratch: Path) -> dict[str, OctaviaError | None]:
    """Whatever else reads a media, and the error it ended with."""
    work: dict[str, Coroutine[Any, Any, object]] = {
        "extract": extract_speech_audio(path, scratch / "speech.pcm"),
        "encode": encode_audio(path, scratch / "sound.mp3"),
        "measure": measure_loudness(path),
        "merge": merge(path, None, scratch / "merged.mp4"),
        "clip": clip(path, scratch / "clip.mp4", start=0.5, seconds=1.0),
    }
    ends: dict[str, OctaviaError | None] = {}
    for name, stage in work.items():
        try:
            await asyncio.wait_for(stage, LONGEST_S)
            ends[name] = None
        except OctaviaError as error:
            ends[name] = error
    return ends


def says_what_to_do(words: str) -> bool:
    """Whether a message goes on after it has said what happened."""
    return re.search(r"[.:] \S", words) is not None


async def tried(client: httpx.AsyncClient, file: File, stored: Path, scratch: Path, tally: Tally) -> None:
    """Upload a file and, where it is taken in as a media, put it through the stages."""
    name, content = file
    answer = await asyncio.wait_for(client.post("/v1/media", files={"file": (name, content)}), LONGEST_S)
    found = answer.json()
    if answer.status_code != 201:
        tally.answers[found["code"]] += 1
        assert (answer.status_code, found["code"] in REASONS) == (422, True), (name, found)
        assert says_what_to_do(found["detail"]), (name, found)
        return
    tally.answers[f"taken in as {found['kind']}"] += 1
    assert found["duration"] > 0, (name, found)
    if found["kind"] == "subtitles":
        return
    for stage, error in (await ends_of_stages(stored / "media" / found["id"] / "source", scratch)).items():
        tally.stages[f"{stage} {error.code if error else 'done'}"] += 1
        if error is not None:
            assert (error.status, error.code in REASONS) == (422, True), (name, stage, error.message)
            assert says_what_to_do(error.message), (name, stage, error.message)


def assert_kept_inside(log: Path, stored: Path, scratch: Path, name: str) -> None:
    """Nobody was called, and nothing was opened but this one file, what is written, and the system's own."""
    if not log.exists():
        return
    lines = [line for line in watched.touched(log, []) if f'"{scratch}/' not in line]
    own = {
        found[1] for line in lines if (found := re.search(rf'"({re.escape(str(stored))}/media/[^/"]+/source)"', line))
    }
    assert len(own) <= 1, (name, own)
    assert [line for line in lines if not any(f'"{path}"' in line for path in own)] == [], name


async def all_media(client: httpx.AsyncClient) -> list[str]:
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = (await client.get("/v1/media", params={"limit": 100} | ({"cursor": cursor} if cursor else {}))).json()
        found += [each["id"] for each in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


@dataclass(frozen=True)
class Bench:
    """Where files are tried."""

    client: httpx.AsyncClient
    stored: Path
    trap: Trap
    scratch: Path
    patch: pytest.MonkeyPatch

    async def all_tried(self, files: Sequence[File]) -> Tally:
        """Every file goes its way or is refused in clear words, and the API stays well, with nothing left behind."""
        tally, log, faults = Tally(), self.scratch.parent / "log", list[str]()
        self.trap.visits.clear()
        async with kept_healthy(self.client, tally):
            for file in files:
                log.unlink(missing_ok=True)
                watched.watch(self.patch, log)
                began = time.monotonic()
                try:
                    await tried(self.client, file, self.stored, self.scratch, tally)
                    assert_kept_inside(log, self.stored, self.scratch, file[0])
                except (AssertionError, TimeoutError) as error:
                    faults.append(f"{file[0]}: {error!r}")
                tally.traced += log.exists() and "ffprobe" in log.read_text()
                tally.longest = max(tally.longest, (time.monotonic() - began, file[0]))
        print(f"\n{tally}", *faults, sep="\n")
        assert faults == []
        taken = sum(count for answer, count in tally.answers.items() if answer.startswith("taken in"))
        assert sum(tally.answers.values()) == len(files)
        assert tally.traced > len(files) / 2
        assert len([path for path in self.stored.rglob("*") if path.is_file()]) == taken
        assert len(await all_media(self.client)) == taken
        assert [each.name() for each in psutil.Process().children(recursive=True) if "ff" in each.name()] == []
        assert self.trap.visits == []
        return tally


@pytest.fixture
def bench(
    client: httpx.AsyncClient, app_settings: Settings, set_trap: Trap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Bench:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return Bench(client, app_settings.data_dir / "storage", set_trap, scratch, monkeypatch)


async def test_damaged_files_are_taken_in_or_refused_with_a_reason(
    bench: Bench, seeds: dict[str, bytes], set_trap: Trap, tmp_path: Path
) -> None:
    files = [
        *media_mutants(seeds, QUICK_MEDIA),
        *[mutant(name, seeds[name], number, MEDIA) for name, number in QUICK_TELLING],
        *text_mutants(set_trap, QUICK_TEXT),
        *baits(set_trap, QUICK_BAITS),
        *made(HOLLOWS, QUICK_HOLLOWS, tmp_path / "hollows"),
        *made(GIANTS, QUICK_GIANTS, tmp_path / "giants"),
    ]
    tally = await bench.all_tried(files)
    assert tally.answers["taken in as video"] > 0
    assert tally.answers["not_media"] > 0


@pytest.mark.soak
async def test_a_corpus_of_damaged_files_is_taken_in_or_refused_with_a_reason(
    bench: Bench, seeds: dict[str, bytes], set_trap: Trap, tmp_path: Path
) -> None:
    files = [
        *media_mutants(seeds, FULL_MEDIA),
        *text_mutants(set_trap, FULL_TEXT),
        *baits(set_trap, [each.name for each in BAITS]),
        *made(HOLLOWS, list(HOLLOWS), tmp_path / "hollows"),
        *made(GIANTS, list(GIANTS), tmp_path / "giants"),
    ]
    tally = await bench.all_tried(files)
    assert tally.answers["taken in as video"] > FULL_MEDIA / 10
    assert len(tally.answers) > 5


async def test_the_same_seed_makes_the_same_files(seeds: dict[str, bytes], set_trap: Trap) -> None:
    assert media_mutants(seeds, 40) == media_mutants(seeds, 40)
    assert text_mutants(set_trap, 20) == text_mutants(set_trap, 20)
    assert len({content for _, content in media_mutants(seeds, 100)}) > 95
