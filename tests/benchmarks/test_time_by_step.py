"""Where the time of a dub goes: seconds that add up to the wall time."""

import pytest

from benchmarks.dub import by_step


def test_seconds_of_steps_at_work_together_are_divided_and_all_add_up_to_the_wall_time() -> None:
    spans = [("hear", 0, 2000), ("hear", 0, 1000), ("speak", 1000, 4000), ("mix", 5000, 6000), ("DBOS.sleep", 0, 9000)]
    found = by_step(spans, total=8.0)
    assert found == pytest.approx({"hear": 1.5, "speak": 2.5, "mix": 1.0, "upload, queue, download": 3.0})
