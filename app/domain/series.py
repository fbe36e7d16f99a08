"""Hourly series: where they are going, and which hours are not as usual.

The usual of an hour is that of the same hour in the weeks before; with less history that of the
same hour of the days before, then of the hours before. Medians, so that neither a gap nor an
incident of last week is taken for usual. Beside that, an hour is not as usual that is far beyond
all of the weeks before it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .extremes import MEANS, Beyond, Watcher

Values = npt.NDArray[np.float64]

HOURS_OF_DAY, HOURS_OF_WEEK = 24, 168
WEEKS_BACK, DAYS_BACK, HOURS_BACK = 8, 14, 24
HISTORY_HOURS = WEEKS_BACK * HOURS_OF_WEEK
LIKE_MIN = 4  # hours that an hour is held against; of fewer, nothing is said
SCORE_MIN = 6.0  # spreads from the usual; of calm traffic less than an hour a week is so far
SHARE_MIN = 0.5  # and it has to differ by half of the usual, which people would see too
BEYOND_MIN = 0.1  # of the range of all before
BEYOND_SPREADS_MIN = 3.0  # and not by chance alone
MAD_TO_SIGMA = 1.4826  # of a normal distribution
FEW = 4  # the deviation of so few is told half too small, easily
BAND_SIGMAS = 1.96  # 95 of 100


@dataclass(frozen=True, slots=True)
class Unusual:
    """An hour that is not as usual: its place in the series, its value, and what was expected.

    Args:
        expected: the usual; of what is beyond all before, the extreme until then.
        score: how many spreads it lies above (or, negative, below) what was expected.
        beyond: in which regard it is beyond all before; None if it is not, or unusual anyway.
    """

    place: int
    value: float
    expected: float
    score: float
    beyond: Beyond | None = None


@dataclass(frozen=True, slots=True)
class Trend:
    """A line through the days: change a day, and the days to come with their band."""

    slope: float
    days: list[float]
    forecast: list[tuple[float, float, float]]  # expected, low, high


def count_noise(expected: float) -> float:
    """How far a count lies from what is expected without any cause: its root, at least one."""
    return math.sqrt(max(expected, 1.0))


def rate_noise(_: float) -> float:
    """The same of a rate: two of a hundred."""
    return 0.02


def average_noise(expected: float) -> float:
    """The same of an average: a tenth of it."""
    return max(0.1 * expected, 1.0)


def find_unusual(
    values: Sequence[float], first: int, noise: Callable[[float], float] = count_noise
) -> list[Unusual]:
    """The hours from the place `first` on that are not as usual; NaN is an hour of which nothing
    is known.

    Args:
        noise: the least spread of values of which so much is expected.
    """
    series = np.asarray(values, dtype=np.float64)
    beyond = _beyond(values, noise)
    found = [
        _judged(series, place, noise) or beyond.get(place) for place in range(first, len(series))
    ]
    return [one for one in found if one is not None]


def _beyond(values: Sequence[float], noise: Callable[[float], float]) -> dict[int, Unusual]:
    """The hours that are far beyond all before them, by their place."""
    watcher = Watcher(HOURS_OF_DAY, rest=HOURS_OF_DAY)
    found: dict[int, Unusual] = {}
    for place, value in enumerate(values):
        beyond = watcher.score(value)
        if beyond is None or beyond.score < BEYOND_MIN:
            continue
        extreme = beyond.high if beyond.value > beyond.high else beyond.low
        spread = noise(max(value, abs(extreme))) / math.sqrt(MEANS.get(beyond.look, 1))
        spreads = (beyond.value - extreme) / spread
        if abs(spreads) >= BEYOND_SPREADS_MIN:
            found[place] = Unusual(place, value, extreme, round(spreads, 2), beyond)
    return found


def _judged(series: Values, place: int, noise: Callable[[float], float]) -> Unusual | None:
    value = series[place]
    like = _like(series, place)
    if np.isnan(value) or len(like) < LIKE_MIN:
        return None
    expected = float(np.median(like))
    # What never moved is not judged by a hair.
    deviation = MAD_TO_SIGMA * float(np.median(np.abs(like - expected)))
    deviation *= 1 + FEW / len(like)
    spread = max(deviation, noise(expected), 0.05 * expected)
    score = (value - expected) / spread
    if abs(score) < SCORE_MIN or abs(value - expected) < SHARE_MIN * expected:
        return None
    return Unusual(place, float(value), expected, round(score, 2))


def _like(series: Values, place: int) -> Values:
    """The hours that an hour is held against."""
    for step, count in (
        (HOURS_OF_WEEK, WEEKS_BACK),
        (HOURS_OF_DAY, DAYS_BACK),
        (1, HOURS_BACK),
    ):
        places = np.arange(place - step, max(place - step * count, 0) - 1, -step)
        like = series[places[places >= 0]]
        known: Values = like[~np.isnan(like)]
        if len(known) >= LIKE_MIN:
            return known
    return np.empty(0)


def trend_of(days: Sequence[float], ahead: int) -> Trend:
    """The trend of daily values, by the median of all slopes, and a forecast of the days ahead."""
    values = np.asarray(days, dtype=np.float64)
    at = np.arange(len(values), dtype=np.float64)
    if len(values) < 2:
        slope, level = 0.0, float(values[-1]) if len(values) else 0.0
    else:
        first, second = np.triu_indices(len(values), k=1)
        slope = float(np.median((values[second] - values[first]) / (at[second] - at[first])))
        level = float(np.median(values - slope * at))
    rest = values - (level + slope * at)
    sigma = MAD_TO_SIGMA * float(np.median(np.abs(rest - np.median(rest)))) if len(values) else 0.0
    forecast = []
    for step in range(ahead):
        expected = level + slope * (len(values) + step)
        width = BAND_SIGMAS * sigma * math.sqrt(1 + (step + 1) / max(len(values), 1))
        band = (expected, expected - width, expected + width)
        forecast.append(tuple(round(max(value, 0.0), 4) for value in band))
    return Trend(round(slope, 4), [float(value) for value in values], forecast)  # type: ignore[arg-type]
