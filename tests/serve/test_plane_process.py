"""`python -m serve` as a process: what it listens on, how it refuses to start, and that it leaves nothing behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from orchestrator.local.ports import free_ports
from tests.fixtures_model_plane import Plane

GONE_S = 150
"""A busy machine takes long to start Ray, which lets no signal through meanwhile, and long to stop it."""
LOSES_EXCEPTIONS = """
import sys, time
from serve import local, plane

def start_models(settings, application):
    print("starting", flush=True)
    while True:
        try:
            time.sleep(0.1)
        except BaseException:
            print("lost", flush=True)

plane.start_ray = lambda settings: None
plane.start_models = start_models
sys.exit(local.main())
"""
"""A plane in whose start no exception gets through, as one of a signal's handler may not in Ray's core."""


def spawn(log: Path, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    """`python -m serve` on free ports, or Python with other arguments."""
    grpc, http, metrics = free_ports(3)
    ports = {"GRPC": grpc, "HTTP": http, "METRICS": metrics}
    settings = {f"OCTAVIA_SERVE_{kind}_PORT": str(port) for kind, port in ports.items()}
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, *(arguments or ("-m", "serve"))],
            env={**os.environ, **settings, "OCTAVIA_WEIGHTS": "starter", **environment},
            stdout=output,
            stderr=output,
        )


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + GONE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {GONE_S} s"
        time.sleep(0.1)


@pytest.fixture
def starting(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], list[psutil.Process]]]:
    """A plane that has started Ray and is still loading, with all its processes."""
    process = spawn(tmp_path / "log")
    own = psutil.Process(process.pid)
    wait_for(lambda: any("raylet" in each.name() for each in own.children(recursive=True)), "the start of Ray")
    yield process, own.children(recursive=True)
    if process.poll() is None:
        process.terminate()
        process.wait(timeout=GONE_S)


def test_nothing_of_the_plane_listens_beyond_loopback(plane: Plane) -> None:
    listening = [
        connection.laddr
        for process in plane.descendants()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) > 5
    foreign = [at for at in listening if at.ip.removeprefix("::ffff:") not in ("127.0.0.1", "::1")]
    assert foreign == []


def test_nothing_of_the_plane_is_connected_to_a_foreign_address(plane: Plane) -> None:
    remote = [
        connection.raddr.ip.removeprefix("::ffff:")
        for process in plane.descendants()
        for connection in process.net_connections("inet")
        if connection.raddr
    ]
    assert set(remote) <= {"127.0.0.1", "::1"}


def test_telemetry_is_off_in_every_process_of_ray(plane: Plane) -> None:
    assert any(
        process.environ().get("RAY_USAGE_STATS_ENABLED") == "0"
        for process in plane.descendants()
        if "raylet" in process.name()
    )


def test_the_ready_line_names_addresses_that_answer(plane: Plane) -> None:
    assert plane.ready["event"] == "ready"
    for name in ("grpc", "http"):
        host, port = plane.ready[name].split(":")
        with socket.create_connection((host, int(port)), timeout=30):
            pass


def test_a_taken_port_is_named_and_nothing_is_started(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = spawn(tmp_path / "log", OCTAVIA_SERVE_GRPC_PORT=str(port))
        assert process.wait(timeout=GONE_S) == 1
    said = (tmp_path / "log").read_text()
    assert f"port {port} on 127.0.0.1 is not free" in said
    assert "OCTAVIA_SERVE_GRPC_PORT" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("name: 3 {", "not a Triton model configuration"), ('name: "m"', "at least one input and one output")],
)
def test_a_broken_model_repository_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "repo" / "m").mkdir(parents=True)
    (tmp_path / "repo" / "m" / "config.pbtxt").write_text(text)
    process = spawn(tmp_path / "log", OCTAVIA_MODEL_REPO=str(tmp_path / "repo"))
    assert process.wait(timeout=GONE_S) == 1
    said = (tmp_path / "log").read_text()
    assert complaint in said
    assert "Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_starting_stops_everything(
    starting: tuple[subprocess.Popen[bytes], list[psutil.Process]], number: signal.Signals
) -> None:
    process, others = starting
    process.send_signal(number)
    assert process.wait(timeout=GONE_S) == 0
    assert not [each for each in others if each.is_running()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_while_starting_is_not_lost_where_exceptions_are(tmp_path: Path, number: signal.Signals) -> None:
    process = spawn(tmp_path / "log", "-c", LOSES_EXCEPTIONS)
    wait_for(lambda: "starting" in (tmp_path / "log").read_text(), "the start")
    process.send_signal(number)
    assert process.wait(timeout=GONE_S) == 0
    said = (tmp_path / "log").read_text()
    assert f"stopped by {number.name} while starting" in said
    assert "lost" not in said


def test_killing_the_inner_process_leaves_no_orphan(
    starting: tuple[subprocess.Popen[bytes], list[psutil.Process]],
) -> None:
    process, others = starting
    next(each for each in others if each.ppid() == process.pid).kill()
    assert process.wait(timeout=GONE_S) != 0
    assert not [each for each in others if each.is_running()]


def test_killing_the_outer_process_leaves_no_orphan(
    starting: tuple[subprocess.Popen[bytes], list[psutil.Process]],
) -> None:
    process, others = starting
    process.kill()
    process.wait()
    wait_for(lambda: not any(each.is_running() for each in others), "the end of every process")


def test_the_plane_ends_with_the_process_it_was_told_to_watch(tmp_path: Path) -> None:
    parent = subprocess.Popen(["sleep", "600"])
    process = spawn(tmp_path / "log", OCTAVIA_PARENT_PID=str(parent.pid))
    wait_for(lambda: psutil.Process(process.pid).children() != [], "the start of the plane")
    time.sleep(1)
    parent.kill()
    parent.wait()
    assert process.wait(timeout=GONE_S) == 0
