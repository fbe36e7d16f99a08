"""A guess, from what is remembered of rollups, at how large a share of a log is of certain cells.

It asks no statement and may be out of date, so it chooses a plan and never an answer.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import numpy as np
from sqlalchemy.orm import Session

from ..domain.grains import Grain, floor, to_ms
from ..domain.histogram import bucket_of
from ..domain.records import Kind
from ..domain.tally import Array
from .rollup_cache import Block, KnownNames
from .rollup_units import CELLS
from .rollup_view import NAMES
from .session import ROLLUP_CACHE


def guess_share(
    session: Session,
    tenant_id: UUID,
    kind: Kind,
    wanted: Sequence[Collection[str]],
    at: datetime,
    min_execution_time_ms: int | None = None,
) -> float | None:
    """How large a share of the records is likely to match.

    It is that of the last day with any up to a moment; of slow ones, that of its month until then.

    Args:
        wanted: as find_windows() takes it.

    Returns:
        None if nothing is remembered of that month.
    """
    cache = session.info.get(ROLLUP_CACHE)
    if cache is None:
        return None
    names = cache.get((tenant_id, kind, NAMES))
    block = cache.get((tenant_id, kind, Grain.DAY, floor(Grain.MONTH, to_ms(at))))
    days = [day for day in block.rows if day <= to_ms(at)] if isinstance(block, Block) else []
    if not days or not isinstance(block, Block) or not isinstance(names, KnownNames):
        return None

    low = 0 if min_execution_time_ms is None else int(bucket_of(str(min_execution_time_ms)))
    # Another thread may have forgotten names that this block has: one cell for another is no harm.
    chosen = names.mask(wanted).take(block.numbers, mode="clip")
    cells = block.parts[CELLS][np.flatnonzero(chosen)]
    if low:
        cells = cells[cells["start"] <= max(days)]
        return slow_a_day(cells, low, len(days)) * len(days) / sum(block.rows[day] for day in days)
    matching = cells["count"][cells["start"] == max(days)].sum()
    return float(matching / block.rows[max(days)])


def slow_a_day(cells: Array, low_bucket: int, days: int) -> float:
    """How many records a day are at least as slow.

    A cell tells of its slowest record alone. From the share of days that have any follows how many
    there are, if they come at random (P(none) of Poisson's distribution); if each day has some, it
    is no more than the count of the cell.
    """
    numbers, at = np.unique(cells["cell"], return_inverse=True)
    slow = cells["top"] >= low_bucket
    share = np.bincount(at[slow], minlength=len(numbers)) / days
    counts = np.bincount(at, weights=cells["count"], minlength=len(numbers)) / days
    some = share < 1
    return float(counts[~some].sum() - np.log1p(-share[some]).sum())
