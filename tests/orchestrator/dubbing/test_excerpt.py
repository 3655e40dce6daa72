"""Which seconds of an unfinished dub a sample shows."""

import pytest

from orchestrator.dubbing.excerpt import Excerpt, Ready, excerpt
from orchestrator.dubbing.mix import RATE
from orchestrator.dubbing.timeline import Clip


def test_nothing_is_shown_before_the_first_segment_is_spoken() -> None:
    assert excerpt([], 60) is None
    assert excerpt([Ready(1.0, None), Ready(5.0, "b", 2.0)], 60) is None


def test_it_begins_before_the_first_speech_and_ends_with_the_last_that_is_ready() -> None:
    segments = [Ready(5.0, "a", 2.0), Ready(18.0, "b", 3.0), Ready(25.0, None), Ready(27.0, "d", 1.0)]
    assert excerpt(segments, 60) == Excerpt(
        4.5, 16.5, (Clip("a", round(0.5 * RATE), 2 * RATE), Clip("b", round(13.5 * RATE), 3 * RATE))
    )


@pytest.mark.parametrize(
    ("segments", "duration", "start", "seconds"),
    [
        ([Ready(1.0, "a", 2.0)], 60.0, 0.5, 10.0),
        ([Ready(float(at), "a", 1.0) for at in range(1, 50, 2)], 60.0, 0.5, 30.0),
        ([Ready(55.0, "a", 2.0)], 60.0, 50.0, 10.0),
        ([Ready(1.0, "a", 2.0)], 6.0, 0.0, 6.0),
        ([Ready(0.2, "a", 2.0)], 60.0, 0.0, 10.0),
    ],
)
def test_it_lasts_ten_to_thirty_seconds_where_the_media_does(
    segments: list[Ready], duration: float, start: float, seconds: float
) -> None:
    found = excerpt(segments, duration)
    assert found is not None
    assert (found.start, found.seconds) == (start, seconds)
    assert all(0 <= clip.onset < seconds * RATE for clip in found.clips)


def test_speech_that_overflows_pushes_the_next_back_as_in_the_dub() -> None:
    found = excerpt([Ready(1.0, "a", 3.0), Ready(2.0, "b", 1.0)], 60)
    assert found is not None
    assert [clip.onset for clip in found.clips] == [round(0.5 * RATE), round(3.5 * RATE)]
