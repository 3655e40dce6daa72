"""Subtitle files through the running system with real models: translated, and read aloud at their times."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from jiwer import wer
from whisper_normalizer.english import EnglishTextNormalizer

from orchestrator.dubbing.pace import FAST, FASTEST
from orchestrator.local.client import ApiError, Client
from orchestrator.subtitles import clock, srt
from tests.end_to_end.test_crashes import outcome, until_speaking
from tests.end_to_end.test_jobs import fetch, loudness, probe
from tests.fixtures_system import SAMPLE, System, finish, run_job

SENTENCES = SAMPLE.with_suffix(".txt").read_text().splitlines()
ONSET_S = 0.35
"""Whisper's own times are no better: it lets a word begin in the pause before it."""

SCRIPT = [
    (1.0, 8.5, "And Mr. John Dashwood had then leisure to consider how much\nthere might be prudently in his power"),
    (8.6, 11.0, "to do for them."),
    (12.0, 15.0, "<i>He was not an ill-disposed young man.</i>"),
    (16.5, 22.0, "{\\an8}Unless to be rather cold-hearted\nand rather selfish is to be ill-disposed."),
    (24.0, 25.0, SENTENCES[3]),
    (32.0, 34.0, "[a door is shut]"),
    (35.0, 38.0, SENTENCES[4]),
]


def subrip(cues: list[tuple[float, float, str]]) -> str:
    return "\n".join(
        f"{number}\n{clock.write(start, ',')} --> {clock.write(end, ',')}\n{text}\n"
        for number, (start, end, text) in enumerate(cues, 1)
    )


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.srt"
    path.write_bytes(("\ufeff" + subrip(SCRIPT)).replace("\n", "\r\n").encode())
    return path


def done(
    system: System, path: Path, folder: Path, kind: str, **request: Any
) -> tuple[dict[str, Any], dict[str, Path], list[dict[str, Any]]]:
    """The job of a kind on a file: as it ended, its files, its segments."""

    async def work(client: Client) -> tuple[dict[str, Any], dict[str, Path], list[dict[str, Any]]]:
        job = await run_job(client, path, kind=kind, **request)
        assert job["status"] == "completed", job["error"]
        return job, await fetch(client, job, folder), await client.segments(job["id"])

    return system.ask(work)


def test_a_subtitle_file_is_the_same_file_in_other_languages(system: System, script: Path, tmp_path: Path) -> None:
    job, files, _ = done(
        system, script, tmp_path, "subtitle_translation", target_languages=["es", "de"], options={"formats": ["vtt"]}
    )
    assert set(files) == {"es.srt", "es.vtt", "de.srt", "de.vtt"}
    assert job["detected_language"] == "en"
    before = script.read_bytes().decode("utf-8-sig").split("\r\n")
    for language, word in (("es", "índole"), ("de", "junger")):
        written = files[f"{language}.srt"].read_bytes()
        assert written.startswith(b"\xef\xbb\xbf")
        text = written.decode("utf-8-sig")
        assert "\n" not in text.replace("\r\n", "")
        assert [line for line in text.split("\r\n") if "-->" in line] == [line for line in before if "-->" in line]
        cues = srt.loads(text)
        assert len(cues) == len(SCRIPT)
        assert word in cues[2].text
        assert cues[2].text.startswith("<i>")
        assert cues[2].text.endswith("</i>")
        assert cues[3].text.startswith("{\\an8}")
        assert all(cue.text for cue in cues)
    assert {warning["code"] for warning in job["warnings"]} >= {"toy_translation"}


def test_a_sentence_over_two_cues_is_translated_as_a_whole(system: System, script: Path, tmp_path: Path) -> None:
    """The toy model knows the sentence, not its halves."""
    _, files, _ = done(system, script, tmp_path, "subtitle_translation", target_languages=["es"])
    first, second, *_ = srt.loads(files["es.srt"].read_text("utf-8-sig"))
    together = " ".join(f"{first.text} {second.text}".split())
    assert together.startswith("Y el señor John Dashwood tuvo entonces tiempo para considerar")
    assert together.endswith(("ellas.", "ellos."))
    assert 0 < len(second.text) < len(first.text)


def test_subtitles_read_aloud_are_heard_at_their_times(system: System, script: Path, tmp_path: Path) -> None:
    job, files, segments = done(system, script, tmp_path, "subtitle_to_audio", options={"format": "wav"})
    assert job["target_languages"] == ["en"]
    described = probe(files["en.wav"])
    assert described["streams"][0]["codec_name"] == "pcm_s16le"
    assert float(described["format"]["duration"]) >= SCRIPT[-1][1]
    assert abs(loudness(files["en.wav"])[0] + 16) <= 1
    report = json.loads(files["quality.en.json"].read_text())
    assert report["fit"]["segments"] == len(segments) == len(SCRIPT) - 1, "nobody reads sounds out"
    assert report["read_back"]["error_percent"] <= 15
    assert report["fit"]["max_speed"] <= FAST
    for segment in segments:
        (rendition,) = segment["renditions"]
        assert rendition["onset"] == pytest.approx(segment["start"], abs=0.001)

    _, _, heard = done(system, files["en.wav"], tmp_path, "subtitles", source_language="en")
    normal = EnglishTextNormalizer()
    said = " ".join(segment["text"] for segment in segments)
    assert wer(normal(said), normal(" ".join(segment["text"] for segment in heard))) <= 0.15
    onsets = [word["start"] for segment in heard for word in segment["words"]]
    errors = [min(abs(onset - segment["start"]) for onset in onsets) for segment in segments]
    assert max(errors) <= ONSET_S, errors


