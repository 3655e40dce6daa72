"""Slow uploads: a sound file takes two seconds to go up, as over a home's line, so that one is always under way."""

import struct
from collections.abc import Iterator
from uuid import uuid4

import gevent
from locust import task

from benchmarks.load.profiles.user import OctaviaUser

SECONDS = 2.0
PIECES = 20
RATE = 16_000


def _silence(seconds: int) -> bytes:
    """A WAV file, 16 bits at `RATE`."""
    data = bytes(2 * RATE * seconds)
    head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    return head + struct.pack("<4sI", b"data", len(data)) + data


FILE = _silence(10)


class Uploader(OctaviaUser):
    @task
    def upload(self) -> None:
        mark = uuid4().hex
        head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'.encode()
        body = head + FILE + f"\r\n--{mark}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={mark}", "Content-Length": str(len(body))}
        self.call("POST", "/v1/media", expect=(201,), headers={**self.bearer(), **kind}, data=_Slowly(body))


class _Slowly:
    """A body in pieces, anew for each time it is sent."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        size = -(-len(self._body) // PIECES)
        for start in range(0, len(self._body), size):
            gevent.sleep(SECONDS / PIECES)
            yield self._body[start : start + size]
