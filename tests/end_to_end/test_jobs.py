"""Whole jobs through the running system with real models: what a user gets, looked at from outside."""

import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from jiwer import wer
from whisper_normalizer.english import EnglishTextNormalizer

from orchestrator.local.client import ApiError, Client
from orchestrator.subtitles import srt, vtt
from tests.fixtures_system import SAMPLE, System, run_job

TRANSCRIPT = SAMPLE.with_suffix(".txt").read_text().splitlines()
RATE = 16_000


def ffmpeg(*arguments: str) -> bytes:
    command = ["ffmpeg", "-nostdin", "-y", "-loglevel", "error", *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout


def probe(path: Path) -> dict[str, Any]:
    command = ["ffprobe", "-v", "error", "-show_streams", "-show_format", "-of", "json", str(path)]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))


def picture_hash(path: Path) -> str:
    """Hash over the picture's packets as they are stored."""
    return ffmpeg("-i", str(path), "-map", "0:v:0", "-c", "copy", "-f", "streamhash", "-").decode()


def sound(path: Path, track: int = 0) -> npt.NDArray[np.float32]:
    data = ffmpeg("-i", str(path), "-map", f"0:a:{track}", "-ac", "1", "-ar", str(RATE), "-f", "f32le", "-")
    return np.frombuffer(data, np.float32)


def loudness(path: Path) -> tuple[float, float]:
    """Integrated LUFS and true peak dBTP of the default audio track."""
    command = ["ffmpeg", "-nostdin", "-i", str(path), "-map", "0:a:0", "-af", "ebur128=peak=true", "-f", "null", "-"]
    report = subprocess.run(command, check=True, capture_output=True, text=True).stderr.rpartition("Summary:")[2]
    integrated, peak = re.search(r"I:\s+(-?[\d.]+) LUFS", report), re.search(r"Peak:\s+(-?[\d.]+) dBFS", report)
    assert integrated
    assert peak
    return float(integrated[1]), float(peak[1])


async def fetch(client: Client, job: dict[str, Any], folder: Path) -> dict[str, Path]:
    return {
        each["name"]: await client.download(job["id"], each["name"], folder / each["name"]) for each in job["artifacts"]
    }


@pytest.fixture(scope="module")
def dubbed(system: System, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Path], Any]:
    """The sample dubbed into Spanish: the job, its files, its segments."""

    async def work(client: Client) -> tuple[dict[str, Any], dict[str, Path], Any]:
        job = await run_job(client, SAMPLE, kind="video_translation", target_languages=["es"])
        assert job["status"] == "completed", job["error"]
        files = await fetch(client, job, tmp_path_factory.mktemp("dubbed"))
        return job, files, await client.segments(job["id"])

    return system.ask(work)


Dubbed = tuple[dict[str, Any], dict[str, Path], list[dict[str, Any]]]


def test_a_dub_leaves_the_picture_untouched_and_as_long_as_it_was(dubbed: Dubbed) -> None:
    video = dubbed[1]["es.mp4"]
    assert picture_hash(video) == picture_hash(SAMPLE)
    assert abs(float(probe(video)["format"]["duration"]) - float(probe(SAMPLE)["format"]["duration"])) <= 0.05


def test_a_dub_has_the_new_sound_first_the_original_second_and_a_soft_subtitle_track(dubbed: Dubbed) -> None:
    streams = probe(dubbed[1]["es.mp4"])["streams"]
    kinds = [stream["codec_type"] for stream in streams]
    assert kinds == ["video", "audio", "audio", "subtitle"]
    dub, original, subtitles = streams[1:]
    assert (dub["codec_name"], dub["disposition"]["default"], dub["tags"]["language"]) == ("aac", 1, "spa")
    assert original["disposition"]["default"] == 0
    assert (subtitles["codec_name"], subtitles["tags"]["language"]) == ("mov_text", "spa")


def test_the_original_track_is_the_original_sound(dubbed: Dubbed) -> None:
    ours, theirs = sound(dubbed[1]["es.mp4"], 1), sound(SAMPLE)
    length = min(len(ours), len(theirs))
    assert np.corrcoef(ours[:length], theirs[:length])[0, 1] > 0.99


def test_a_dub_is_as_loud_as_speech_online_should_be(dubbed: Dubbed) -> None:
    integrated, peak = loudness(dubbed[1]["es.mp4"])
    assert abs(integrated + 16) <= 1
    assert peak <= -1


