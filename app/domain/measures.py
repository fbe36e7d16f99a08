"""Measures: what a tally's units add up to, as a series of one figure; and what made an hour stand
out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import numpy as np

from .analytics import FAILED
from .extremes import Look
from .grains import Grain, Times, floors, from_ms, units
from .series import Unusual, Values, average_noise, count_noise, rate_noise
from .tally import CellNames, Tally

NAMES = {0: "action type", 1: "provider"}

# How a look at a series is told.
LOOKS = {
    Look.READING: "",
    Look.LEVEL: "the mean of a day of ",
    Look.JUMP: "the change of ",
    Look.SWINGS: "the swings of ",
    Look.DAILY: "the difference from the days before of ",
}


class Measure(StrEnum):
    """What is looked at, hour by hour."""

    VOLUME = "volume"  # action logs
    FAILURES = "failures"
    ERROR_RATE = "error_rate"
    AVERAGE_MS = "average_ms"
    AUDITS = "audits"  # audit logs


# How far each lies from the usual without any cause.
NOISE: dict[Measure, Callable[[float], float]] = {
    **dict.fromkeys((Measure.VOLUME, Measure.FAILURES, Measure.AUDITS), count_noise),
    Measure.ERROR_RATE: rate_noise,
    Measure.AVERAGE_MS: average_noise,
}


@dataclass(frozen=True, slots=True)
class Anomaly:
    """An hour that is not as usual, in a sentence."""

    start: datetime
    value: float
    expected: float
    score: float
    says: str


def measured(
    measure: Measure, tally: Tally, names: CellNames, grain: Grain, start: int, end: int
) -> Values:
    """The measure of each unit of a grain from `start` to `end` (ms); of a rate or an average NaN
    where there are no records.
    """
    starts = list(units(grain, start, end))
    places = np.searchsorted(starts, floors(grain, tally.cells["start"]))
    count = _sums(places, tally.cells["count"], len(starts))
    if measure in {Measure.VOLUME, Measure.AUDITS}:
        return count
    with np.errstate(invalid="ignore", divide="ignore"):
        if measure is Measure.AVERAGE_MS:
            return _sums(places, tally.cells["total_ms"], len(starts)) / count
        bad = np.isin(tally.cells["cell"], names.matching(((), (), FAILED)))
        failed = _sums(places[bad], tally.cells["count"][bad], len(starts))
        return failed if measure is Measure.FAILURES else failed / count


def _sums(places: Times, values: Times, length: int) -> Values:
    sums = np.zeros(length)
    np.add.at(sums, places, values)
    return sums


def explained(
    measure: Measure, found: Unusual, tally: Tally, names: CellNames, start: int
) -> Anomaly:
    """An unusual hour with what can be said of it: how unusual, and who most of it comes from."""
    at = from_ms(start + found.place * 3_600_000)
    if found.beyond is not None:
        least, most = (round(value, 4) for value in (found.beyond.low, found.beyond.high))
        says = (
            f"{LOOKS[found.beyond.look]}{measure.value} {found.beyond.value:g} is beyond all of the"
            f" weeks before {at:%A %H:00} UTC ({least:g} to {most:g})"
        )
        if found.score > 0:
            says += _most(measure, tally, names, start + found.place * 3_600_000)
        return Anomaly(at, found.value, found.expected, found.score, says)
    times = f"{found.value / found.expected:.1f}x" if found.expected else "instead of none,"
    figure = f"{found.value:g} against {found.expected:g}"
    says = f"{measure.value} {times} the usual for {at:%A %H:00} UTC ({figure})"
    if found.score > 0:
        says += _most(measure, tally, names, start + found.place * 3_600_000)
    return Anomaly(at, found.value, found.expected, found.score, says)


def _most(measure: Measure, tally: Tally, names: CellNames, hour: int) -> str:
    """The type and the provider that have the largest share of an hour."""
    own = tally.cells[floors(Grain.HOUR, tally.cells["start"]) == hour]
    if measure in {Measure.FAILURES, Measure.ERROR_RATE}:
        own = own[np.isin(own["cell"], names.matching(((), (), FAILED)))]
    weights = own["total_ms" if measure is Measure.AVERAGE_MS else "count"]
    total = int(weights.sum())
    if not total:
        return ""
    words = {0: "action", 1: "resource type"} if measure is Measure.AUDITS else NAMES
    parts = []
    for place, word in words.items():
        shares: dict[str, int] = {}
        for number, weight in zip(own["cell"].tolist(), weights.tolist(), strict=True):
            name = names.names_of(number)[place]
            shares[name] = shares.get(name, 0) + weight
        name, share = max(shares.items(), key=lambda item: item[1])
        parts.append(f"{100 * share / total:.0f} % of it {word} {name}")
    return "; " + ", ".join(parts)
