"""The command line as a user meets it: in a process of its own, with its exit codes and its words."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests.fixtures_system import SAMPLE, System, system_environment

OCTAVIA = [sys.executable, "-m", "orchestrator.cli"]


def octavia(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    with started(*arguments, **environment) as process:
        output, errors = process.communicate(timeout=240)
    return subprocess.CompletedProcess(arguments, process.returncode, output, errors)


@contextmanager
def started(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A command under way; it does not outlive the test."""
    process = subprocess.Popen(
        [*OCTAVIA, *arguments],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=90)


def refused(result: subprocess.CompletedProcess[str]) -> str:
    """The one line in which a command says what is wrong."""
    assert result.returncode == 1, result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1, result.stderr
    return lines[0]


def postmaster(data_dir: Path) -> psutil.Process | None:
    """The embedded server. While its folder is made, the file holds the negative number of a passing process."""
    pid_file = data_dir / "postgres" / "postmaster.pid"
    number = int((pid_file.read_text().split() or ["0"])[0]) if pid_file.exists() else 0
    return psutil.Process(number) if number > 0 else None


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), pytest.param(signal.SIGHUP, 129, marks=pytest.mark.soak)], ids=str
)
def test_being_told_to_stop_leaves_no_process_and_no_trace_of_running(
    model_plane: str, data_dir: Path, number: signal.Signals, code: int
) -> None:
    system = System(data_dir, system_environment(data_dir, model_plane))
    system.start()
    family = psutil.Process(system.process.pid).children(recursive=True)
    server = postmaster(data_dir)
    assert server is not None
    family.append(server)
    assert system.stop(number) == code
    _, left = psutil.wait_procs(family, timeout=60)
    assert [process for process in left if process.status() != psutil.STATUS_ZOMBIE] == []
    assert not (data_dir / "up.json").exists()


def test_a_start_that_is_broken_off_leaves_no_database(data_dir: Path) -> None:
    environment = system_environment(data_dir, "127.0.0.1:9")  # never ready
    with started("up", **environment) as process:
        server = postmaster(data_dir)
        while server is None:
            assert process.poll() is None
            time.sleep(0.05)
            server = postmaster(data_dir)
        process.terminate()
        output, errors = process.communicate(timeout=90)
    assert process.returncode == 143, output + errors
    _, left = psutil.wait_procs([server], timeout=60)
    assert [each for each in left if each.status() != psutil.STATUS_ZOMBIE] == []


def test_two_commands_at_once_on_one_data_folder_work_one_after_the_other(
    model_plane: str, data_dir: Path, tmp_path: Path
) -> None:
    environment = system_environment(data_dir, model_plane)
    one = ("subtitles", str(SAMPLE), "--out", str(tmp_path / "first"))
    other = ("subtitles", str(SAMPLE), "--format", "vtt", "--out", str(tmp_path / "second"))
    with started(*one, **environment) as first:
        while not (data_dir / "up.lock").exists():
            assert first.poll() is None
            time.sleep(0.05)
        with started(*other, **environment) as second:
            outcomes = [process.communicate(timeout=240) for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), outcomes
    assert f"waiting for the other Octavia on {data_dir}" in outcomes[1][1]
    results = {path.name for path in tmp_path.glob("*/*")}
    assert results == {"sense-and-sensibility.en.srt", "sense-and-sensibility.en.vtt"}
    assert not (data_dir / "up.json").exists()


def test_a_command_uses_the_system_that_runs_and_a_sound_file_becomes_a_sound_file(
    system: System, clips: Path, tmp_path: Path
) -> None:
    sound = tmp_path / f"{'[red] ' + 'é' * 120}.wav"
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(SAMPLE), "-t", "8", "-ac", "1", str(sound)], check=True)
    result = octavia("dub", str(sound), "--to", "es", "--out", str(tmp_path / "out"), **system.environment)
    assert result.returncode == 0, result.stderr
    names = [path.name for path in (tmp_path / "out").iterdir()]
    assert [name for name in names if name.endswith(".es.mp3") or name.endswith(".es.wav")], names
    assert not [name for name in names if name.endswith((".mp4", ".part"))]
    assert all(name in result.stdout for name in names)


def test_a_file_that_is_no_media_is_refused_in_the_words_of_the_api(system: System, tmp_path: Path) -> None:
    text = tmp_path / "letter.mp4"
    text.write_text("Dear Elinor, …")
    result = octavia("dub", str(text), "--to", "es", "--out", str(tmp_path), **system.environment)
    assert "not a media file" in refused(result)


def test_a_folder_that_cannot_be_made_is_said_before_any_work(system: System, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "out"
    assert str(out) in refused(octavia("dub", str(SAMPLE), "--to", "es", "--out", str(out), **system.environment))


def test_an_account_is_made_in_the_database_of_the_running_system(system: System) -> None:
    account = ("--email", "fanny@example.org", "--name", "Fanny", "--password", "harris dashwood")
    created = octavia("users", "create", *account, **system.environment)
    assert created.returncode == 0, created.stderr
    credentials = {"email": "fanny@example.org", "password": "harris dashwood"}
    answer = httpx.post(f"{system.state['api_url']}/v1/auth/login", json=credentials, trust_env=False, timeout=60)
    assert answer.status_code == 200
    assert "exists already" in refused(octavia("users", "create", *account, **system.environment))


def test_without_a_database_an_account_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    line = refused(octavia("users", "create", OCTAVIA_DATA_DIR=str(tmp_path)))
    assert "octavia up" in line
    assert "OCTAVIA_DATABASE_URL" in line


@pytest.mark.parametrize("command", [("up",), ("dub", str(SAMPLE), "--to", "es")], ids=lambda each: each[0])
def test_missing_programs_are_named_at_the_start(tmp_path: Path, command: tuple[str, ...]) -> None:
    line = refused(octavia(*command, OCTAVIA_DATA_DIR=str(tmp_path / "data"), PATH=str(tmp_path)))
    assert "ffmpeg, ffprobe, espeak-ng" in line
    assert not (tmp_path / "data").exists()


def test_a_database_that_does_not_answer_is_said_in_one_line(tmp_path: Path) -> None:
    url = "postgresql://nobody@127.0.0.1:9/none"
    line = refused(
        octavia("up", OCTAVIA_DATA_DIR=str(tmp_path), OCTAVIA_DATABASE_URL=url, OCTAVIA_MODEL_ADDRESS="127.0.0.1:9")
    )
    assert "OCTAVIA_DATABASE_URL" in line


def test_a_setting_that_is_wrong_is_named() -> None:
    assert "OCTAVIA_API_PORT" in refused(octavia("up", OCTAVIA_API_PORT="eighty"))


def test_the_help_of_a_command_of_the_model_plane_shows_its_own_options() -> None:
    shown = octavia("models", "import-piper", "--help")
    assert shown.returncode == 0
    assert "--licence" in shown.stdout
    assert "--paid-use" in shown.stdout


def test_importing_a_voice_without_its_licence_is_refused() -> None:
    result = octavia("models", "import-piper", "voice.onnx", "--name", "x")
    assert result.returncode == 2
    assert "--licence" in result.stderr
