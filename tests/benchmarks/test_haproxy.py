"""HAProxy's own look at the configuration that upgrades are shown with."""

import subprocess
from pathlib import Path

import pytest

from benchmarks.upgrades.haproxy import CHECK_S, FALL, configuration, find_haproxy
from benchmarks.upgrades.stage import DRAIN_S


@pytest.mark.skipif(find_haproxy() is None, reason="haproxy is not installed")
def test_the_configuration_is_valid(tmp_path: Path) -> None:
    file = tmp_path / "haproxy.cfg"
    file.write_text(configuration(18_080, [18_081, 18_082], tmp_path / "haproxy.sock"))
    checked = subprocess.run([str(find_haproxy()), "-c", "-f", str(file)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "[WARNING]" not in checked.stderr


def test_a_process_takes_requests_for_longer_than_haproxy_needs_to_turn_away() -> None:
    assert DRAIN_S > CHECK_S * FALL
