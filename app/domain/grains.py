"""Grains: the lengths of time that rollups are kept by, and how a window is made of them.

Times here are whole milliseconds since 1970, UTC; a stretch of time includes its start and not its
end.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

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


Unit = tuple[Grain, int]  # one unit of a grain, by its start
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
    """A window as spans of whole units, and as stretches that no unit fills; both in order."""

    spans: tuple[Span, ...]
    edges: tuple[tuple[int, int], ...]

    def holds(self, times: Times) -> npt.NDArray[np.bool_]:
        """Which of these times lie in the spans."""
        return within_any(times, self.spans)


def within_any(times: Times, spans: Sequence[Span]) -> npt.NDArray[np.bool_]:
    """Which of these times lie in spans that are in order and apart."""
    if not spans:
        return np.zeros(len(times), dtype=bool)
    ends = np.array([span.end for span in spans])
    at = np.searchsorted([span.start for span in spans], times, side="right") - 1
    return (at >= 0) & (times < ends[at])


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


def count_units(grain: Grain, start: int, end: int) -> int:
    """How many units of a grain up to a day a stretch of time touches."""
    length = _LENGTHS_MS[grain]
    return (ceiling(grain, end) - floor(grain, start)) // length


def bounds(since: datetime | None, until: datetime | None) -> tuple[int, int]:
    """A window in milliseconds; without a bound it is all of time."""
    start = BEGINNING if since is None else max(to_ms(since), BEGINNING)
    end = END if until is None else min(max(to_ms(until), BEGINNING), END)
    return start, max(start, end)


def cut_units(start: int, end: int, coarsest: Grain) -> Iterator[Unit]:
    """The units of which a window may need a part: those its ends cut, and those too coarse."""
    for grain in GRAINS[1:]:
        if _is_coarser(grain, coarsest):
            yield from ((grain, unit) for unit in units(grain, start, end))
        else:
            yield from ((grain, unit) for unit in {floor(grain, start), floor(grain, end)})


def cover(
    start: int, end: int, detailed: Collection[Unit], *, coarsest: Grain = Grain.MONTH
) -> Cover:
    """A window as the coarsest units that fill it.

    Args:
        detailed: the units whose finer units there are; parts of others become edges.
        coarsest: the longest unit that may be used.
    """
    spans: list[Span] = []
    edges: list[tuple[int, int]] = []
    rest = [(Grain.MONTH, start, end)] if start < end else []
    while rest:
        grain, low, high = rest.pop()
        whole, parts = _split(grain, low, high, coarsest)
        spans += whole
        for part in parts:
            if (grain, floor(grain, part[0])) in detailed:
                rest.append((finer(grain), *part))
            else:
                edges.append(part)
    return Cover(tuple(sorted(spans, key=lambda span: span.start)), tuple(_joined(edges)))


def _split(
    grain: Grain, low: int, high: int, coarsest: Grain
) -> tuple[list[Span], list[tuple[int, int]]]:
    """The whole units within a stretch of time, if they may be used, and the parts of units."""
    if _is_coarser(grain, coarsest):
        ends = [(unit, following(grain, unit)) for unit in units(grain, low, high)]
        return [], [(max(unit, low), min(after, high)) for unit, after in ends]
    first, last = ceiling(grain, low), floor(grain, high)
    if first > last:  # both ends within one unit
        return [], [(low, high)]
    parts = [part for part in ((low, first), (last, high)) if part[0] < part[1]]
    return [Span(grain, first, last)] if first < last else [], parts


def _is_coarser(grain: Grain, other: Grain) -> bool:
    return GRAINS.index(grain) > GRAINS.index(other)


def finer(grain: Grain) -> Grain:
    """The next finer grain of one that is not the finest."""
    return GRAINS[GRAINS.index(grain) - 1]


def coarser(grain: Grain) -> Grain:
    """The next coarser grain of one that is not the coarsest."""
    return GRAINS[GRAINS.index(grain) + 1]


def parent_of(grain: Grain, start: int) -> int:
    """The start of the coarser unit that a unit lies in; for months, of all time."""
    return BEGINNING if grain is Grain.MONTH else floor(coarser(grain), start)


def _joined(stretches: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Stretches of time in order, those that touch as one."""
    joined: list[tuple[int, int]] = []
    for low, high in sorted(stretches):
        if joined and joined[-1][1] == low:
            joined[-1] = (joined[-1][0], high)
        else:
            joined.append((low, high))
    return joined
