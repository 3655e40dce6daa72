"""An object store for the suite, and a bucket of its own for each test."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.standins.s3 import S3, s3_server


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    with s3_server() as running:
        yield running


@pytest.fixture
def bucket(s3: S3, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new bucket, which this process's environment leads to."""
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    name = f"test-{uuid4()}"
    s3.client().create_bucket(Bucket=name)
    return name
