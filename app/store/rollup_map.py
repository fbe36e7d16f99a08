"""The map for lists: where records of certain cells may be, newest first, without reading a record.

Rollups know of each unit of time which cells it has, how many records of each, and the first and
last of them. So what never occurs is nowhere, a few records are points, and a rare value is a few
narrow windows; only where a value is frequent is a window as wide as its unit.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

import numpy as np
from sqlalchemy.orm import Session

from ..domain.grains import (
    Grain,
    Span,
    Unit,
    bounds,
    finer,
    floor,
    following,
    from_ms,
    within_any,
)
from ..domain.histogram import bucket_of
from ..domain.records import Kind
from ..domain.tally import Array, Names, Tally, combined
from .rollup_view import RollupView

POINTS_MAX = 2  # of a cell's records, its first and last are all there are
UNIT_ROWS = 500  # so few records are read as fast as a finer map of them
SCAN_ROWS = 3000  # likewise, if the caller finds enough among so many
DENSE_ROWS = 50_000  # of a larger unit the matches may lie together behind all the others


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time, both ends included, outside of which no record matches.

    Attributes:
        matching: how many records match in it, at most; exactly, if nothing but the cell is asked
            for and the window is not cut by since or until.
        rows: about how many records a scan of it reads.
    """

    first: datetime
    last: datetime
    matching: int
    rows: int


def find_windows(
    session: Session,
    tenant_id: UUID,
    kind: Kind,
    wanted: Sequence[Collection[str]],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    min_execution_time_ms: int | None = None,
    enough: int = 100,
) -> Iterator[Window]:
    """The windows that may hold records of certain cells, newest first and apart from each other.

    Every record visible in the session's snapshot that is of a wanted cell, made at or after
    `since` and before `until`, and took at least `min_execution_time_ms`, lies in one of them. Take
    them one by one and stop when the page is full: each next level of the map costs a statement,
    for about as many windows as hold `enough` matches.

    Args:
        session: a snapshot (`Database.tenant(…, snapshot=True)`), or what is folded meanwhile would
            be missing.
        wanted: for each name of the kind's cell, the values that match, none for any. Actions:
            action types, providers, statuses. Audits: actions, resource types.
        enough: how many records the caller looks for.
    """
    view = RollupView(session, tenant_id, kind)
    waiting = view.waiting()

    def accepts(names: Names) -> bool:
        return all(not some or name in some for name, some in zip(names, wanted, strict=True))

    chosen = view.names.mask(accepts)
    start, end = bounds(since, until)
    if chosen.any() and start < end:
        low = 0 if min_execution_time_ms is None else int(bucket_of(str(min_execution_time_ms)))
        yield from _Search(view, waiting, chosen, low, enough, start, end).run()


@dataclass(frozen=True, slots=True)
class _Unit:
    """A unit of time with its wanted cells."""

    grain: Grain
    start: int
    cells: list[tuple[int, int, int]]  # of each the count, and the times of the first and last
    rows: int
    is_finest: bool

    @property
    def matching(self) -> int:
        return sum(count for count, _, _ in self.cells)

    @property
    def is_points(self) -> bool:
        return all(count <= POINTS_MAX for count, _, _ in self.cells)

    def points(self) -> list[tuple[int, int]]:
        """The times of its records and how many there are, newest first."""
        times = [time for count, *both in self.cells for time in both[:count]]
        return sorted(Counter(times).items(), reverse=True)


