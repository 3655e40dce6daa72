"""Two people in one file, dubbed by a running system: a voice for each, or each one's own.

The model plane is the repository's own, but for who tells speakers apart (by loudness) and for Spanish voices of random
weights: what they say is noise, their way is the whole way.
"""

import asyncio
import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from orchestrator.local.client import Client
from orchestrator.local.ports import free_port
from tests import tiny_voices
from tests.fixtures_model_plane import Plane, start_plane
from tests.fixtures_system import SAMPLE, System, finish, system_environment

pytestmark = pytest.mark.soak
REPOSITORY = Path(__file__).parents[2] / "model_repo"
DIARIZER = """
parameters {{ key: "class" value: {{ string_value: "tests.serve.fixture_models:ByLoudness" }} }}
parameters {{ key: "sleep_s" value: {{ string_value: "{sleep_s}" }} }}
parameters {{ key: "diary" value: {{ string_value: "{diary}" }} }}
"""
ENTRY = """
[[weights]]
name = "{name}"
model = "{model}"
source = "file:{folder}"
licence = "CC0-1.0"
licence_chain = "CC0-1.0: ours"
paid_use = true
{more}
"""
RATE = 16_000
PAUSES = [(7.8, 9.0), (11.9, 12.7), (17.8, 19.1), (24.95, 25.8)]
"""Between the sample's sentences, in seconds: there the one falls silent and the other begins."""
VOICES = {"ana": "female", "bruno": "male"}
SLEEP_S = 6


@dataclass
class Talk:
    """A system, its model plane, the talk to be dubbed, and what the diarizer writes whenever it begins."""

    system: System
    plane: Plane
    file: Path
    diary: Path

    def begun(self) -> int:
        return len(self.diary.read_text().splitlines()) if self.diary.exists() else 0


def write_talk(path: Path) -> Path:
    """The sample's speech, every other turn of it soft, and silence between."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(SAMPLE), "-ac", "1", "-ar", str(RATE), "-f", "wav", "-"]
    sound = subprocess.run(command, check=True, capture_output=True).stdout
    speech, _ = soundfile.read(io.BytesIO(sound), dtype="float32")
    clock = np.arange(len(speech)) / RATE
    turn = sum((clock > (start + end) / 2).astype(int) for start, end in PAUSES)
    gain = np.where(np.asarray(turn) % 2, 0.15, 1.0)
    for start, end in PAUSES:
        gain[(clock > start) & (clock < end)] = 0.0
    soundfile.write(path, speech * gain, RATE)
    return path


def write_repository(root: Path) -> Path:
    """A copy of model_repo/ with the diarizer and the voices of this test."""
    repository = root / "model_repo"
    shutil.copytree(REPOSITORY, repository)
    with (repository / "diarize" / "config.pbtxt").open("a") as file:
        file.write(DIARIZER.format(sleep_s=SLEEP_S, diary=root / "diary"))
    catalogue = ENTRY.format(name="by-loudness", model="diarize", folder=root, more="")
    for name, gender in VOICES.items():
        folder = tiny_voices.vits(root / name).folder
        more = f'sets = ["starter"]\nlanguages = ["es"]\ngender = "{gender}"'
        catalogue += ENTRY.format(name=name, model="coqui_tts", folder=folder, more=more)
    folder = tiny_voices.xtts(root / "parrot").folder
    more = 'sets = ["starter"]\nlanguages = ["es", "en"]'
    catalogue += ENTRY.format(name="parrot", model="coqui_tts", folder=folder, more=more)
    with (repository / "catalogue.toml").open("a") as file:
        file.write(catalogue)
    return repository


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory, server_folder: Path) -> Iterator[Talk]:
    root = tmp_path_factory.mktemp("talk")
    plane = start_plane(
        root / "serve.log",
        OCTAVIA_PARENT_PID=str(os.getpid()),
        OCTAVIA_MODEL_REPO=str(write_repository(root)),
        OCTAVIA_DIARIZE="by-loudness",
    )
    environment = system_environment(server_folder / "talk", plane.address, OCTAVIA_API_PORT=str(free_port()))
    system = System(server_folder / "talk", environment)
    system.start()
    yield Talk(system, plane, write_talk(root / "talk.wav"), root / "diary")
    system.stop()
    plane.stop()


async def start(client: Client, file: Path, **options: Any) -> dict[str, Any]:
    uploaded = await client.upload(file)
    request = {"media_id": uploaded["id"], "kind": "audio_translation", "target_languages": ["es"]}
    return await client.start({**request, "source_language": "en", "options": options})


async def dubbed(client: Client, job: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The job as it ends, and its segments."""
    job = await finish(client, job, 540)
    assert job["status"] == "completed", job["error"]
    return job, await client.segments(job["id"])


def loud(segment: dict[str, Any]) -> bool:
    """Whether it lies in one of the turns that were left loud."""
    middle = (segment["start"] + segment["end"]) / 2
    return bool(sum(middle > (start + end) / 2 for start, end in PAUSES) % 2 == 0)


def test_each_of_two_speakers_gets_a_voice_also_where_the_worker_is_killed_while_they_are_told_apart(
    talk: Talk,
) -> None:
    async def work(client: Client) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        job = await start(client, talk.file)
        before = talk.begun()
        while talk.begun() == before:  # noqa: ASYNC110 - it writes from another process
            await asyncio.sleep(0.1)
        await asyncio.to_thread(talk.system.worker().kill)
        found = await dubbed(client, job)
        assert talk.begun() == before + 2  # the killed one's answer reached nobody
        return found

    job, segments = talk.system.ask(work)
    assert len(segments) >= 5
    for segment in segments:
        (rendition,) = segment["renditions"]
        told = (segment["speaker"], rendition["voice"])
        assert told == (("SPEAKER_00", "ana") if loud(segment) else ("SPEAKER_01", "bruno")), segment
    assert {each["speaker"] for each in segments} == {"SPEAKER_00", "SPEAKER_01"}
    assert not {"shared_voice", "not_cloned"} & {each["code"] for each in job["warnings"]}


def test_each_of_two_speakers_is_cloned(talk: Talk) -> None:
    async def work(client: Client) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        return await dubbed(client, await start(client, talk.file, clone_voices=True, cloning_consent=True))

    job, segments = talk.system.ask(work)
    assert {each["speaker"] for each in segments} == {"SPEAKER_00", "SPEAKER_01"}
    assert {each["voice"] for segment in segments for each in segment["renditions"]} == {"parrot"}
    assert "not_cloned" not in {each["code"] for each in job["warnings"]}


def test_a_file_of_silence_has_nobody_to_clone(talk: Talk, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(20 * RATE, np.float32), RATE)

    async def work(client: Client) -> dict[str, Any]:
        options = {"clone_voices": True, "cloning_consent": True}
        return await finish(client, await start(client, tmp_path / "silence.wav", **options))

    job = talk.system.ask(work)
    assert (job["status"], job["warnings"][0]["code"]) == ("completed", "no_speech")
