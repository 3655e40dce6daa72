"""Editing the transcript of a finished dub and making its files anew, on the suite's model plane."""

import subprocess
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import psutil
import psycopg
import pytest
import soundfile

from orchestrator.dubbing.mix import RATE, render
from orchestrator.dubbing.timeline import Clip
from orchestrator.local.client import Client
from tests.fixtures_system import SAMPLE, System, finish, run_job

Samples = npt.NDArray[np.float32]

PACKET = 1024
REACH_S = 0.25
"""How far around changed speech packets may be other."""


def api(system: System) -> httpx.Client:
    headers = {"Authorization": f"Bearer {system.token()}"}
    return httpx.Client(base_url=system.state["api_url"], headers=headers, timeout=60, trust_env=False)


def asked(client: httpx.Client, method: str, path: str, status: int, **body: Any) -> dict[str, Any]:
    answer = client.request(method, f"/v1/jobs/{path}", json=body or None)
    assert answer.status_code == status, answer.text
    return dict(answer.json())


def files_of(client: httpx.Client, job_id: str) -> dict[str, str]:
    return {each["name"]: each["sha256"] for each in asked(client, "GET", f"{job_id}/artifacts", 200)["items"]}


def packets_of(client: httpx.Client, job_id: str, folder: Path) -> list[str]:
    """The hashes of the packets of the dub in the finished video, 1024 samples each.

    Not what is decoded of them: AAC fills bands with noise, which depends on all the noise before.
    """
    video = folder / "dub.mp4"
    video.write_bytes(client.get(f"/v1/jobs/{job_id}/artifacts/es.mp4").content)
    command = ["ffprobe", "-v", "error", "-select_streams", "a:0", "-show_data_hash", "md5", "-of", "csv=p=0"]
    command += ["-show_entries", "packet=data_hash", str(video)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def samples_other(old: list[str], new: list[str]) -> tuple[float, float]:
    """From when to when, in seconds, the packets of two tracks of the same length are other."""
    assert len(old) == len(new)
    other = [at for at, (one, two) in enumerate(zip(old, new, strict=True)) if one != two]
    return (other[0] - 1) * PACKET / RATE, (other[-1] + 1) * PACKET / RATE


@pytest.fixture(scope="module")
def dubbed(system: System) -> dict[str, Any]:
    """The committed sample in Spanish."""

    async def dub(client: Client) -> dict[str, Any]:
        return await run_job(client, SAMPLE, kind="video_translation", source_language="en", target_languages=["es"])

    job = system.ask(dub)
    assert job["status"] == "completed", job
    return job


def regenerated(system: System, client: httpx.Client, job_id: str, revision: int) -> dict[str, Any]:
    begun = asked(client, "POST", f"{job_id}/regenerate", 202, base_revision=revision)
    made = system.ask(lambda one: finish(one, begun["job"]))
    assert made["status"] == "completed", made
    return made


def test_only_the_sentence_that_was_changed_is_spoken_anew(
    system: System, dubbed: dict[str, Any], tmp_path: Path
) -> None:
    job_id = dubbed["id"]
    with api(system) as client:
        before = asked(client, "GET", f"{job_id}/transcript", 200)
        assert (before["current_revision"], before["output_revision"]) == (1, 1)
        assert not any(line["stale"] for each in before["segments"] for line in each["translations"].values())
        nothing = asked(client, "POST", f"{job_id}/regenerate", 200, base_revision=1)
        assert (nothing["changed"], nothing["credits"], nothing["job"]) == (False, 0, None)
        old_files, old = files_of(client, job_id), packets_of(client, job_id, tmp_path)
        changed = before["segments"][2]
        text = "Una frase muy distinta."
        edit = {"op": "translation", "segment": changed["id"], "language": "es", "text": text}
        done = asked(client, "POST", f"{job_id}/transcript/edits", 201, base_revision=1, operations=[edit])
        assert (done["revision"], done["created"]) == (2, [])
        assert files_of(client, job_id) == old_files, "the files stay until they are made anew"
        quote = asked(client, "POST", f"{job_id}/regenerate/quote", 200)
        assert quote["segments"] == [changed["id"]]
        made = regenerated(system, client, job_id, 2)
        assert made["regenerates"] == job_id
        after = asked(client, "GET", f"{job_id}/transcript", 200)
        assert after["output_revision"] == 2
        spoken = {each["id"]: each["translations"]["es"] for each in after["segments"]}
        assert spoken[changed["id"]]["text"] == text
        assert not any(line["stale"] for line in spoken.values())
        new_files, new = files_of(client, job_id), packets_of(client, job_id, tmp_path)
        assert new_files.keys() == old_files.keys()
        assert new_files["es.mp4"] != old_files["es.mp4"]
        assert new_files["en.srt"] == old_files["en.srt"]
        assert text in client.get(f"/v1/jobs/{job_id}/artifacts/es.srt").text.replace("\n", " ")
        assert files_of(client, made["id"]) == {}, "a regeneration has no files of its own"
        assert made["id"] not in [each["id"] for each in client.get("/v1/jobs").json()["items"]]
    sounds = [(each["translations"]["es"]["spoken"], spoken[each["id"]]["spoken"]) for each in before["segments"]]
    for segment, (was, is_) in zip(before["segments"], sounds, strict=True):
        assert segment is changed or (was["seconds"], was["speed"]) == (is_["seconds"], is_["speed"])
    other = [each for pair in sounds if pair[0] != pair[1] for each in pair]  # the next may lie behind an overflow
    first, last = samples_other(old, new)
    assert first >= min(each["onset"] for each in other) - REACH_S
    assert last <= max(each["onset"] + each["seconds"] for each in other) + REACH_S


def test_what_is_retranslated_obeys_the_glossary_and_becomes_a_revision(
    system: System, dubbed: dict[str, Any], tmp_path: Path
) -> None:
    job_id = dubbed["id"]
    with api(system) as client:
        entry = client.post("/v1/glossary", json={"source": "rich", "target": "muy rico", "target_language": "es"})
        assert entry.status_code == 201, entry.text
        before = asked(client, "GET", f"{job_id}/transcript", 200)
        last = before["segments"][-1]
        text = {"op": "text", "segment": last["id"], "text": "The teacher sells the red house to a rich man."}
        base = before["current_revision"]
        asked(client, "POST", f"{job_id}/transcript/edits", 201, base_revision=base, operations=[text])
        regenerated(system, client, job_id, base + 1)
        after = asked(client, "GET", f"{job_id}/transcript", 200)
        client.delete(f"/v1/glossary/{entry.json()['id']}")
        assert after["current_revision"] == after["output_revision"] == base + 2
        line = after["segments"][-1]["translations"]["es"]
        assert line["text"]
        assert ("muy rico" in line["text"].casefold()) != ("rich" in line["missing_terms"])
        assert text["text"] in client.get(f"/v1/jobs/{job_id}/artifacts/en.srt").text.replace("\n", " ")


def test_subtitles_are_written_anew_for_nothing(system: System) -> None:
    async def heard(client: Client) -> dict[str, Any]:
        return await run_job(client, SAMPLE, kind="subtitles", source_language="en")

    job_id = system.ask(heard)["id"]
    with api(system) as client:
        second = asked(client, "GET", f"{job_id}/transcript", 200)["segments"][1]
        operations = [
            {"op": "text", "segment": 0, "text": "مرحبا 🙂 (world)"},
            {"op": "split", "segment": second["id"], "at": second["start"] + 0.11, "texts": ["Well,", "the rest."]},
        ]
        asked(client, "POST", f"{job_id}/transcript/edits", 201, base_revision=1, operations=operations)
        regenerated(system, client, job_id, 2)
        written = client.get(f"/v1/jobs/{job_id}/artifacts/en.srt").text
        assert "مرحبا 🙂 (world)" in written
        assert "Well," in written
        assert "the rest." in written


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_worker_that_dies_in_a_regeneration_leaves_the_old_files_until_the_new_are_whole(
    system: System, dubbed: dict[str, Any]
) -> None:
    job_id = dubbed["id"]
    with api(system) as client:
        before = asked(client, "GET", f"{job_id}/transcript", 200)
        old, base = files_of(client, job_id), before["current_revision"]
        operation = {"op": "retranslate", "segment": before["segments"][1]["id"]}
        asked(client, "POST", f"{job_id}/transcript/edits", 201, base_revision=base, operations=[operation])
        begun = asked(client, "POST", f"{job_id}/regenerate", 202, base_revision=base + 1)
        for _ in range(2):
            worker = system.worker()
            worker.kill()
            psutil.wait_procs([worker], timeout=60)
            assert files_of(client, job_id) == old
        made = system.ask(lambda one: finish(one, begun["job"], 600))
        assert made["status"] == "completed", made
        assert files_of(client, job_id)["es.mp4"] != old["es.mp4"]


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_in_ten_minutes_all_but_the_changed_sentence_is_the_same_to_the_sample(system: System, tmp_path: Path) -> None:
    """Prints what it took."""
    long = tmp_path / "ten_minutes.mp4"
    loop = ["ffmpeg", "-v", "error", "-stream_loop", "-1", "-i", str(SAMPLE), "-t", "600", "-c:v", "copy"]
    subprocess.run([*loop, "-c:a", "aac", "-ar", "48000", str(long)], check=True)

    async def dub(client: Client) -> dict[str, Any]:
        uploaded = await client.upload(long)
        body = {"kind": "video_translation", "source_language": "en", "target_languages": ["es"]}
        return await finish(client, await client.start({"media_id": uploaded["id"], **body}), 3000)

    job = system.ask(dub)
    with api(system) as client:
        before, old = clips_of(system, job["id"]), packets_of(client, job["id"], tmp_path)
        segments = asked(client, "GET", f"{job['id']}/transcript", 200)["segments"]
        middle = segments[len(segments) // 2]
        edit = {"op": "translation", "segment": middle["id"], "language": "es", "text": "Una frase muy distinta."}
        asked(client, "POST", f"{job['id']}/transcript/edits", 201, base_revision=1, operations=[edit])
        made = regenerated(system, client, job["id"], 2)
        new = packets_of(client, job["id"], tmp_path)
    after = clips_of(system, job["id"])
    first, again = (seconds_of(each) for each in (job, made))
    print(f"first run {first:.1f} s, regenerate {again:.1f} s: {again / first:.1%}")
    assert before.gain_db == after.gain_db
    stems = [each.stem(600.0) for each in (before, after)]
    other = np.flatnonzero(stems[0] != stems[1]) / 48_000
    assert middle["start"] - 0.01 <= other.min()
    assert other.max() <= middle["end"] + 4.0
    packets = samples_other(old, new)
    assert other.min() - REACH_S <= packets[0]
    assert packets[1] <= other.max() + REACH_S


@dataclass(frozen=True)
class Clips:
    """The speech of a dub: [(storage key, onset, seconds)], and the gain it was mixed with."""

    folder: Path
    speech: list[tuple[str, float, float]]
    gain_db: float

    def stem(self, seconds: float) -> Samples:
        clips = [Clip(key, round(onset * RATE), round(length * RATE)) for key, onset, length in self.speech]

        def read(clip: Clip) -> Samples:
            samples: Samples = soundfile.read(self.folder / clip.key, dtype="float32")[0]
            return samples

        return render(clips, read, 0, round(seconds * RATE), 1)[:, 0]


def clips_of(system: System, job_id: str) -> Clips:
    with psycopg.connect(system.state["database_url"]) as connection:
        query = "select audio_key, onset, seconds from rendition where job_id = %s and audio_key is not null"
        found = connection.execute(query, [job_id]).fetchall()
        rendered = connection.execute("select rendered -> 'es' from job where id = %s", [job_id]).fetchone()
    assert rendered
    return Clips(system.data_dir / "storage", [(row[0], row[1], row[2]) for row in found], rendered[0]["gain_db"])


def seconds_of(job: dict[str, Any]) -> float:
    begun, ended = (datetime.fromisoformat(job[name]) for name in ("started_at", "finished_at"))
    return (ended - begun).total_seconds()
