"""On logical GPUs the number of replicas follows the load, from none to four and back to none."""

import os
from pathlib import Path

import pytest

from benchmarks.autoscaling import GPUS, follow, started


@pytest.mark.soak
def test_replicas_on_logical_gpus_follow_the_load_and_readiness_wakes_nobody(tmp_path: Path) -> None:
    with started(tmp_path, str(os.getpid())) as plane:
        timeline = follow(plane, load_s=12, idle_s=40)
    counts = [moment.replicas for moment in timeline]
    assert counts[0] == 0
    assert max(counts) == GPUS
    assert counts[-1] == 0
    assert sum(moment.answered for moment in timeline) > 0
    assert sum(moment.failed for moment in timeline) == 0
