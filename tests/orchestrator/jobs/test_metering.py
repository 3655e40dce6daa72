"""Readings of a meter, as they are kept."""

import io
import math

import numpy as np
import pytest

from orchestrator.dubbing.metering import Readings
from orchestrator.jobs.metering import dumps, loads


def test_readings_are_read_as_they_were_written() -> None:
    before = Readings.of([(-20.0, -120.7, -math.inf), (-19.5, -21.25, -3.5)])
    again = loads(dumps(before))
    assert np.allclose(again.rows, before.rows, rtol=1e-6)


@pytest.mark.parametrize("rows", [np.zeros(9), np.zeros((3, 4))])
def test_other_data_are_no_readings(rows: np.ndarray) -> None:
    written = io.BytesIO()
    np.save(written, rows)
    for data in (written.getvalue(), written.getvalue()[:-10], b"", b"no readings"):
        with pytest.raises(ValueError):  # noqa: PT011 - NumPy's own words or ours
            loads(data)