class _Search:
    """One way down the map, from months to minutes."""

    def __init__(
        self,
        view: RollupView,
        waiting: Tally,
        chosen: Array,
        low_bucket: int,
        enough: int,
        start: int,
        end: int,
    ) -> None:
        self._view = view
        self._waiting = waiting
        self._chosen = chosen  # of each cell number, whether it is wanted
        self._low_bucket = low_bucket
        self._enough = enough
        self._start = start
        self._end = end
        # How many units are looked into at once, where counts say little of how many match.
        self._reach = 1

    def run(self) -> Iterator[Window]:
        """The windows, newest first."""
        months = [Span(Grain.MONTH, floor(Grain.MONTH, self._start), self._end)]
        return self._refine(self._load(Grain.MONTH, months))

    def _refine(self, units: Sequence[_Unit]) -> Iterator[Window]:
        for chunk in self._chunks(units):
            coarse = [unit for unit in chunk if not self._is_settled(unit)]
            if not coarse:
                for unit in chunk:
                    yield from self._windows(unit)
                continue
            parts = self._finer(coarse)
            yield from self._refine(
                [part for unit in chunk for part in parts.get((unit.grain, unit.start), [unit])]
            )

    def _chunks(self, units: Sequence[_Unit]) -> Iterator[list[_Unit]]:
        chunk: list[_Unit] = []
        matching = 0
        for unit in units:
            chunk.append(unit)
            matching += unit.matching
            if len(chunk) >= self._reach if self._low_bucket else matching >= self._enough:
                self._reach *= 2
                yield chunk
                chunk, matching = [], 0
        if chunk:
            yield chunk

    def _is_settled(self, unit: _Unit) -> bool:
        """Whether a finer map would be of no use."""
        return (
            unit.is_finest
            or unit.rows <= UNIT_ROWS
            or unit.is_points
            or (not self._low_bucket and self._is_dense(unit))
        )

    def _is_dense(self, unit: _Unit) -> bool:
        return unit.rows <= DENSE_ROWS and unit.matching * SCAN_ROWS >= unit.rows * self._enough

    def _finer(self, units: Sequence[_Unit]) -> dict[Unit, list[_Unit]]:
        """The units that each of these consists of; they may be of different grains."""
        found: dict[Unit, list[_Unit]] = {}
        for grain in {unit.grain for unit in units}:
            starts = sorted(unit.start for unit in units if unit.grain is grain)
            spans = [Span(finer(grain), start, following(grain, start)) for start in starts]
            found |= {(grain, start): [] for start in starts}
            for part in self._load(finer(grain), spans):
                found[grain, floor(grain, part.start)].append(part)
        return found

    def _load(self, grain: Grain, spans: Sequence[Span]) -> list[_Unit]:
        """The units in these spans, which are in order, that may have matches; newest first."""
        cells = self._view.tally(spans).cells
        if len(self._waiting.cells):
            waiting = self._waiting.where(partial(within_any, spans=spans)).at(grain)
            cells = combined([Tally(cells), waiting]).cells
        if not len(cells):
            return []
        starts = cells["start"]
        fit = self._chosen[cells["cell"]] & (cells["top"] >= self._low_bucket)
        fit &= (cells["first"] < self._end) & (cells["last"] >= self._start)
        begins = np.flatnonzero(np.diff(starts, prepend=-1))
        sums = np.add.reduceat(cells["count"], begins)
        rows = dict(zip(starts[begins].tolist(), sums.tolist(), strict=True))
        wanted: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
        columns = cells[fit][["start", "count", "first", "last"]].tolist()
        for start, count, first, last in columns:
            wanted[start].append((count, first, last))
        return [
            _Unit(grain, start, wanted[start], rows[start], is_finest=self._is_finest(grain, start))
            for start in sorted(wanted, reverse=True)
        ]

    def _is_finest(self, grain: Grain, start: int) -> bool:
        """What only waits has minutes; what is folded has finer units only in detail."""
        return grain is Grain.MINUTE or self._view.is_detailed(grain, start) is False

    def _windows(self, unit: _Unit) -> Iterator[Window]:
        if unit.is_points:
            for time, count in unit.points():
                if self._start <= time < self._end:
                    yield Window(from_ms(time), from_ms(time), count, count)
            return
        first = max(min(first for _, first, _ in unit.cells), self._start)
        last = min(max(last for _, _, last in unit.cells), self._end - 1)
        yield Window(from_ms(first), from_ms(last), unit.matching, unit.rows)
