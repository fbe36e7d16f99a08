"""What a process remembers of rollups: unpacked units, cell names and summaries that wait.

Nothing here is believed by itself. A unit is told from its later self by its version, and whoever
writes a unit writes the coarser ones it lies in, in the same transaction: so what was remembered
below a unit is true in every snapshot in which that unit has the same version. Readers look that up
(`app/store/rollup_view.py`), under row-level security; a tenant that may not see the unit is shown
nothing of it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np

from ..domain.grains import Grain, Times
from ..domain.tally import Array, CellNames, Names, Tally

ENTRY_BYTES = 500  # of an entry, besides its arrays
UNIT_BYTES = 300  # of a unit within an entry, besides its arrays


@dataclass(frozen=True, slots=True)
class Block:
    """The units that make up one unit of the next coarser grain, or all months.

    Attributes:
        within: the version of that coarser unit; empty for months, which are looked up each time.
        versions: of each unit, by its start.
        detailed: the starts of those that have finer units.
        parts: the arrays by column, each sorted by start.
        rows: how many records each unit has.
        numbers, tops: those of the cells, apart: a search goes through them alone, and stays within
            the processor's caches.
    """

    within: str = ""
    versions: Mapping[int, str] = field(default_factory=dict)
    detailed: frozenset[int] = frozenset()
    parts: Mapping[str, Array] = field(default_factory=dict)
    rows: Mapping[int, int] = field(default_factory=dict)
    numbers: Array = field(default_factory=lambda: np.empty(0, dtype=np.int32))
    tops: Array = field(default_factory=lambda: np.empty(0, dtype=np.int16))

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes."""
        arrays = sum(part.nbytes for part in (*self.parts.values(), self.numbers, self.tops))
        return ENTRY_BYTES + UNIT_BYTES * len(self.versions) + arrays


class KnownNames(CellNames):
    """The names of a tenant's cells as a process knows them; for any thread.

    A cell that is not folded yet has a number below zero, which is this process's own; it may get
    another when it is folded, and the two mean the same.

    Attributes:
        seen: the versions of the months up to which folded names are known.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = Lock()
        self._least = 0
        self.seen: Mapping[int, str] | None = None

    @property
    def last(self) -> int:
        """The highest number that is on record."""
        return max(0, max(self._names, default=0))

    @property
    def size(self) -> int:
        """About how many bytes of memory they take."""
        return ENTRY_BYTES + UNIT_BYTES * len(self._names)

    def learn(self, found: list[tuple[int, Any]], seen: Mapping[int, str]) -> None:
        """Add numbers that are on record; after that all are known that these months have."""
        with self._lock:
            for number, names in found:
                self._names[number] = tuple(names)
                self._numbers[tuple(names)] = number
        self.seen = seen

    def number_of(self, names: Names) -> int:
        """The number of a cell; one below zero if it is on record nowhere."""
        with self._lock:
            number = self._numbers.get(names)
            if number is None:
                self._least -= 1
                number = self._numbers[names] = self._least
                self._names[number] = names
            return number

    def matching(self, wanted: Sequence[Collection[str]]) -> Times:
        """The numbers of all cells that have wanted names, ascending."""
        with self._lock:
            return super().matching(wanted)

    def mask(self, wanted: Sequence[Collection[str]]) -> Array:
        """Of each cell number whether it has wanted names; below zero from the end on."""
        with self._lock:
            chosen = np.zeros(self.last + 1 - self._least, dtype=bool)
            chosen[super().matching(wanted)] = True
        return chosen


@dataclass(frozen=True, slots=True)
class Waiting:
    """The summaries of one tenant and kind that waited when somebody looked.

    Attributes:
        names: those that the tallies have their numbers from.
        versions: of each batch, by its seq.
        tallies: of each batch, by minute.
        whole: the sum of all of them.
        coarser: the same by units of other grains, as far as anybody asked.
    """

    names: KnownNames
    versions: Mapping[int, str] = field(default_factory=dict)
    tallies: Mapping[int, Tally] = field(default_factory=dict)
    whole: Tally = field(default_factory=Tally)
    coarser: dict[Grain, Tally] = field(default_factory=dict)

    def at(self, grain: Grain) -> Tally:
        """The sum by units of a grain."""
        if grain not in self.coarser:
            self.coarser[grain] = self.whole.at(grain)
        return self.coarser[grain]

    @property
    def size(self) -> int:
        """About how many bytes of memory they take; by coarser grains less than by minute."""
        tallies = (*self.tallies.values(), self.whole, self.whole)
        arrays = sum(part.nbytes for tally in tallies for part in tally.parts)
        return ENTRY_BYTES + UNIT_BYTES * len(self.versions) + arrays
