"""The five tools from upload to downloaded result by the pages' calls alone, credits moving as the pages print them."""

import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from orchestrator.subtitles import srt
from tests.web_frontend.table import STARTING, by_route
from tests.web_frontend.tour import Tour


@dataclass(frozen=True, slots=True)
class Tool:
    """What a page promises. `downloads`: the addresses it tries in turn; `streams`: what ffprobe finds in the file."""

    job: str
    credits: int
    downloads: tuple[str, ...]
    streams: tuple[str, ...] = ()


TOOLS = (
    Tool("video", 10, ("/api/download/video/{id}", "/api/download/{id}"), ("h264", "aac")),
    Tool("enhanced", 10, ("/api/download/video/{id}", "/api/download/{id}"), ("h264", "aac")),
    Tool("audio", 10, ("/api/download/audio/{id}", "/api/download/{id}", "/api/download/video/{id}"), ("mp3",)),
    Tool("subtitles", 1, ("/api/translate/download/subtitles/{id}",)),
    Tool("translated", 5, ("/api/translate/download/subtitles/{id}",)),
    Tool(
        "spoken",
        5,
        (
            "/api/download/subtitle-audio/{id}",
            "/api/generate/subtitle-audio/download/{id}",
            "/api/download/{id}",
        ),
        ("vorbis",),
    ),
)


def streams(path: Path) -> tuple[str, ...]:
    command = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name,codec_type", "-of", "csv=p=0", str(path)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return tuple(name for name, kind in (line.split(",") for line in lines) if kind != "subtitle")


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.job)
def test_a_tool_gives_what_its_page_promises(tour: Tour, tool: Tool, tmp_path: Path) -> None:
    job = tour.job(tool.job)
    assert job.last["status"] == "completed", job.last["error"]
    assert job.before - job.after == tool.credits, "taken when the job starts, and told by the profile at once"
    contents = [tour.get(path.format(id=job.id)) for path in tool.downloads]
    assert {answer.status_code for answer in contents} == {200}
    assert len({answer.content for answer in contents}) == 1
    assert "attachment" in contents[0].headers["Content-Disposition"]
    if tool.streams:
        file = tmp_path / "result"
        file.write_bytes(contents[0].content)
        assert streams(file)[: len(tool.streams)] == tool.streams
    else:
        cues = srt.loads(contents[0].text)
        assert cues
        assert all(cue.text for cue in cues)


@pytest.mark.parametrize("name", ["video", "audio", "subtitles", "spoken"])
def test_a_page_sees_a_job_go_forward_in_its_own_words(tour: Tour, name: str) -> None:
    seen = tour.job(name).seen
    assert {view["status"] for view in seen} <= {"pending", "processing", "completed"}
    assert name != "subtitles" or seen[0]["status"] != "pending", "that page would call it failed"
    shown = [view["progress"] for view in seen]
    assert shown == sorted(shown)
    assert shown[-1] == 100
    assert all(view["status_message"] for view in seen)


def test_the_numbers_of_cues_and_chunks_are_those_of_the_result(tour: Tour) -> None:
    for name in ("subtitles", "translated"):
        job = tour.job(name)
        found = srt.loads(tour.get(f"/api/translate/download/subtitles/{job.id}").text)
        review = tour.get(f"/api/translate/subtitles/review/{job.id}").json()
        assert review["segment_count"] == len(found) == len(srt.loads(review["content"]))
    video = tour.job("video").last
    assert 0 < len(video["available_chunks"]) <= video["total_chunks"] == video["processed_chunks"]
    for chunk in video["available_chunks"]:
        heard = tour.get(chunk["preview_url"])
        assert heard.headers["Content-Type"] == "audio/wav"


def test_plain_text_is_read_aloud(tour: Tour, tmp_path: Path) -> None:
    call = replace(STARTING["spoken"], file="letter", fields={"target_language": "es", "output_format": "mp3"})
    job = tour.start(call)
    tour.follow(job)
    assert job.last["status"] == "completed", job.last["error"]
    assert job.last["original_filename"] == "letter.txt"
    file = tmp_path / "letter.mp3"
    file.write_bytes(tour.get(f"/api/download/subtitle-audio/{job.id}").content)
    assert streams(file) == ("mp3",)


def test_a_cancelled_job_costs_nothing(tour: Tour) -> None:
    job = tour.start(STARTING["video"])
    assert job.before - job.after == 10
    headers = {"Authorization": f"Bearer {tour.token('user')}"}
    answer = tour.client.post(f"/api/cancel/{job.id}", headers=headers)
    assert answer.json()["status"] == "cancelled", answer.text
    assert tour.credits() == job.before


def test_a_preview_costs_a_credit_once(tour: Tour) -> None:
    before = tour.credits()
    call = replace(
        by_route("POST /api/voices/preview"), fields={"voice_id": "{voice}", "text": "Hm.", "language": "en"}
    )
    left = [tour.send(call).json()["credits_remaining"] for _ in range(2)]
    assert left == [before - 1, before - 1]


def test_a_pair_that_cannot_be_had_is_refused_before_credits_move(tour: Tour) -> None:
    before = tour.credits()
    for target in ("ja", "ar", "ko"):
        answer = tour.send(replace(STARTING["audio"], fields={"source_lang": "en", "target_lang": target}))
        assert answer.status_code == 400, answer.text
        assert target in answer.json()["error"]
    assert tour.credits() == before
