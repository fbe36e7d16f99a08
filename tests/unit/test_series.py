"""Anomalies and trends of hourly series: what is told of, and what is calm."""

import math

import numpy as np
import pytest

from app.domain.series import (
    HISTORY_HOURS,
    HOURS_OF_WEEK,
    average_noise,
    find_unusual,
    rate_noise,
    trend_of,
)

MONTH = 30 * 24


def traffic(seed: int, hours: int, level: float = 200.0) -> list[float]:
    """Counts as a platform has them: by day and by week, and as chance will have it."""
    chance = np.random.default_rng(seed)
    at = np.arange(hours)
    day = 1 + 0.8 * np.sin(2 * math.pi * at / 24)
    week = np.where(at % HOURS_OF_WEEK < 120, 1.0, 0.3)
    return [float(one) for one in chance.poisson(level * day * week)]


@pytest.mark.parametrize("level", [0.2, 3.0, 200.0, 20_000.0])
def test_calm_traffic_raises_at_most_one_alarm_a_week(level: float) -> None:
    """30 days after two months of history, of each of ten series."""
    for seed in range(10):
        series = traffic(seed, HISTORY_HOURS + MONTH, level)
        assert len(find_unusual(series, HISTORY_HOURS)) <= MONTH / HOURS_OF_WEEK


def test_calm_rates_and_averages_raise_at_most_one_alarm_a_week() -> None:
    """Failures of a hundred an hour; latencies that vary by a fifth."""
    chance = np.random.default_rng(1)
    hours = HISTORY_HOURS + MONTH
    for _ in range(10):
        rates = [float(one) / 100 for one in chance.binomial(100, 0.02, hours)]
        averages = [float(one) for one in chance.gamma(20, 10, hours)]
        for series, noise in ((rates, rate_noise), (averages, average_noise)):
            assert len(find_unusual(series, HISTORY_HOURS, noise)) <= MONTH / HOURS_OF_WEEK


def test_what_no_week_has_seen_is_told_though_its_hour_varies_much() -> None:
    """The same hour was anything from 0 to 1,000 before: far more is beyond all of it."""
    series = [float(1000 * (hour // HOURS_OF_WEEK % 2)) for hour in range(HISTORY_HOURS + 100)]
    series[HISTORY_HOURS + 50] = 2500.0
    (found,) = find_unusual(series, HISTORY_HOURS + 30)
    assert (found.place, found.value) == (HISTORY_HOURS + 50, 2500.0)
    assert found.beyond is not None


@pytest.mark.parametrize("history", [HISTORY_HOURS, 24 * 10, 24])
def test_little_history_is_held_against_what_there_is(history: int) -> None:
    """Days, then hours: calm traffic without seasons stays calm, and a spike is seen."""
    chance = np.random.default_rng(1)
    series = [float(one) for one in chance.poisson(50, history + 100)]
    assert len(find_unusual(series, history)) <= 1
    series[history + 60] = 500
    assert history + 60 in {one.place for one in find_unusual(series, history)}


def test_a_spike_is_told_with_what_was_expected() -> None:
    """By its hour of the week."""
    series = traffic(3, HISTORY_HOURS + 168)
    place = HISTORY_HOURS + 30
    usual = series[place]
    series[place] = 14 * usual
    (found,) = find_unusual(series, HISTORY_HOURS)
    assert (found.place, found.value) == (place, 14 * usual)
    assert found.expected == pytest.approx(usual, rel=0.3)
    assert found.score > 6


def test_a_silence_is_told_where_there_should_be_traffic() -> None:
    """And not at the hour of the night when there is none."""
    series = [100.0 if hour % 24 >= 6 else 0.0 for hour in range(HISTORY_HOURS + 48)]
    series[HISTORY_HOURS + 12] = 0.0
    (found,) = find_unusual(series, HISTORY_HOURS)
    assert (found.place, found.value, found.expected) == (HISTORY_HOURS + 12, 0.0, 100.0)
    assert found.score < 0


def test_neither_gaps_nor_last_weeks_incident_are_taken_for_usual() -> None:
    """Hours unknown, and one week ten times as much."""
    series = traffic(5, HISTORY_HOURS + 168)
    for hour in range(HISTORY_HOURS - 168, HISTORY_HOURS):
        series[hour] *= 10
    for hour in range(HISTORY_HOURS - 700, HISTORY_HOURS - 500):
        series[hour] = float("nan")
    assert len(find_unusual(series, HISTORY_HOURS)) <= 1


def test_growth_is_no_anomaly() -> None:
    """Two percent a week."""
    chance = np.random.default_rng(7)
    grown = [float(chance.poisson(300 * 1.02 ** (h / 168))) for h in range(HISTORY_HOURS + MONTH)]
    assert len(find_unusual(grown, HISTORY_HOURS)) <= MONTH / HOURS_OF_WEEK


def test_of_nothing_nothing_is_said() -> None:
    """No history, or none that is known."""
    assert find_unusual([5.0, 500.0], 0) == []
    assert find_unusual([float("nan")] * 400, 300) == []


def test_a_rate_is_judged_as_a_rate() -> None:
    """From one of a hundred to a half."""
    series = [0.01] * (HISTORY_HOURS + 5)
    series[-1] = 0.5
    (found,) = find_unusual(series, HISTORY_HOURS, rate_noise)
    assert found.place == HISTORY_HOURS + 4


def test_a_trend_is_found_through_outliers_and_goes_on() -> None:
    """The median of slopes; the band holds what comes."""
    chance = np.random.default_rng(2)
    days = [100 + 5 * day + float(chance.normal(0, 3)) for day in range(35)]
    days[10] = 10_000.0
    trend = trend_of(days[:28], 7)
    assert trend.slope == pytest.approx(5, abs=0.3)
    inside = [
        low <= day <= high for day, (_, low, high) in zip(days[28:], trend.forecast, strict=True)
    ]
    assert sum(inside) >= 5
    widths = [high - low for _, low, high in trend.forecast]
    assert widths == sorted(widths)


@pytest.mark.parametrize("days", [[], [5.0], [0.0, 0.0]])
def test_a_trend_of_little_is_flat_and_never_below_nothing(days: list[float]) -> None:
    """Whatever it is asked of."""
    trend = trend_of(days, 3)
    assert trend.slope == 0
    assert all(0 <= low <= expected <= high for expected, low, high in trend.forecast)
