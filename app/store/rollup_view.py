"""The rollups of one tenant and kind as one snapshot has them, mostly from memory.

The versions of the months are looked up once in each snapshot; below a month whose version is a
remembered one nothing else needs to be asked. Where one has changed, its days are looked up, and so
on down to the minutes that were folded since; the rest of them stays as it is remembered.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy.orm import Session

from ..domain.grains import BEGINNING, END, Grain, Span, coarser, following, parent_of, units
from ..domain.records import Kind
from ..domain.tally import Array, Tally, TallyBuilder, combined, counts_by_start, without_cells
from .memory import Memory
from .rollup_cache import Block, KnownNames, Waiting
from .rollup_units import (
    CELLS,
    HISTOGRAMS,
    SLOWEST,
    TALLY_COLUMNS,
    UnitRow,
    read_names,
    read_units,
    unpacked,
)
from .session import ROLLUP_CACHE
from .summaries import list_waiting

NAMES, WAITING = "names", "waiting"  # in keys of the memory
TOTALS = "totals"  # histograms over all cells of a unit, a tenth of the histograms of each
_PARTS = {CELLS: CELLS, HISTOGRAMS: HISTOGRAMS, TOTALS: HISTOGRAMS, SLOWEST: SLOWEST}  # from where
NOTHING = Block()  # below a unit that is not there, or has no finer ones


class RollupView:
    """Units, names and waiting summaries of a tenant and kind, in a session that is a snapshot."""

    def __init__(self, session: Session, tenant_id: UUID, kind: Kind) -> None:
        self._session = session
        self._tenant_id = tenant_id
        self._kind = kind
        self._cache: Memory = session.info.get(ROLLUP_CACHE) or Memory()
        # What this snapshot was found to have stays here, whatever the cache forgets meanwhile.
        self._blocks: dict[tuple[Grain, int], Block] = {}
        self._names: KnownNames | None = None

    @property
    def names(self) -> KnownNames:
        """The names of all cells that the units have."""
        if self._names is None:
            key = (self._tenant_id, self._kind, NAMES)
            known = self._cache.get(key)
            self._names = names = known if isinstance(known, KnownNames) else KnownNames()
            months = self._block(Grain.MONTH, BEGINNING).versions
            if names.seen != months:
                found = read_names(self._session, self._tenant_id, self._kind, names.last)
                names.learn(found, months)
                self._cache.put(key, names)
        return self._names

    def load_months(self, parts: Sequence[str]) -> None:
        """Look up the months, with arrays that are likely to be wanted of them."""
        self._load(Grain.MONTH, {BEGINNING}, parts)

    def blocks(self, grain: Grain, parents: Collection[int]) -> list[tuple[int, Block]]:
        """The units of a grain in each of some coarser ones; of months there is one block."""
        self._load(grain, parents, (CELLS,))
        return [(at, self._blocks[grain, at]) for at in parents]

    def is_detailed(self, grain: Grain, start: int) -> bool | None:
        """Whether a unit has finer ones; None if there is no such unit."""
        block = self._block(grain, parent_of(grain, start))
        return start in block.detailed if start in block.versions else None

    def tally(self, spans: Iterable[Span], parts: Sequence[str] = (CELLS,)) -> Tally:
        """What the units in these spans add up to, in order if the spans are.

        Args:
            parts: the arrays that are wanted; the others are empty.
        """
        places = [(span, parent) for span in spans for parent in _parents(span)]
        for grain in {span.grain for span, _ in places}:
            self._load(grain, {at for span, at in places if span.grain is grain}, parts)
        blocks = [(span, self._blocks[span.grain, parent].parts) for span, parent in places]

        def gathered(part: str, nothing: Array) -> Array:
            found = (_cut(arrays[part], span) for span, arrays in blocks if part in arrays)
            return np.concatenate([nothing, *found]) if part in parts else nothing

        nothing = Tally()
        return Tally(
            gathered(CELLS, nothing.cells),
            gathered(TOTALS if TOTALS in parts else HISTOGRAMS, nothing.buckets),
            gathered(SLOWEST, nothing.slowest),
        )

    def waiting(self) -> Waiting:
        """What is not folded yet."""
        key = (self._tenant_id, self._kind, WAITING)
        found = self._cache.get(key)
        known = Waiting(self.names)
        if isinstance(found, Waiting) and found.names is self.names:
            known = found
        batches = list(list_waiting(self._session, self._tenant_id, self._kind, known.versions))
        versions = {batch.seq: batch.version for batch in batches}
        if versions == known.versions:
            return known
        new = {batch.seq: self._by_minute(batch.summary) for batch in batches if batch.summary}
        kept = {seq: known.tallies[seq] for seq in versions.keys() - new.keys()}
        is_longer = len(kept) == len(known.tallies)
        whole = combined([*([known.whole] if is_longer else kept.values()), *new.values()])
        now = Waiting(self.names, versions, kept | new, whole)
        self._cache.put(key, now)
        return now

    def _by_minute(self, summary: dict[str, Any]) -> Tally:
        builder = TallyBuilder(self.names)
        builder.add(self._kind, summary)
        return builder.build()

    def _block(self, grain: Grain, parent: int) -> Block:
        self._load(grain, {parent}, ())
        return self._blocks[grain, parent]

    def _load(self, grain: Grain, parents: Collection[int], parts: Sequence[str]) -> None:
        """Have the blocks of these coarser units, with these arrays at least."""
        missing = [at for at in parents if not _has(self._blocks.get((grain, at)), parts)]
        if not missing:
            return
        if grain is not Grain.MONTH:
            above = coarser(grain)
            self._load(above, {parent_of(above, at) for at in missing}, ())
        stale: dict[int, tuple[str, Block]] = {}
        for at in missing:
            version = "" if grain is Grain.MONTH else self._version(coarser(grain), at)
            if version is None:
                self._blocks[grain, at] = NOTHING
                continue
            found = self._cache.get(self._key(grain, at))
            known = found if isinstance(found, Block) else NOTHING
            if version and known.within == version and _has(known, parts):
                self._blocks[grain, at] = known
            else:
                stale[at] = version, known
        if stale:
            self._read(grain, stale, parts)

    def _version(self, grain: Grain, start: int) -> str | None:
        """The version of a unit that has finer ones; None if it has none."""
        block = self._blocks[grain, parent_of(grain, start)]
        return block.versions[start] if start in block.detailed else None

    def _read(
        self, grain: Grain, stale: Mapping[int, tuple[str, Block]], parts: Sequence[str]
    ) -> None:
        """Look up blocks, and read of them what is not as it was remembered."""
        had = {part for _, known in stale.values() for part in known.parts}
        wanted = [part for part in _PARTS if part == CELLS or part in had or part in parts]
        whole = {at: known for at, (_, known) in stale.items() if _has(known, wanted)}
        rows: dict[int, list[UnitRow]] = {at: [] for at in stale}
        for row in read_units(
            self._session,
            self._tenant_id,
            self._kind,
            grain,
            [(at, END if grain is Grain.MONTH else following(coarser(grain), at)) for at in stale],
            _columns(wanted),
            [version for known in whole.values() for version in known.versions.items()],
        ):
            rows[parent_of(grain, row.start)].append(row)
        for at, (version, _) in stale.items():
            block = _block(version, rows[at], wanted, whole.get(at, NOTHING))
            self._blocks[grain, at] = block
            self._cache.put(self._key(grain, at), block)

    def _key(self, grain: Grain, parent: int) -> tuple[UUID, Kind, Grain, int]:
        return self._tenant_id, self._kind, grain, parent


def _parents(span: Span) -> Iterable[int]:
    """The coarser units that a span touches."""
    if span.grain is Grain.MONTH:
        return [BEGINNING]
    return units(coarser(span.grain), span.start, span.end)


def _has(block: Block | None, parts: Iterable[str]) -> bool:
    """Whether a block has these arrays, or there are none to have."""
    return block is not None and (block is NOTHING or all(part in block.parts for part in parts))


def _block(version: str, rows: Sequence[UnitRow], parts: Sequence[str], known: Block) -> Block:
    """A block of what was read, and of what was left out because it is as it was known."""
    versions = {row.start: row.version for row in rows}
    if version == known.within and versions == known.versions:
        return known
    read = dict(zip(TALLY_COLUMNS, unpacked(rows, _columns(parts)).parts, strict=True))
    if TOTALS in parts:
        read[TOTALS] = without_cells(read[HISTOGRAMS])
    kept = [row.start for row in rows if row.columns is None]
    arrays = {}
    for part in parts:
        arrays[part] = read[part]
        if kept:
            old = known.parts[part]
            both = np.concatenate([old[np.isin(old["start"], kept)], read[part]])
            arrays[part] = both[np.argsort(both["start"], kind="stable")]
    cells = arrays[CELLS]
    return Block(
        version,
        versions,
        frozenset(row.start for row in rows if row.detailed),
        arrays,
        counts_by_start(Tally(cells)),
        cells["cell"].astype(np.int32),
        cells["top"].astype(np.int16),
    )


def _columns(parts: Iterable[str]) -> list[str]:
    """The columns that arrays are made of."""
    return list(dict.fromkeys(_PARTS[part] for part in parts))


def _cut(part: Array, span: Span) -> Array:
    low, high = np.searchsorted(part["start"], (span.start, span.end))
    return part[low:high]