def test_the_transcript_is_what_was_said(dubbed: Dubbed) -> None:
    heard = json.loads(dubbed[1]["transcript.en.json"].read_text())
    normalise = EnglishTextNormalizer()
    text = " ".join(segment["text"] for segment in heard["segments"])
    assert wer(normalise(" ".join(TRANSCRIPT)), normalise(text)) <= 0.05


def test_every_sentence_speaks_from_its_own_onset(dubbed: Dubbed) -> None:
    """In the finished track: the guard's silence before, speech within 200 ms after each onset."""
    _, files, segments = dubbed
    level = np.abs(sound(files["es.mp4"]))
    frame = RATE // 50
    loud = [float(level[at : at + frame].max()) > 0.01 for at in range(0, len(level) - frame, frame)]
    for segment in segments:
        (rendition,) = segment["renditions"]
        assert abs(rendition["onset"] - segment["start"]) < 0.001
        at = int(rendition["onset"] * 50)
        assert not any(loud[max(0, at - 2) : at - 1]), f"sound before segment {segment['index']}"
        assert any(loud[at : at + 10]), f"silence where segment {segment['index']} should speak"


def test_subtitles_of_both_languages_are_readable(dubbed: Dubbed) -> None:
    files = dubbed[1]
    for language in ("en", "es"):
        cues = srt.loads(files[f"{language}.srt"].read_text())
        assert len(cues) >= 4
        assert max(len(line) for cue in cues for line in cue.lines) <= 42
        assert max(len(cue.lines) for cue in cues) <= 2
        assert [cue.text for cue in vtt.loads(files[f"{language}.vtt"].read_text())] == [cue.text for cue in cues]


def test_the_toy_translation_and_the_stand_in_voice_are_told(dubbed: Dubbed) -> None:
    job, files, _ = dubbed
    codes = {warning["code"] for warning in job["warnings"]}
    assert {"toy_translation", "stand_in_voice"} <= codes
    assert {"toy_translation", "stand_in_voice"} <= set(json.loads(files["quality.es.json"].read_text())["flags"])


def test_the_quality_report_is_data_a_page_and_a_summary_in_the_job(dubbed: Dubbed) -> None:
    job, files, segments = dubbed
    report, page = json.loads(files["quality.es.json"].read_text()), files["quality.es.html"].read_text()
    assert report["fit"]["segments"] == len(report["segments"]) == len(segments)
    assert abs(report["loudness"]["integrated_lufs"] - loudness(files["es.mp4"])[0]) <= 0.2
    assert report["transcript"]["mean_probability"] > 0.7
    assert 4 <= report["read_back"]["segments"] <= 8
    assert report["read_back"]["error_percent"] > 20, "the stand-in voice is not intelligible"
    assert report["not_measured"]["speech_quality"] == "no model for it is installed"
    shown = job["quality"]["es"]
    assert shown["read_back_error_percent"] == report["read_back"]["error_percent"]
    assert shown["warnings"] == report["warnings"]
    assert "hard_to_understand" in {warning["code"] for warning in shown["warnings"]}
    assert all(warning["message"].split()[0] in page for warning in job["warnings"])
    assert page.count("<svg") >= 3


def test_artifacts_are_the_bytes_they_say_they_are(dubbed: Dubbed) -> None:
    job, files, _ = dubbed
    for artifact in job["artifacts"]:
        data = files[artifact["name"]].read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (artifact["size"], artifact["sha256"])


def test_progress_never_goes_back_and_ends_at_100(system: System, dubbed: Dubbed) -> None:
    async def work(client: Client) -> list[dict[str, Any]]:
        return [event async for event in client.follow(dubbed[0]["id"])]

    events = system.ask(work)
    reported = [event["progress"] for event in events if "progress" in event]
    assert reported == sorted(reported)
    assert reported[-1] == 100
    assert events[-1]["type"] == "completed"


def test_an_audio_file_becomes_an_mp3_of_the_same_length(system: System, tmp_path: Path) -> None:
    source = tmp_path / "sample.wav"
    ffmpeg("-i", str(SAMPLE), "-vn", str(source))

    async def work(client: Client) -> tuple[dict[str, Any], dict[str, Path]]:
        job = await run_job(client, source, kind="audio_translation", target_languages=["de"], source_language="en")
        return job, await fetch(client, job, tmp_path)

    job, files = system.ask(work)
    assert job["status"] == "completed", job["error"]
    described = probe(files["de.mp3"])
    assert described["streams"][0]["codec_name"] == "mp3"
    assert abs(float(described["format"]["duration"]) - float(probe(source)["format"]["duration"])) <= 0.06
    assert abs(loudness(files["de.mp3"])[0] + 16) <= 1


