"""Grains: the lengths of time that rollups are kept by, and how a window is made of them.

Times here are whole milliseconds since 1970, UTC; a stretch of time includes its start and not its
end.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from .identity import EPOCH, MILLISECOND

Times = npt.NDArray[np.int64]

MINUTE_MS = 60_000


class Grain(StrEnum):
    """A length of time, from fine to coarse; days and months are those of UTC."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


GRAINS = tuple(Grain)
_LENGTHS_MS = {Grain.MINUTE: MINUTE_MS, Grain.HOUR: 3_600_000, Grain.DAY: 86_400_000}


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time that consists of whole units of a grain."""

    grain: Grain
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Cover:
    """A window as the coarsest spans that fill it, and the edges that cut the finest grain."""

    spans: tuple[Span, ...]
    edges: tuple[tuple[int, int], ...]

    def holds(self, starts: Times) -> npt.NDArray[np.bool_]:
        """Which of these starts of the finest grain lie in the spans."""
        if not self.spans:
            return np.zeros(len(starts), dtype=bool)
        low, high = min(s.start for s in self.spans), max(s.end for s in self.spans)
        return (starts >= low) & (starts < high)


def to_ms(moment: datetime) -> int:
    """The first whole millisecond at or after a moment, as no record is made between two."""
    return -((EPOCH - moment) // MILLISECOND)


def from_ms(milliseconds: int) -> datetime:
    """The moment of a time, in UTC."""
    return EPOCH + milliseconds * MILLISECOND


# No record is older than ids can tell or younger than a calendar; both are starts of a month.
BEGINNING = 0
END = to_ms(datetime.fromisoformat("9999-12-01T00:00:00+00:00"))


def floors(grain: Grain, times: Times) -> Times:
    """The start of the unit of a grain that each time lies in."""
    if grain is Grain.MONTH:
        months = times.astype("datetime64[ms]").astype("datetime64[M]")
        return months.astype("datetime64[ms]").astype(np.int64)
    length = _LENGTHS_MS[grain]
    return times // length * length


def floor(grain: Grain, time: int) -> int:
    """The start of the unit of a grain that a time lies in."""
    if grain is Grain.MONTH:
        first = from_ms(time).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return to_ms(first)
    return time // _LENGTHS_MS[grain] * _LENGTHS_MS[grain]


def following(grain: Grain, start: int) -> int:
    """The start of the unit after the one that starts here."""
    if grain is Grain.MONTH:
        return floor(Grain.MONTH, start + 31 * _LENGTHS_MS[Grain.DAY])
    return start + _LENGTHS_MS[grain]


def ceiling(grain: Grain, time: int) -> int:
    """The first start of a unit at or after a time."""
    start = floor(grain, time)
    return start if start == time else following(grain, start)


def units(grain: Grain, start: int, end: int) -> Iterator[int]:
    """The starts of the units that a stretch of time touches, in order."""
    at = floor(grain, start)
    while at < end:
        yield at
        at = following(grain, at)


def bounds(since: datetime | None, until: datetime | None) -> tuple[int, int]:
    """A window in milliseconds; without a bound it is all of time."""
    start = BEGINNING if since is None else max(to_ms(since), BEGINNING)
    end = END if until is None else min(max(to_ms(until), BEGINNING), END)
    return start, max(start, end)


def cover(
    start: int, end: int, *, finest: Grain = Grain.MINUTE, coarsest: Grain = Grain.MONTH
) -> Cover:
    """A window as the fewest spans of whole units, and what is left over at its two ends."""
    low, high = ceiling(finest, start), floor(finest, end)
    if low > high:  # both ends within one unit
        return Cover((), ((start, end),) if start < end else ())
    edges = tuple((a, b) for a, b in ((start, low), (high, end)) if a < b)
    return Cover(tuple(_spans(low, high, finest, coarsest)), edges)


def _spans(low: int, high: int, finest: Grain, coarsest: Grain) -> Iterator[Span]:
    used = GRAINS[GRAINS.index(finest) : GRAINS.index(coarsest) + 1]
    for grain, coarser in pairwise(used):
        up = min(ceiling(coarser, low), high)
        if low < up:
            yield Span(grain, low, up)
        low, down = up, max(floor(coarser, high), up)
        if down < high:
            yield Span(grain, down, high)
        high = down
    if low < high:
        yield Span(coarsest, low, high)
