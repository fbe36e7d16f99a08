"""Tallies: what records add up to, as arrays that can be added, made coarser and cut by time.

A cell is what is counted together: an action type, provider and status, or an audit's action and
resource type. Within a tally cells are numbers; CellNames says which is which.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache, reduce
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt

from .grains import Grain, Times, floors, to_ms
from .histogram import bucket_of
from .records import Kind
from .summary import SLOWEST_ROWS_MAX

Array = npt.NDArray[Any]
Names = tuple[str, ...]

# Of each unit of time and cell. Times are milliseconds since 1970; top is the largest bucket.
CELL = np.dtype(
    [(name, np.int64) for name in ("start", "cell", "count", "total_ms", "first", "last", "top")]
)
BUCKET = np.dtype([(name, np.int64) for name in ("start", "cell", "bucket", "count")])
SLOW = np.dtype(  # an id is two halves, so that it can be sorted
    [
        *((name, np.int64) for name in ("start", "cell", "ms")),
        *((name, np.uint64) for name in ("high", "low")),
    ]
)
_LOW_BITS = (1 << 64) - 1


class CellNames:
    """The numbers of one tenant's cells of one kind; a new cell gets the next number."""

    def __init__(self, known: Iterable[tuple[int, Sequence[str]]] = ()) -> None:
        self._names: dict[int, Names] = {number: tuple(names) for number, names in known}
        self._numbers = {names: number for number, names in self._names.items()}
        self._next = max(self._names, default=0) + 1
        self.added: dict[int, Names] = {}

    def number_of(self, names: Names) -> int:
        """The number of a cell."""
        number = self._numbers.get(names)
        if number is None:
            number = self._numbers[names] = self._next
            self._names[number] = self.added[number] = names
            self._next += 1
        return number

    def names_of(self, number: int) -> Names:
        """The names of a cell that has a number."""
        return self._names[number]

    def matching(self, wanted: Sequence[Collection[str]]) -> Times:
        """The numbers of all cells that have wanted names, ascending.

        Args:
            wanted: for each name of a cell, those that match, none for any.
        """
        found = list(self._names.items())
        for place, some in enumerate(wanted):
            if some:
                found = [(number, names) for number, names in found if names[place] in some]
        return np.array(sorted(number for number, _ in found), dtype=np.int64)


def _nothing(dtype: np.dtype[Any]) -> Callable[[], Array]:
    return lambda: np.empty(0, dtype=dtype)


@dataclass(frozen=True, slots=True)
class Tally:
    """Cells by unit of time with their histograms and slowest successes.

    What `combined` returns has each cell of a unit once, sorted by start.
    """

    cells: Array = field(default_factory=_nothing(CELL))
    buckets: Array = field(default_factory=_nothing(BUCKET))
    slowest: Array = field(default_factory=_nothing(SLOW))

    def at(self, grain: Grain) -> "Tally":
        """The same by units of a coarser grain."""
        return combined([Tally(*(_moved(part, grain) for part in self.parts))])

    def where(self, chosen: Callable[[Times], npt.NDArray[np.bool_]]) -> "Tally":
        """Only the units whose starts are chosen."""
        return Tally(*(part[chosen(part["start"])] for part in self.parts))

    def only(self, cells: Times) -> "Tally":
        """Only the cells of these numbers."""
        return Tally(*(part[np.isin(part["cell"], cells)] for part in self.parts))

    @property
    def parts(self) -> tuple[Array, Array, Array]:
        """The arrays, each of which has start and cell."""
        return self.cells, self.buckets, self.slowest


def joined(tallies: Sequence[Tally]) -> Tally:
    """Tallies that were made of different records as one, not sorted and not summed."""
    parts = zip(*(tally.parts for tally in tallies), strict=True)
    return Tally(*(np.concatenate(part) for part in parts))


def combined(tallies: Sequence[Tally]) -> Tally:
    """The sum of tallies that were made of different records."""
    whole = joined(tallies)
    return Tally(_add_cells(whole.cells), _add_buckets(whole.buckets), _keep_slowest(whole.slowest))


def counts_by_start(tally: Tally) -> dict[int, int]:
    """How many records each unit of time has."""
    starts, at = np.unique(tally.cells["start"], return_inverse=True)
    counts = np.zeros(len(starts), dtype=np.int64)
    np.add.at(counts, at, tally.cells["count"])
    return dict(zip(starts.tolist(), counts.tolist(), strict=True))


def _moved(part: Array, grain: Grain) -> Array:
    moved = part.copy()
    moved["start"] = floors(grain, part["start"])
    return moved


def _grouped(part: Array, *keys: str) -> tuple[Array, Times]:
    """The rows sorted by their keys, and where each new key begins."""
    ordered = part[np.lexsort([part[key] for key in reversed(keys)])]
    if len(ordered) == 0:
        return ordered, np.empty(0, dtype=np.int64)
    changes = reduce(np.logical_or, (ordered[key][1:] != ordered[key][:-1] for key in keys))
    return ordered, np.concatenate(([0], np.flatnonzero(changes) + 1))


