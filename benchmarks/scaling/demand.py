"""A day of videos: a Poisson process whose rate is constant within each hour. Pure."""

import math
import random
from collections.abc import Iterator, Sequence

HOUR_S = 3600.0
SPREAD = 0.5
"""A minute of video takes from half to one and a half times the mean: some say more than others."""


def rates(minutes_a_day: float, mean_minutes: float, hours: Sequence[float]) -> list[float]:
    """Videos a second in each hour, so that a day has so many minutes of video in the mean."""
    total = sum(hours)
    return [minutes_a_day * hour / total / HOUR_S / mean_minutes for hour in hours]


def day(
    minutes_a_day: float, mean_minutes: float, hours: Sequence[float], seconds: float, seed: int
) -> Iterator[tuple[float, float]]:
    """Minutes of video as (time, seconds that a minute computes), in order of time; those of a video come together.

    A video is as many whole minutes as an exponential length is rounded up to, less half: the mean is kept to a few
    per cent for lengths of several minutes.
    """
    source = random.Random(seed)
    for index, rate in enumerate(rates(minutes_a_day, mean_minutes, hours)):
        at = index * HOUR_S
        while rate and (at := at + source.expovariate(rate)) < (index + 1) * HOUR_S:
            length = max(1, math.floor(source.expovariate(1 / mean_minutes) + 0.5))
            for _ in range(length):
                yield at, seconds * source.uniform(1 - SPREAD, 1 + SPREAD)
