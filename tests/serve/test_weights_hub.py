"""Pulling through the real clients while disks fill up, processes are killed, and others pull the same."""

import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest

from serve.catalogue import CatalogueEntry
from serve.settings import CHECKOUT, ServeSettings, get_settings
from serve.sources import pace
from serve.weights import ensure
from serve.weights_errors import StorageError
from serve.weights_record import RECORD
from tests.standins.hub import File, Hub

ARCHIVE = "/coqui-ai/TTS/releases/download/v0.6.1_models/tts_models--en--ljspeech--vits.zip"
HF, COQUI = "hf:o/r@main", "coqui:tts_models/en/ljspeech/vits"
CONTENT = os.urandom(3_000_000)
PULL = """
import sys
from pathlib import Path
from serve.catalogue import CatalogueEntry
from serve.settings import ServeSettings
from serve.weights import ensure
entry = CatalogueEntry.model_validate_json(sys.argv[1])
print(ensure(entry, ServeSettings(weights_dir=Path(sys.argv[2]))).folder)
"""


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("OCTAVIA_COQUI_MIRROR", server.url)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setattr(pace, "FIRST_WAIT_S", 0.01)
        get_settings.cache_clear()
        yield server
    get_settings.cache_clear()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a full disk needs the right to mount one: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def entry(source: str) -> CatalogueEntry:
    values = {"name": "x", "model": "whisper", "source": source, "languages": ["en"], "licence": "MIT"}
    return CatalogueEntry.model_validate(values | {"licence_chain": "MIT: all", "paid_use": True})


def offer(stand_in: Hub, source: str) -> File:
    """Has the stand-in serve CONTENT as what the source names; the file it sends."""
    if source == HF:
        file = File(CONTENT, lfs=True)
        stand_in.repos["o/r"] = {"config.json": File(b"{}"), "model.pth": file}
        return file
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("voice/model_file.pth", CONTENT)
        archive.writestr("voice/config.json", "{}")
    stand_in.files[ARCHIVE] = File(buffer.getvalue())
    return stand_in.files[ARCHIVE]


def start(source: str, root: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PULL, entry(source).model_dump_json(by_alias=True), str(root)]
    return subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)


def wait_for(happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Until it has happened, or the process has ended, which it should not have."""
    while not happened():
        assert process.poll() is None
        time.sleep(0.01)


@pytest.mark.parametrize("source", [HF, COQUI])
def test_a_full_disk_is_said_with_the_way_out_and_room_made_is_enough(
    stand_in: Hub, small_disk: Path, source: str
) -> None:
    offer(stand_in, source)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(6_500_000))
    root = small_disk / "weights"
    with pytest.raises(StorageError, match=r"x: the disk with .*/weights is full; free some space or set OCTAVIA_WEI"):
        ensure(entry(source), ServeSettings(weights_dir=root))
    assert [path.name for path in root.iterdir() if not path.name.startswith(".")] == []
    filler.unlink()
    weights = ensure(entry(source), ServeSettings(weights_dir=root))
    assert (weights.folder / "model.pth").read_bytes() == CONTENT
    assert not any((root / ".work").iterdir())


@pytest.mark.parametrize("source", [HF, COQUI])
def test_a_pull_killed_in_the_middle_leaves_nothing_that_looks_like_weights_and_the_next_one_ends_it(
    stand_in: Hub, tmp_path: Path, source: str
) -> None:
    file = offer(stand_in, source)
    file.stalls = [1_000_000]
    victim = start(source, tmp_path)
    wait_for(lambda: not file.stalls, victim)
    if source == COQUI:
        wait_for(lambda: any(path.stat().st_size == 1_000_000 for path in tmp_path.glob(".work/*/*/*.partial")), victim)
    victim.kill()
    victim.communicate(timeout=60)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
    weights = ensure(entry(source), ServeSettings(weights_dir=tmp_path))
    assert (weights.folder / "model.pth").read_bytes() == CONTENT
    assert not any((tmp_path / ".work").iterdir())
    if source == HF:
        assert stand_in.count("GET", "config.json") == 1
    else:
        assert stand_in.ranges(".zip") == [None, "bytes=1000000-"]


def test_two_processes_that_pull_at_once_fetch_once(stand_in: Hub, tmp_path: Path) -> None:
    offer(stand_in, HF)
    stand_in.delay_s = 0.2
    processes = [start(HF, tmp_path) for _ in range(2)]
    folders = {process.communicate(timeout=120)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert len(folders) == 1
    assert (Path(folders.pop()) / RECORD).exists()
    assert stand_in.count("GET", "model.pth") == 1


def test_a_folder_that_cannot_be_written_is_said_with_the_way_out(stand_in: Hub, small_disk: Path) -> None:
    offer(stand_in, HF)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StorageError, match="cannot be written; correct its owner or set OCTAVIA_WEIGHTS_DIR"):
        ensure(entry(HF), ServeSettings(weights_dir=small_disk))


def test_weights_on_a_disk_that_cannot_be_written_load_from_there(stand_in: Hub, small_disk: Path) -> None:
    offer(stand_in, HF)
    there = ensure(entry(HF), ServeSettings(weights_dir=small_disk))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert ensure(entry(HF), ServeSettings(weights_dir=small_disk)) == there


def test_a_pull_asks_nobody_but_the_hub_and_says_nothing_of_this_machine(stand_in: Hub, tmp_path: Path) -> None:
    offer(stand_in, HF)
    assert start(HF, tmp_path).communicate(timeout=120)[0]
    assert {seen.path.split("/")[1] for seen in stand_in.seen} == {"api", "o", "cdn"}
    assert not [seen for seen in stand_in.seen if "telemetry" in seen.path]
    agents = {seen.headers["user-agent"] for seen in stand_in.seen}
    assert all(word.startswith(("unknown/", "hf_hub/", "python/")) for agent in agents for word in agent.split("; "))
