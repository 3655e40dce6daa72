"""An S3 in a process of its own: moto's server, which keeps S3's rules for multipart uploads."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
import httpx

from orchestrator.local.ports import free_port

KEYS = {"AWS_ACCESS_KEY_ID": "moto", "AWS_SECRET_ACCESS_KEY": "moto", "AWS_REGION": "us-east-1"}


@dataclass(frozen=True, slots=True)
class S3:
    """`address`: host and port."""

    address: str

    def environment(self, address: str | None = None) -> dict[str, str]:
        """What obstore reads to reach it, or what stands before it at another address."""
        return {**KEYS, "AWS_ENDPOINT": f"http://{address or self.address}", "AWS_ALLOW_HTTP": "true"}

    def client(self) -> Any:
        """AWS's own client, to look behind ours."""
        keys = {"aws_access_key_id": "moto", "aws_secret_access_key": "moto", "region_name": "us-east-1"}
        return boto3.client("s3", endpoint_url=f"http://{self.address}", **keys)

    def objects(self, bucket: str) -> list[str]:
        return [each["Key"] for each in self.client().list_objects_v2(Bucket=bucket).get("Contents", [])]

    def unfinished(self, bucket: str) -> list[str]:
        """Keys of multipart uploads that were neither completed nor aborted."""
        return [each["Key"] for each in self.client().list_multipart_uploads(Bucket=bucket).get("Uploads", [])]


@contextmanager
def s3_server() -> Iterator[S3]:
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not _answers(port):
            assert process.poll() is None, "moto's server did not start"
            assert time.monotonic() < deadline, "moto's server did not start"
            time.sleep(0.1)
        yield S3(f"127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/moto-api/", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
