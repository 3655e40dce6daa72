"""A running `octavia up` is found by others on its machine, and nothing else is taken for one."""

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from orchestrator.local.state import (
    Address,
    AlreadyUpError,
    find_running,
    owned,
    published,
    state_file,
    token_file,
    write_private,
)
from orchestrator.settings import Settings


class Api(BaseHTTPRequestHandler):
    """Answers 200 to everything and remembers what it was sent."""

    asked: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("Authorization")))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def api() -> Iterator[str]:
    Api.asked.clear()
    server = HTTPServer(("127.0.0.1", 0), Api)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def here(tmp_path: Path) -> Settings:
    write_private(tmp_path / "token", "a token\n")
    return Settings(data_dir=tmp_path)


def address(api_url: str) -> Address:
    return Address(api_url, "127.0.0.1:8101", "a token", "postgresql://secret")


def test_a_system_is_found_while_it_runs_and_not_after(here: Settings, api: str) -> None:
    with owned(here), published(here, address(api)):
        assert find_running(here) == address(api)
    assert find_running(here) is None
    assert not state_file(here).exists()


def test_the_file_that_names_the_database_is_for_its_owner_alone(here: Settings, api: str) -> None:
    with owned(here), published(here, address(api)):
        assert stat.S_IMODE(state_file(here).stat().st_mode) == 0o600
        assert [path.name for path in here.data_dir.glob("up.json*")] == ["up.json"]


def test_a_written_file_replaces_one_that_others_could_read(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old and long")
    path.chmod(0o644)
    write_private(path, "new")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o600)


def left_behind(here: Settings, api_url: str, pid: int) -> None:
    """What a killed system leaves."""
    state = {"api_url": api_url, "model_address": "", "database_url": "", "pid": pid}
    state_file(here).write_text(json.dumps(state))


def test_the_file_of_a_killed_system_is_not_believed_though_its_pid_and_port_are_taken_by_others(
    here: Settings, api: str
) -> None:
    left_behind(here, api, os.getpid())
    assert find_running(here) is None
    assert Api.asked == []


def test_a_file_whose_process_is_gone_is_not_believed(here: Settings, api: str) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with owned(here):
        left_behind(here, api, gone.pid)
        assert find_running(here) is None
    assert Api.asked == []


def test_whether_a_system_answers_is_asked_without_the_token(here: Settings, api: str) -> None:
    with owned(here), published(here, address(api)):
        find_running(here)
    assert Api.asked == [("/readyz", None)]


def test_a_system_that_does_not_answer_is_not_found(here: Settings) -> None:
    with owned(here), published(here, address("http://127.0.0.1:9")):
        assert find_running(here) is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"api_url": 5}', '{"api_url": "x", "model_address": "", "pid": "p"}']
)
def test_a_damaged_file_is_like_none(here: Settings, text: str) -> None:
    with owned(here):
        state_file(here).write_text(text)
        assert find_running(here) is None


def test_a_system_without_a_token_file_is_not_found(here: Settings, api: str) -> None:
    with owned(here), published(here, address(api)):
        token_file(here).unlink()
        assert find_running(here) is None


def test_a_data_folder_has_one_owner_at_a_time(here: Settings) -> None:
    with owned(here):
        with pytest.raises(AlreadyUpError, match=str(here.data_dir)), owned(here):
            pass
        with ExitStack() as stack, pytest.raises(AlreadyUpError):
            stack.enter_context(owned(here))
    with owned(here):
        pass


def test_a_new_owner_removes_what_a_killed_one_left(here: Settings, api: str) -> None:
    left_behind(here, api, os.getpid())
    with owned(here):
        assert not state_file(here).exists()


def test_neither_token_nor_database_show_when_an_address_is_logged() -> None:
    assert "secret" not in repr(address("http://x"))
    assert "a token" not in repr(address("http://x"))
