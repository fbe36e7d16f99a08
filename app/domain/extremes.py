"""Online anomaly score of a series: how far a reading lies beyond everything before it.

Five looks at the series are taken: each reading, its level, its jump, its swings and how far it is
from the same time of the days before. What beats the record of one of them by much is an anomaly.
Chance beats a record of n readings once in n, whatever the distribution: so calm series stay calm.
"""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from math import isnan
from statistics import median

LEVEL_READINGS = 24  # of a level, and of the swings of a series
JUMP_READINGS = 12  # whose median a jump is from
DAYS_BACK = 7
DAYS_MIN = 2  # one day is no habit
WARM_READINGS = 150  # before which there is no record worth beating
REST_READINGS = 100  # after an anomaly: what goes on is the same one, unless it is much worse
WORSE = 3.0  # times


class Look(StrEnum):
    """What of a series is beyond its records."""

    READING = "reading"
    LEVEL = "level"
    JUMP = "jump"
    SWINGS = "swings"
    DAILY = "daily"


MEANS = {Look.LEVEL: LEVEL_READINGS, Look.SWINGS: LEVEL_READINGS}  # of so many readings


@dataclass(frozen=True, slots=True)
class Beyond:
    """A reading beyond all before it.

    Args:
        score: how far, as a part of the range between the lowest and the highest before.
    """

    look: Look
    value: float
    low: float
    high: float
    score: float

    @property
    def excess(self) -> float:
        """How far, as it was measured."""
        return max(self.value - self.high, self.low - self.value)


class _Record:
    """The lowest and the highest of a figure so far."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._low = self._high = 0.0
        self._readings = 0

    def beat(self, value: float) -> Beyond | None:
        """How far a value is beyond the record, which it is from then on."""
        if not self._readings:
            self._low = self._high = value
        self._readings += 1
        low, high = self._low, self._high
        self._low, self._high = min(low, value), max(high, value)
        over = max(value - high, low - value)
        if over <= 0 or self._readings <= WARM_READINGS:
            return None
        # What never moved has no range: then any step is as large as can be told.
        score = over / (high - low) if high > low else over / max(abs(high), over)
        return Beyond(self._look, value, low, high, score)


class Watcher:
    """Scores the readings of one series as they come.

    Args:
        daily: readings a day, for what repeats by the day.
        rest: readings for which one anomaly is not told again.
    """

    def __init__(self, daily: int, rest: int = REST_READINGS) -> None:
        self._daily = daily
        self._rest = rest
        self._readings: deque[float] = deque(maxlen=DAYS_BACK * daily + 2)
        self._steps: deque[float] = deque(maxlen=LEVEL_READINGS)
        self._records = {look: _Record(look) for look in Look}
        self._told = 0.0
        self._resting = 0

    def score(self, value: float) -> Beyond | None:
        """What is beyond all before, if anything is and it is not told already; NaN is a gap."""
        if isnan(value):
            self._readings.append(value)  # a gap keeps its place in the day
            return None
        beaten = [
            found
            for look, figure in self._figures(value).items()
            if (found := self._records[look].beat(figure)) is not None
        ]
        worst = max(beaten, key=lambda found: found.score, default=None)
        if self._resting:
            self._resting -= 1
            if worst is None or worst.score <= WORSE * self._told:
                return None
        if worst is not None:
            self._told, self._resting = worst.score, self._rest
        return worst

    def _figures(self, value: float) -> dict[Look, float]:
        figures = {Look.READING: value}
        recent = self._recent(JUMP_READINGS)
        if recent:
            figures[Look.JUMP] = value - median(recent)
            self._steps.append(abs(value - recent[0]))
            figures[Look.SWINGS] = sum(self._steps) / len(self._steps)
        same_time = self._same_time()
        if same_time:
            figures[Look.DAILY] = value - median(same_time)
        self._readings.append(value)
        level = self._recent(LEVEL_READINGS)
        figures[Look.LEVEL] = sum(level) / len(level)
        return figures

    def _recent(self, count: int) -> list[float]:
        """The last readings, the newest first, without gaps."""
        return list(islice((one for one in reversed(self._readings) if not isnan(one)), count))

    def _same_time(self) -> list[float]:
        """About this time of each day before; nothing of fewer days than make a habit."""
        known, found = self._readings, []
        for day in range(1, DAYS_BACK + 1):
            place = len(known) - day * self._daily
            if place < 0:
                break
            near = [known[one] for one in range(max(place - 1, 0), min(place + 2, len(known)))]
            near = [one for one in near if not isnan(one)]
            if near:
                found.append(median(near))
        return found if len(found) >= DAYS_MIN else []