@pytest.mark.parametrize(("suffix", "codec"), [("mp3", "mp3"), ("ogg", "vorbis")])
def test_speech_comes_in_the_format_asked_for_and_ends_after_the_last_cue(
    system: System, tmp_path: Path, suffix: str, codec: str
) -> None:
    path = tmp_path / "short.srt"
    path.write_text(subrip([(0.5, 2.0, SENTENCES[1]), (2.2, 2.4, SENTENCES[4])]))
    job, files, (_, last) = done(
        system,
        path,
        tmp_path,
        "subtitle_to_audio",
        source_language="en",
        target_languages=["es"],
        options={"format": suffix},
    )
    assert {"toy_translation", "stand_in_voice"} <= {warning["code"] for warning in job["warnings"]}
    described = probe(files[f"es.{suffix}"])
    assert described["streams"][0]["codec_name"] == codec
    (rendition,) = last["renditions"]
    assert rendition["overflow"] > 0
    assert rendition["speed"] == pytest.approx(FASTEST)
    end = rendition["onset"] + rendition["seconds"]
    assert float(described["format"]["duration"]) == pytest.approx(end, abs=0.1)
    assert end > 2.4


def test_subtitles_and_dubs_come_in_the_formats_asked_for(system: System, tmp_path: Path) -> None:
    _, files, _ = done(
        system, SAMPLE, tmp_path, "subtitles", target_languages=["es"], options={"formats": ["ass", "srt"]}
    )
    assert set(files) == {"en.ass", "en.srt", "es.ass", "es.srt", "transcript.en.json"}
    for language in ("en", "es"):
        described = probe(files[f"{language}.ass"])
        assert described["streams"][0]["codec_name"] == "ass"
        spoken = [line for line in files[f"{language}.ass"].read_text().splitlines() if line.startswith("Dialogue:")]
        assert len(spoken) == len(srt.loads(files[f"{language}.srt"].read_text()))
    _, files, _ = done(
        system, SAMPLE, tmp_path, "audio_translation", target_languages=["es"], options={"format": "opus"}
    )
    assert probe(files["es.opus"])["streams"][0]["codec_name"] == "opus"


def test_a_job_whose_worker_is_killed_ends_like_an_undisturbed_one(system: System, tmp_path: Path) -> None:
    path = tmp_path / "long.srt"
    path.write_text(subrip([(at * 2.0, at * 2.0 + 1.9, SENTENCES[1 + at % 2]) for at in range(24)]))
    request = {"kind": "subtitle_to_audio", "target_languages": ["es"], "options": {"format": "wav"}}

    async def work(client: Client) -> list[tuple[str, list[tuple[Any, ...]]]]:
        ended = []
        for disturbed in (False, True):
            media = await client.upload(path)
            job = await client.start({"media_id": media["id"], **request})
            if disturbed:
                await until_speaking(client, job)
                await asyncio.to_thread(system.worker().kill)
            job = await finish(client, job)
            assert job["status"] == "completed", job["error"]
            (sound,) = [each for each in job["artifacts"] if each["kind"] == "audio"]
            ended.append((sound["sha256"], outcome(await client.segments(job["id"]))))
        return ended

    undisturbed, disturbed = system.ask(work)
    assert len(undisturbed[1]) == 24
    assert disturbed == undisturbed


@pytest.mark.soak
def test_fifty_thousand_cues_are_translated(system: System, tmp_path: Path) -> None:
    path = tmp_path / "endless.srt"
    said = [*SENTENCES[1:3], "Good morning.", "And then he", "went away."]
    path.write_text(subrip([(at * 0.7, at * 0.7 + 0.6, said[at % len(said)]) for at in range(50_000)]))

    async def work(client: Client) -> tuple[dict[str, Any], dict[str, Path]]:
        media = await client.upload(path)
        request = {"media_id": media["id"], "kind": "subtitle_translation", "target_languages": ["es"]}
        job = await finish(client, await client.start(request), seconds=3000)
        return job, await fetch(client, job, tmp_path)

    job, files = system.ask(work)
    assert job["status"] == "completed", job["error"]
    cues = srt.loads(files["es.srt"].read_text())
    assert len(cues) == 50_000
    assert all(cue.text for cue in cues)


def test_a_file_whose_language_cannot_be_told_asks_for_it(system: System, tmp_path: Path) -> None:
    path = tmp_path / "short.srt"
    path.write_text(subrip([(1, 2, "OK!")]))

    async def work(client: Client) -> None:
        media = await client.upload(path)
        assert media["subtitles"]["language"] is None
        await client.start({"media_id": media["id"], "kind": "subtitle_translation", "target_languages": ["es"]})

    with pytest.raises(ApiError, match="Give source_language"):
        system.ask(work)