def test_subtitles_alone_need_no_target_language(system: System, tmp_path: Path) -> None:
    async def work(client: Client) -> tuple[dict[str, Any], dict[str, Path]]:
        job = await run_job(client, SAMPLE, kind="subtitles")
        return job, await fetch(client, job, tmp_path)

    job, files = system.ask(work)
    assert job["status"] == "completed", job["error"]
    assert set(files) == {"en.srt", "en.vtt", "transcript.en.json"}
    assert job["detected_language"] == "en"


def test_a_file_in_which_nobody_speaks_keeps_its_sound_and_says_so(system: System, tmp_path: Path) -> None:
    source = tmp_path / "tone.mp4"
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=5"),
        *("-f", "lavfi", "-i", "sine=frequency=440:duration=5"),
        *("-pix_fmt", "yuv420p", "-c:v", "libx264", "-c:a", "aac", str(source)),
    )

    async def work(client: Client) -> tuple[dict[str, Any], dict[str, Path]]:
        job = await run_job(client, source, kind="video_translation", target_languages=["es"])
        return job, await fetch(client, job, tmp_path)

    job, files = system.ask(work)
    assert job["status"] == "completed", job["error"]
    assert [warning["code"] for warning in job["warnings"]] == ["no_speech"]
    ours, theirs = sound(files["es.mp4"]), sound(source)
    assert np.corrcoef(ours[:64_000], theirs[:64_000])[0, 1] > 0.99
    assert srt.loads(files["es.srt"].read_text()) == []


def test_a_file_already_in_the_language_keeps_its_sound_and_says_so(system: System, tmp_path: Path) -> None:
    async def work(client: Client) -> tuple[dict[str, Any], dict[str, Path]]:
        job = await run_job(client, SAMPLE, kind="video_translation", target_languages=["en"])
        return job, await fetch(client, job, tmp_path)

    job, files = system.ask(work)
    assert job["status"] == "completed", job["error"]
    assert [warning["code"] for warning in job["warnings"]] == ["same_language"]
    assert np.corrcoef(sound(files["en.mp4"])[: 20 * RATE], sound(SAMPLE)[: 20 * RATE])[0, 1] > 0.99


def test_a_pair_nothing_translates_is_refused_with_the_pairs_there_are(system: System) -> None:
    async def work(client: Client) -> None:
        media = await client.upload(SAMPLE)
        await client.start(
            {
                "media_id": media["id"],
                "kind": "video_translation",
                "source_language": "de",
                "target_languages": ["es"],
            }
        )

    with pytest.raises(ApiError, match="de"):
        system.ask(work)


def test_a_language_nothing_leads_to_is_refused_before_any_work(system: System) -> None:
    async def work(client: Client) -> None:
        media = await client.upload(SAMPLE)
        await client.start({"media_id": media["id"], "kind": "subtitles", "target_languages": ["fr"]})

    with pytest.raises(ApiError, match="fr"):
        system.ask(work)


@pytest.mark.parametrize(
    "container", ["mkv", "webm", "avi", *(pytest.param(each, marks=pytest.mark.soak) for each in ("mov", "wmv", "flv"))]
)
def test_every_container_becomes_an_mp4_of_its_length(system: System, tmp_path: Path, container: str) -> None:
    source = tmp_path / f"clip.{container}"
    codecs = {
        "webm": ("-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"),
        "wmv": ("-c:v", "wmv2", "-c:a", "wmav2"),
        "avi": ("-c:v", "mpeg4", "-c:a", "libmp3lame"),
        "flv": ("-c:v", "flv1", "-c:a", "libmp3lame", "-ar", "44100"),
    }.get(container, ("-c:v", "copy", "-c:a", "aac"))
    ffmpeg("-i", str(SAMPLE), "-t", "8", *codecs, str(source))

    async def work(client: Client) -> tuple[dict[str, Any], dict[str, Path]]:
        job = await run_job(client, source, kind="video_translation", target_languages=["es"], source_language="en")
        return job, await fetch(client, job, tmp_path)

    job, files = system.ask(work)
    assert job["status"] == "completed", job["error"]
    described = probe(files["es.mp4"])
    assert [stream["codec_name"] for stream in described["streams"][:2]] == ["h264", "aac"]
    assert abs(float(described["format"]["duration"]) - 8) <= 0.25
