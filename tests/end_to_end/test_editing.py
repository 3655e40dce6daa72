"""Editing the transcript of a finished dub and making its files anew, on the suite's model plane."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from orchestrator.local.client import Client
from orchestrator.media.ffmpeg import run, source, target
from tests.fixtures_system import SAMPLE, System, finish, run_job

Samples = npt.NDArray[np.float32]


def api(system: System) -> httpx.Client:
    headers = {"Authorization": f"Bearer {system.token()}"}
    return httpx.Client(base_url=system.state["api_url"], headers=headers, timeout=60, trust_env=False)


def asked(client: httpx.Client, method: str, path: str, status: int, **body: Any) -> dict[str, Any]:
    answer = client.request(method, f"/v1/jobs/{path}", **({"json": body} if body else {}))
    assert answer.status_code == status, answer.text
    return dict(answer.json())


def files_of(client: httpx.Client, job_id: str) -> dict[str, str]:
    return {each["name"]: each["sha256"] for each in asked(client, "GET", f"{job_id}/artifacts", 200)["items"]}


def dub_of(client: httpx.Client, job_id: str, name: str, folder: Path) -> Samples:
    """The dub's sound in the finished file, as it is decoded."""
    data = client.get(f"/v1/jobs/{job_id}/artifacts/{name}").content
    video = folder / f"{hashlib.sha256(data).hexdigest()[:8]}.mp4"
    video.write_bytes(data)
    sound = video.with_suffix(".wav")
    asyncio.run(run(target(source(video)["a:0"], path=sound, format="wav", acodec="pcm_s16le")))
    samples: Samples = soundfile.read(sound, dtype="float32", always_2d=True)[0][:, 0]
    return samples


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
        old_files, old = files_of(client, job_id), dub_of(client, job_id, "es.mp4", tmp_path)
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
        new_files, new = files_of(client, job_id), dub_of(client, job_id, "es.mp4", tmp_path)
        assert new_files.keys() == old_files.keys()
        assert new_files["es.mp4"] != old_files["es.mp4"]
        assert new_files["en.srt"] == old_files["en.srt"]
        assert text in client.get(f"/v1/jobs/{job_id}/artifacts/es.srt").text.replace("\n", " ")
        assert files_of(client, made["id"]) == {}, "a regeneration has no files of its own"
        assert made["id"] not in [each["id"] for each in client.get("/v1/jobs").json()["items"]]
    assert len(new) == len(old)
    ends = [
        each["onset"] + each["seconds"]
        for each in (changed["translations"]["es"]["spoken"], spoken[changed["id"]]["spoken"])
    ]
    first, last = round((changed["start"] - 0.25) * 48_000), round((max(ends) + 0.25) * 48_000)
    assert np.array_equal(old[:first], new[:first]), "what is before it is the same, bit for bit"
    assert np.array_equal(old[last:], new[last:]), "and what is after it"
    assert not np.array_equal(old[first:last], new[first:last])
