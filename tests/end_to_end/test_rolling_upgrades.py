"""Each plane is upgraded under load: no request is lost, and every job that was accepted is completed and paid."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.upgrades.haproxy import find_haproxy
from benchmarks.upgrades.outcome import table
from benchmarks.upgrades.planes import UPGRADES
from benchmarks.upgrades.stage import Stage, stage

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(find_haproxy() is None, reason="haproxy is not installed"),
]

SECONDS = 6.0


@pytest.fixture(scope="module")
def running(server_folder: Path) -> Iterator[Stage]:
    folder = server_folder / "upgrades"
    folder.mkdir(mode=0o755)
    with stage(folder) as started:
        yield started


@pytest.mark.parametrize("plane", list(UPGRADES))
def test_an_upgrade_loses_no_request_and_no_job(running: Stage, plane: str) -> None:
    upgrade = UPGRADES[plane](running, SECONDS)
    print(*upgrade.seen, table([upgrade]), sep="\n")
    assert [failure for row in upgrade.rows for failure in row.failed] == []
    assert upgrade.wrong == ()
    assert all(row.requests for row in upgrade.rows), "nothing was asked, so nothing was shown"
    assert upgrade.seen
