"""The online anomaly score: what beats all before it is told once, and calm series stay calm."""

import math

import numpy as np
import pytest

from app.domain.extremes import REST_READINGS, WARM_READINGS, Beyond, Look, Watcher

DAILY = 288  # a reading each 5 minutes
CALM = 14 * DAILY


def scored(values: list[float], daily: int = DAILY) -> dict[int, Beyond]:
    """What is told of a series, by place."""
    watcher = Watcher(daily)
    found = {place: watcher.score(value) for place, value in enumerate(values)}
    return {place: beyond for place, beyond in found.items() if beyond is not None}


def days(seed: int, readings: int = CALM) -> list[float]:
    """Two weeks with a rhythm and some chance."""
    at = np.arange(readings)
    wave = 100 + 40 * np.sin(2 * math.pi * at / DAILY)
    return list(wave + np.random.default_rng(seed).normal(0, 5, readings))


@pytest.mark.parametrize("seed", range(5))
def test_a_calm_series_beats_its_records_seldom_and_by_little(seed: int) -> None:
    """By chance alone, which is the less likely the longer it is watched."""
    far = [place for place, found in scored(days(seed)).items() if found.score > 0.1]
    assert [place for place in far if place > DAILY * 3] == []


@pytest.mark.parametrize(
    ("change", "look"),
    [
        (lambda part: part[0] + 400, Look.READING),
        (lambda part: part[0] - 400, Look.READING),
        (lambda part: 100 + 3 * (part[0] - 100) if part[1] % 2 else 100.0, Look.SWINGS),
    ],
)
def test_what_was_never_so_is_told_at_its_first_reading_and_once(
    change: object, look: Look
) -> None:
    """A step up, a step down, and an unrest within the usual range of values."""
    series = days(1)
    place = 10 * DAILY + DAILY // 2
    for later in range(place, place + REST_READINGS):
        series[later] = change((series[later], later))  # type: ignore[operator]
    found = {at: one for at, one in scored(series).items() if one.score > 0.2 and at >= place}
    first = min(found)
    assert first - place <= (24 if look is Look.SWINGS else 0)
    assert len(found) <= 2
    if look is Look.READING:
        beyond = found[first]
        assert beyond.excess == pytest.approx(
            max(beyond.value - beyond.high, beyond.low - beyond.value)
        )


def test_what_is_usual_by_day_and_not_by_this_hour_is_told_of_a_series_with_nights() -> None:
    """Gaps keep their place: the same time of the day before is not as many readings ago."""
    hours = [math.nan] * 8 + [0.0] * 4 + [100.0] * 6 + [math.nan] * 6
    series = hours * 30
    series[24 * 20 + 9] = 100.0
    found = scored(series, 24)
    assert [place for place, one in found.items() if one.look is Look.DAILY] == [24 * 20 + 9]


def test_what_is_usual_by_day_and_not_by_this_hour_is_told() -> None:
    """The value of noon at midnight is beyond no reading, but beyond all midnights."""
    series = [100.0 if place % 24 >= 12 else 0.0 for place in range(24 * 30)]
    series[24 * 20 + 3] = 100.0
    found = scored(series, 24)
    assert list(found) == [24 * 20 + 3]
    assert found[24 * 20 + 3].look is Look.DAILY


def test_of_little_history_nothing_is_said_and_gaps_are_none() -> None:
    """Nor is a series of gaps anything."""
    assert scored([float(place) for place in range(WARM_READINGS)]) == {}
    gaps = [float("nan") if place % 3 else 5.0 for place in range(3000)]
    assert scored(gaps) == {}
    gaps[-3] = 50.0
    assert list(scored(gaps)) == [2997]


def test_something_much_worse_is_told_within_the_rest() -> None:
    """A second leap, many times as high; a little higher is the same anomaly."""
    series = days(2)
    series[3000], series[3010], series[3020] = 500.0, 600.0, 90_000.0
    told = scored(series)
    assert {3000, 3010, 3020} & set(told) == {3000, 3020}
    assert told[3020].score > 3 * told[3000].score
