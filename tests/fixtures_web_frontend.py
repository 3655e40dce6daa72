"""One Octavia for all the pages' calls: real models, credits sold through the stand-in for Polar, a demo account."""

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.local.ports import free_port
from tests.fixtures_system import SAMPLE, System, system_environment
from tests.web_frontend.tour import Tour, subrip

USUAL_PORT = 3000


@pytest.fixture(scope="session")
def web_port() -> int:
    """Where the pages are served: the frontend's usual port, another where somebody has that."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", USUAL_PORT))
        except OSError:
            return free_port()
    return USUAL_PORT


@pytest.fixture(scope="session")
def octavia(model_plane: str, server_folder: Path, web_port: int) -> Iterator[System]:
    """A running system that knows where its web frontend lives."""
    data_dir = Path(tempfile.mkdtemp(dir=server_folder))
    variables = {
        "OCTAVIA_WEB_URL": f"http://localhost:{web_port}",
        "OCTAVIA_DEMO_ACCOUNT": "true",
        "OCTAVIA_TEST_CREDITS": "true",
        "OCTAVIA_SIGN_UP_CREDITS": "100",
    }
    running = System(data_dir, system_environment(data_dir, model_plane, **variables), arguments=("--polar-standin",))
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What the pages upload, by the names the table uses."""
    folder = tmp_path_factory.mktemp("uploads")
    shutil.copy(SAMPLE, folder / "sample.mp4")
    for name, options in (("clip.mp4", ("-c", "copy")), ("speech.mp3", ("-vn",))):
        command = ["ffmpeg", "-nostdin", "-v", "error", "-t", "12", "-i", str(SAMPLE), *options, str(folder / name)]
        subprocess.run(command, check=True)
    (folder / "cues.srt").write_text(subrip(SAMPLE.with_suffix(".txt").read_text().splitlines()))
    (folder / "letter.txt").write_text(
        "He was not an ill-disposed young man.\nHe might even have been made\namiable himself.\n\nGood morning.\n"
    )
    return {
        "video": folder / "sample.mp4",
        "clip": folder / "clip.mp4",
        "audio": folder / "speech.mp3",
        "cues": folder / "cues.srt",
        "letter": folder / "letter.txt",
    }


@pytest.fixture(scope="session")
def tour(octavia: System, files: dict[str, Path]) -> Iterator[Tour]:
    """Somebody who has signed up, and asks each call once."""
    with Tour(octavia, files) as going:
        yield going
