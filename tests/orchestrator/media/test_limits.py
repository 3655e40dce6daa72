"""What one run of ffmpeg may use, and that the kernel holds it to that."""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.media.failures import MediaError, stopped
from orchestrator.media.ffmpeg import run, source, target
from orchestrator.media.limits import (
    GIB,
    LONGEST_S,
    Limits,
    bounded,
    copied,
    reading,
    sound,
    transcoded,
)
from tests.orchestrator.media.clips import ffmpeg, waited

MIB = 2**20
WIDE = Limits(300, 300, 4 * GIB, GIB)
HOURS_10 = 36_000.0


def refused(command: list[str], limits: Limits) -> MediaError:
    with pytest.raises(MediaError) as caught:
        waited(run(command, limits=limits))
    return caught.value


def test_memory_is_bounded() -> None:
    large = "testsrc2=size=4096x2160:duration=10"
    command = ["ffmpeg", "-nostdin", "-f", "lavfi", "-i", large, "-vf", "reverse", "-f", "null", "-"]
    error = refused(command, Limits(300, 300, GIB // 2))
    assert (error.code, error.status) == ("media_too_heavy", 422)
    assert "Convert it" in error.message


def test_processor_time_is_bounded_whatever_the_clock_says() -> None:
    command = ["ffmpeg", "-nostdin", "-f", "lavfi", "-i", "testsrc2=size=640x480", "-f", "null", "-"]
    began = time.monotonic()
    error = refused(command, Limits(250, 1))
    assert (error.code, error.status) == ("media_timeout", 504)
    assert time.monotonic() - began < 200


def test_the_length_of_a_file_is_bounded_and_named_like_a_full_disk(tmp_path: Path) -> None:
    command = ["ffmpeg", "-nostdin", "-f", "lavfi", "-i", "sine=duration=60", "-f", "s16le", str(tmp_path / "out.pcm")]
    error = refused(command, Limits(300, 300, GIB, 100_000))
    assert (error.code, error.status) == ("storage_full", 507)
    assert (tmp_path / "out.pcm").stat().st_size <= 100_000


def test_what_only_reads_can_write_nothing(tmp_path: Path) -> None:
    ffmpeg(tmp_path, "{tone} clip.wav")
    command = target(source(tmp_path / "clip.wav"), path=tmp_path / "out.wav")
    assert refused(command, reading(1000)).code == "storage_full"
    assert (tmp_path / "out.wav").stat().st_size == 0


def test_no_limit_of_ours_is_raised() -> None:
    script = (
        "import resource\nfrom orchestrator.media.limits import Limits, bounded\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 6000))\n"
        "print(bounded(['ffmpeg'], Limits(10, 10, 2**30, 10**9)))\n"
        "print(bounded(['ffmpeg'], Limits(10, 10, 2**30, 1000)))\n"
    )
    wide, narrow = subprocess.check_output([sys.executable, "-c", script], text=True).splitlines()
    assert "'--fsize=5000:5000'" in wide
    assert "'--fsize=1000:1000'" in narrow


def test_a_process_has_its_limits_and_no_secret_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCTAVIA_JWT_SECRET", "s" * 40)
    monkeypatch.setenv("FFREPORT", f"file={tmp_path}/report")
    program = tmp_path / "ffprobe"
    program.write_text("#!/bin/sh\nenv\nulimit -a\ngrep -i seccomp /proc/self/status\n")
    program.chmod(0o755)
    written = waited(run([str(program)], limits=Limits(60, 30, GIB, 10_240))).output.decode()
    names = {line.partition("=")[0] for line in written.splitlines() if "=" in line}
    assert names & {"OCTAVIA_JWT_SECRET", "FFREPORT"} == set()
    assert "PATH" in names
    command = bounded(["ffmpeg"], Limits(60, 30, GIB, 10_240))
    assert command[:1] == ["prlimit"]
    assert {f"--as={GIB}:{GIB}", "--cpu=30:40", "--fsize=10240:10240", "--core=0:0"} <= set(command)


def test_an_honest_run_keeps_within_its_limits(tmp_path: Path) -> None:
    ffmpeg(
        tmp_path, "-f lavfi -i testsrc2=size=1920x1080:rate=25:duration=2 {tone} -c:v mpeg4 -q:v 2 -c:a aac clip.mp4"
    )
    size = (tmp_path / "clip.mp4").stat().st_size
    clip = source(tmp_path / "clip.mp4")
    command = target(clip["v"], clip["a"], path=tmp_path / "out.mp4", vcodec="libx264", preset="veryfast", crf=20)
    waited(run(command, limits=transcoded(2.0, size, 1920 * 1080, 25)))
    assert (tmp_path / "out.mp4").stat().st_size > 0


@pytest.mark.parametrize("kind", [reading, sound])
def test_limits_grow_with_the_work(kind: object) -> None:
    assert callable(kind)
    small, large = kind(1000), kind(100_000_000)
    assert small.seconds < large.seconds
    assert small.processor_s < large.processor_s


def test_limits_are_in_proportion() -> None:
    assert sound(HOURS_10).seconds < 12 * 3600
    assert sound(HOURS_10).file > HOURS_10 * 48_000 * 2 * 4  # float stereo
    assert copied(60, 10 * MIB).seconds < 1000
    hd, cinema = transcoded(60, MIB, 1920 * 1080, 25), transcoded(60, MIB, 8192 * 4320, 25)
    assert 17 * (hd.processor_s - copied(60, MIB).processor_s) == pytest.approx(
        cinema.processor_s - copied(60, MIB).processor_s, rel=0.01
    )
    assert hd.memory < 2 * GIB < cinema.memory < 10 * GIB
    assert transcoded(HOURS_10, MIB, 8192 * 4320, 1e9).seconds == LONGEST_S
    assert transcoded(60, MIB, 100, 1e9) == transcoded(60, MIB, 100, 120)


@pytest.mark.parametrize(
    ("code", "lasted", "expected"),
    [
        (-25, 1.0, "storage_full"),
        (-24, 100.0, "media_timeout"),
        (255, 100.0, "media_timeout"),
        (-9, 100.0, "media_timeout"),
        (-9, 0.5, "out_of_memory"),
        (255, 0.5, None),
        (-11, 100.0, None),
        (1, 100.0, None),
    ],
)
def test_how_a_process_ended_tells_which_limit_it_met(code: int, lasted: float, expected: str | None) -> None:
    error = stopped(code, lasted, Limits(1000, 20 * (os.cpu_count() or 1)))
    assert (error.code if error else None) == expected


def test_the_suite_itself_may_write_files() -> None:
    """Otherwise the limits above would be ours, not those of the processes."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
