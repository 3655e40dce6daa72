"""95 % confidence intervals by the bootstrap (Efron and Tibshirani 1993), as scipy.stats.bootstrap computes them.

The bias-corrected and accelerated interval (BCa) where there are values enough to estimate its two corrections from,
and not so many that its jackknife takes longer than it is worth; the percentile interval elsewhere. Resampling starts
from the same seed every time: one result file has one set of intervals.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from benchmarks.measurements import Measurement, Statistic

LEVEL = 0.95
RESAMPLES = 4_999
FEWEST = 3
"""Of fewer values no interval is given."""
BEYOND = 5
"""A quantile has an interval where so many values lie beyond it: the bootstrap never sees past the largest one."""
BCA = range(10, 1_001)
QUANTILES: dict[Statistic, float] = {"median": 0.5, "p50": 0.5, "p95": 0.95, "p99": 0.99}
SEED = 0

Reals = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    low: float
    high: float

    def excludes(self, value: float) -> bool:
        return not self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Estimate:
    """A statistic, its interval or the reason why there is none."""

    value: float
    interval: Interval | None
    reason: str = ""


def quantile(statistic: Statistic) -> Callable[..., Any]:
    """The statistic as a function of values along an axis."""
    share = QUANTILES[statistic]
    return lambda values, axis=-1: np.quantile(values, share, axis=axis)


def too_few(measurement: Measurement) -> str:
    """Why the measurement's values give no interval; empty where they do."""
    count, share = len(measurement.values), QUANTILES[measurement.statistic]
    if count < FEWEST:
        return f"no interval from {measurement.count()}"
    if share > 0.5 and count * (1 - share) < BEYOND:
        return f"no interval: of {measurement.count()} fewer than {BEYOND} lie beyond {measurement.statistic}"
    return ""


def estimate(measurement: Measurement) -> Estimate:
    """The measurement's statistic with its interval."""
    values = np.array(measurement.values)
    found = quantile(measurement.statistic)
    reason = too_few(measurement)
    interval = None if reason else _bootstrap((values,), found)
    return Estimate(float(found(values)), interval, reason)


def ratio(old: Measurement, new: Measurement) -> Estimate:
    """The new statistic over the old one; both are resampled, each by itself."""
    found, earlier = quantile(new.statistic), quantile(old.statistic)
    before, after = np.array(old.values), np.array(new.values)
    if earlier(before) == 0:
        return Estimate(float("nan"), None, "no ratio to zero")
    value = float(found(after) / earlier(before))
    reason = too_few(old) or too_few(new)
    if not reason and before.min() <= 0:
        reason = "no interval of a ratio to values that reach zero"

    def divided(above: Reals, below: Reals, axis: int = -1) -> Any:
        return found(above, axis=axis) / earlier(below, axis=axis)

    return Estimate(value, None if reason else _bootstrap((after, before), divided), reason)


def _bootstrap(data: Sequence[Reals], statistic: Callable[..., Any]) -> Interval:
    if all(np.ptp(each) == 0 for each in data):  # nothing varies, which no resampling changes
        value = float(statistic(*data))
        return Interval(value, value)
    method: Literal["BCa", "percentile"] = "BCa" if all(len(each) in BCA for each in data) else "percentile"
    found = _interval(data, statistic, method)
    return found if np.isfinite([found.low, found.high]).all() else _interval(data, statistic, "percentile")


def _interval(data: Sequence[Reals], statistic: Callable[..., Any], method: str) -> Interval:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        low, high = stats.bootstrap(
            data,
            statistic,
            n_resamples=RESAMPLES,
            batch=250,
            vectorized=True,
            paired=False,
            confidence_level=LEVEL,
            method=method,
            rng=np.random.default_rng(SEED),
        ).confidence_interval
    return Interval(float(low), float(high))