def _add_cells(cells: Array) -> Array:
    ordered, begins = _grouped(cells, "start", "cell")
    if len(begins) == len(ordered):
        return ordered
    sums = ordered[begins]
    for name, add in (
        *(("count", np.add), ("total_ms", np.add)),
        *(("first", np.minimum), ("last", np.maximum), ("top", np.maximum)),
    ):
        sums[name] = add.reduceat(ordered[name], begins)
    return sums


def _add_buckets(buckets: Array) -> Array:
    ordered, begins = _grouped(buckets, "start", "cell", "bucket")
    if len(begins) == len(ordered):
        return ordered
    sums = ordered[begins]
    sums["count"] = np.add.reduceat(ordered["count"], begins)
    return sums


def without_cells(buckets: Array) -> Array:
    """The histogram of each unit over all its cells, whose number is 0 then."""
    moved = buckets.copy()
    moved["cell"] = 0
    return _add_buckets(moved)


def _keep_slowest(rows: Array) -> Array:
    """The slowest of each unit of time; of equally slow ones the youngest."""
    ordered, begins = _grouped(rows[np.lexsort((rows["low"], rows["high"], rows["ms"]))], "start")
    if len(ordered) == 0:
        return ordered
    ends = np.append(begins[1:], len(ordered))
    from_end = np.repeat(ends, ends - begins) - np.arange(len(ordered))
    return ordered[from_end <= SLOWEST_ROWS_MAX]


def ranked(slowest: Array, limit: int) -> list[tuple[int, int, UUID]]:
    """Cell, duration (ms) and id of the slowest of all units; of equally slow ones the youngest."""
    order = np.lexsort((slowest["low"], slowest["high"], slowest["ms"]))[::-1][:limit]
    rows = slowest[order][["cell", "ms", "high", "low"]].tolist()
    return [(cell, ms, UUID(int=high << 64 | low)) for cell, ms, high, low in rows]


class TallyBuilder:
    """Collects summaries and groups of rows into a tally by minute.

    Args:
        names: gives the cells their numbers.
        histograms, slowest: whether they are wanted; without, the summary is read faster.
    """

    def __init__(self, names: CellNames, *, histograms: bool = True, slowest: bool = True) -> None:
        self._names = names
        self._histograms = histograms
        self._slowest = slowest
        self._cells: list[tuple[int, ...]] = []
        self._buckets: list[tuple[int, ...]] = []
        self._slow: list[tuple[int, ...]] = []

    def __len__(self) -> int:
        return len(self._cells)

    def add(self, kind: Kind, summary: dict[str, Any]) -> None:
        """Add a batch's summary."""
        if kind is Kind.AUDIT:
            for minute, action, resource_type, count, first, last in summary["cells"]:
                start = start_of(minute)
                number = self._names.number_of((action, resource_type))
                self._cells.append((start, number, count, 0, start + first, start + last, 0))
            return
        places: list[tuple[int, int]] = []
        for minute, type_, provider, status, count, total_ms, buckets, first, last in summary[
            "cells"
        ]:
            start, number = start_of(minute), self._names.number_of((type_, provider, status))
            places.append((start, number))
            top = max(map(int, buckets))
            self._cells.append((start, number, count, total_ms, start + first, start + last, top))
            if self._histograms:
                self._buckets += [(start, number, int(b), n) for b, n in buckets.items()]
        if self._slowest:
            for milliseconds, id_, place in summary["slowest"]:
                start, number = places[place]
                self.add_slow(start, number, milliseconds, UUID(id_))

    def add_group(
        self, names: Names, count: int, milliseconds: int, start: int, first: int, last: int
    ) -> None:
        """Add records of one cell and unit that took equally long; audits take no time."""
        number = self._names.number_of(names)
        bucket = int(bucket_of(str(milliseconds)))
        total_ms = count * milliseconds
        self._cells.append((start, number, count, total_ms, first, last, bucket))
        if self._histograms:
            self._buckets.append((start, number, bucket, count))

    def add_slow(self, start: int, number: int, milliseconds: int, id_: UUID) -> None:
        """Add one of the slowest successes."""
        self._slow.append((start, number, milliseconds, id_.int >> 64, id_.int & _LOW_BITS))

    def build(self) -> Tally:
        """What was collected."""
        return combined(
            [
                Tally(
                    np.array(self._cells, dtype=CELL),
                    np.array(self._buckets, dtype=BUCKET),
                    np.array(self._slow, dtype=SLOW),
                )
            ]
        )


@lru_cache(maxsize=4096)
def start_of(unit: str) -> int:
    """The start of a minute or day as summaries write them."""
    return to_ms(datetime.fromisoformat(unit).replace(tzinfo=UTC))
