"""The map for lists: where records of certain cells may be, newest first, without reading a record.

Rollups know of each unit of time which cells it has, how many records of each, and the first and
last of them. So what never occurs is nowhere, a few records are points, and a rare value is a few
narrow windows; only where a value is frequent is a window as wide as its unit.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from uuid import UUID

import numpy as np
from sqlalchemy.orm import Session

from ..domain.grains import BEGINNING, Grain, Unit, bounds, finer, from_ms, parent_of
from ..domain.histogram import bucket_of
from ..domain.records import Kind
from ..domain.tally import CELL, Array, Tally, counts_by_start
from .rollup_cache import Block, Waiting
from .rollup_units import CELLS
from .rollup_view import RollupView

POINTS_MAX = 2  # of a cell's records, its first and last are all there are
UNIT_ROWS = 250  # so few records are read as fast as a finer map of them
STRETCH_ROWS = 50  # so few are read as fast as the key is descended a second time
SCAN_ROWS = 3000  # likewise, if the caller finds enough among so many
DENSE_ROWS = 50_000  # of a larger unit the matches may lie together behind all the others


_Cell = tuple[int, int, int]  # the count, and the times of the first and the last


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time, both ends included, outside of which no record matches.

    Attributes:
        matching: how many records match in it, at most; exactly, if the window is not cut by since
            or until. Of slow ones, which a cell does not count, 1: there is likely to be one.
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
    chosen = view.names.mask(wanted)
    start, end = bounds(since, until)
    if chosen.any() and start < end:
        low = 0 if min_execution_time_ms is None else int(bucket_of(str(min_execution_time_ms)))
        yield from _Search(view, waiting, chosen, low, enough, start, end).run()


@dataclass(frozen=True, slots=True)
class _Unit:
    """A unit of time with its wanted cells."""

    grain: Grain
    start: int
    parent: int
    cells: list[_Cell]
    rows: int
    is_finest: bool

    @property
    def matching(self) -> int:
        return sum(count for count, _, _ in self.cells)

    @property
    def is_points(self) -> bool:
        return all(count <= POINTS_MAX for count, _, _ in self.cells)

    def stretches(self) -> list[tuple[int, int, int]]:
        """Where its records may be: first, last and how many, newest first and apart."""
        if self.rows <= STRETCH_ROWS:
            counts, firsts, lasts = zip(*self.cells, strict=True)
            return [(min(firsts), max(lasts), sum(counts))]
        found: list[tuple[int, int, int]] = []
        for stretch in sorted(chain.from_iterable(map(_stretches, self.cells))):
            if found and stretch[0] <= found[-1][1]:
                first, last, count = found.pop()
                found.append((first, max(last, stretch[1]), count + stretch[2]))
            else:
                found.append(stretch)
        return found[::-1]


class _Search:
    """One way down the map, from months to minutes."""

    def __init__(
        self,
        view: RollupView,
        waiting: Waiting,
        chosen: Array,
        low_bucket: int,
        enough: int,
        start: int,
        end: int,
    ) -> None:
        self._view = view
        self._waiting = waiting
        self._not_folded: dict[Grain, dict[int, dict[int, tuple[list[_Cell], int]]]] = {}
        self._chosen = chosen  # of each cell number, whether it is wanted
        self._low_bucket = low_bucket
        self._enough = enough
        self._start = start
        self._end = end
        # How many units are looked into at once, where counts say little of how many match.
        self._reach = 4

    def run(self) -> Iterator[Window]:
        """The windows, newest first."""
        return self._refine(self._load(Grain.MONTH, [BEGINNING]))

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
                self._reach *= 4
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
            starts = [unit.start for unit in units if unit.grain is grain]
            found |= {(grain, start): [] for start in starts}
            for part in self._load(finer(grain), starts):
                found[grain, part.parent].append(part)
        return found

    def _load(self, grain: Grain, parents: Sequence[int]) -> list[_Unit]:
        """The units of a grain that may have matches in these coarser ones; newest first."""
        late = self._late(grain)
        blocks = self._view.blocks(grain, parents)
        wanted = self._wanted([block for _, block in blocks])
        for parent in parents:
            for start, (cells, _) in late.get(parent, {}).items():
                if cells:
                    wanted[start] += cells
        found: list[_Unit] = []
        for parent, block in blocks:
            waiting = late.get(parent, {})
            for start in wanted.keys() & {*block.versions, *waiting}:
                rows = block.rows.get(start, 0) + waiting.get(start, ([], 0))[1]
                # What only waits has minutes; what is folded has finer units only in detail.
                is_folded_whole = start in block.versions and start not in block.detailed
                is_finest = grain is Grain.MINUTE or is_folded_whole
                found.append(_Unit(grain, start, parent, wanted[start], rows, is_finest))
        return sorted(found, key=lambda unit: -unit.start)

    def _wanted(self, blocks: Sequence[Block]) -> dict[int, list[_Cell]]:
        """The wanted cells of each unit that has some."""
        wanted: dict[int, list[_Cell]] = defaultdict(list)
        if not blocks:
            return wanted
        # All blocks at once: of a small array, the calls cost more than the elements.
        fit = self._chosen[np.concatenate([block.numbers for block in blocks])]
        if self._low_bucket:
            fit &= np.concatenate([block.tops for block in blocks]) >= self._low_bucket
        places = np.flatnonzero(fit)
        cells = np.empty(len(places), dtype=CELL)
        ends = np.cumsum([len(block.numbers) for block in blocks])
        cuts = np.searchsorted(places, ends).tolist()
        for block, begin, low, high in zip(
            blocks, [0, *ends.tolist()], [0, *cuts], cuts, strict=False
        ):
            if low < high:
                cells[low:high] = block.parts[CELLS][places[low:high] - begin]
        self._gather(wanted, cells)
        return wanted

    def _gather(self, wanted: dict[int, list[_Cell]], cells: Array) -> None:
        """Add those cells of units that have records between start and end."""
        columns = (cells[name].tolist() for name in ("start", "count", "first", "last"))
        for start, count, first, last in zip(*columns, strict=True):
            if first < self._end and last >= self._start:
                wanted[start].append((count, first, last))

    def _late(self, grain: Grain) -> dict[int, dict[int, tuple[list[_Cell], int]]]:
        """What is not folded: of each unit, by the coarser one it is in, its wanted cells and how
        many records it has in all.
        """
        if not self._waiting.versions:
            return {}
        if grain not in self._not_folded:
            cells = self._waiting.at(grain).cells
            wanted: dict[int, list[_Cell]] = defaultdict(list)
            fit = self._chosen[cells["cell"]] & (cells["top"] >= self._low_bucket)
            self._gather(wanted, cells[fit])
            found: dict[int, dict[int, tuple[list[_Cell], int]]] = defaultdict(dict)
            for start, rows in counts_by_start(Tally(cells)).items():
                found[parent_of(grain, start)][start] = (wanted.get(start, []), rows)
            self._not_folded[grain] = found
        return self._not_folded[grain]

    def _windows(self, unit: _Unit) -> Iterator[Window]:
        for first, last, count in unit.stretches():
            if first < self._end and last >= self._start:
                rows = count if first == last else unit.rows
                matching = 1 if self._low_bucket else count
                low, high = max(first, self._start), min(last, self._end - 1)
                yield Window(from_ms(low), from_ms(high), matching, rows)


def _stretches(cell: _Cell) -> list[tuple[int, int, int]]:
    """First, last and how many: the first and last of a cell's records are all, or all between."""
    count, first, last = cell
    return (
        [(time, time, 1) for time in (first, last)[:count]]
        if count <= POINTS_MAX
        else [(first, last, count)]
    )
