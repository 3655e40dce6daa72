import math

import pytest

from orchestrator.dubbing.balance import bed_gain, voice_gain
from orchestrator.dubbing.loudness import Loudness

SILENT = Loudness(-math.inf, -math.inf)


def loud(integrated: float) -> Loudness:
    return Loudness(integrated, -1.0)


@pytest.mark.parametrize(("integrated", "gain"), [(-26.0, 10.0), (-12.0, -4.0)])
def test_a_dub_over_a_bed_is_set_to_the_level_by_which_it_ducks(integrated: float, gain: float) -> None:
    assert voice_gain(loud(integrated)) == gain


@pytest.mark.parametrize(
    ("bed", "voices", "gain"),
    [
        (-20.0, None, 4.0),
        (-10.0, None, -6.0),
        (-50.0, None, 12.0),
        (-30.0, -20.0, 4.0),
        (-30.0, -10.0, -6.0),
        (-18.0, -24.0, 2.0),
        (-60.0, -40.0, 12.0),
    ],
    ids=[
        "the original as loud as the dub",
        "a loud one too",
        "noise is raised by so much and no more",
        "background as it was to its voices",
        "turned down with them",
        "never louder than the dub",
        "nor raised without end",
    ],
)
def test_the_bed_goes_up_or_down_as_a_whole(bed: float, voices: float | None, gain: float) -> None:
    assert bed_gain(loud(bed), None if voices is None else loud(voices)) == gain


def test_silence_is_left_alone_and_says_nothing_of_proportions() -> None:
    assert voice_gain(SILENT) == bed_gain(SILENT) == bed_gain(SILENT, loud(-20.0)) == 0.0
    assert bed_gain(loud(-20.0), SILENT) == 4.0
