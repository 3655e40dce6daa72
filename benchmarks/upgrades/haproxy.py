"""HAProxy in front of API processes, which it asks whether they are ready. It repeats nothing: what is lost shows."""

import csv
import io
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CHECK_S = 0.5
FALL = 2
"""Failed checks in a row after which a process gets no more requests."""
CONFIGURATION = """\
global
    maxconn 2000
    stats socket {socket} mode 600 level user

defaults
    mode http
    retries 0
    timeout connect 5s
    timeout check 5s
    timeout client 65s
    timeout server 65s
    # Of its idle connections to a process; the process keeps them for longer (OCTAVIA_API_KEEP_ALIVE_S).
    timeout http-keep-alive 60s

frontend api
    bind 127.0.0.1:{port}
    default_backend processes

backend processes
    balance roundrobin
    option httpchk GET /readyz
    http-check expect status 200
    default-server check inter {inter}ms fastinter {inter}ms downinter {inter}ms fall {fall} rise 1
{servers}
"""


class HaproxyError(Exception):
    """HAProxy is not there or did not start."""


def find_haproxy() -> str | None:
    """The program, which Debian keeps where only root looks."""
    return shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")


def configuration(port: int, processes: Sequence[int], socket_: Path) -> str:
    """Its configuration: where it listens, and the ports of the processes on loopback, named a, b, …"""
    servers = [f"    server {chr(ord('a') + number)} 127.0.0.1:{each}" for number, each in enumerate(processes)]
    return CONFIGURATION.format(
        socket=socket_, port=port, inter=round(CHECK_S * 1e3), fall=FALL, servers="\n".join(servers)
    )


@dataclass(frozen=True, slots=True)
class Haproxy:
    url: str
    _socket: Path

    def is_up(self, name: str) -> bool:
        """Whether the process of this name gets requests."""
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(str(self._socket))
            asking.sendall(b"show stat\n")
            with asking.makefile("r") as answer:
                rows = csv.DictReader(io.StringIO(answer.read().removeprefix("# ")))
        (status,) = [row["status"] for row in rows if (row["pxname"], row["svname"]) == ("processes", name)]
        return status.startswith("UP")

    def until_up(self, name: str, timeout_s: float = 60.0) -> None:
        """Raises HaproxyError."""
        deadline = time.monotonic() + timeout_s
        while not self.is_up(name):
            if time.monotonic() > deadline:
                raise HaproxyError(f"HAProxy sends nothing to {name}")
            time.sleep(0.1)


@contextmanager
def haproxy(folder: Path, port: int, processes: Sequence[int]) -> Iterator[Haproxy]:
    """It runs while the context lasts. Raises HaproxyError."""
    program = find_haproxy()
    if program is None:
        raise HaproxyError("haproxy is not installed: apt-get install haproxy")
    file, socket_ = folder / "haproxy.cfg", folder / "haproxy.sock"
    file.write_text(configuration(port, processes, socket_))
    with (folder / "haproxy.log").open("wb") as log:
        process = subprocess.Popen([program, "-db", "-f", str(file)], stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 30
        while not socket_.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise HaproxyError((folder / "haproxy.log").read_text())
            time.sleep(0.05)
        yield Haproxy(f"http://127.0.0.1:{port}", socket_)
    finally:
        process.terminate()
        process.wait()
