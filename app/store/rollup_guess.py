"""A guess, from what is remembered of rollups, at how large a share of a log is of certain cells.

It asks no statement and may be out of date, so it chooses a plan and never an answer.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from ..domain.grains import Grain, floor, to_ms
from ..domain.histogram import bucket_of
from ..domain.records import Kind
from ..domain.tally import Names
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
    """How large a share of the records match, at most, of the last day with any up to a moment.

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

    def accepts(cell: Names) -> bool:
        return all(not some or name in some for name, some in zip(cell, wanted, strict=True))

    low = 0 if min_execution_time_ms is None else int(bucket_of(str(min_execution_time_ms)))
    cells = block.parts[CELLS]
    cells = cells[(cells["start"] == max(days)) & (cells["top"] >= low)]
    chosen = names.mask(accepts)
    # Another thread may have forgotten names that this block has.
    known = cells["cell"] < len(chosen)
    matching = cells["count"][known][chosen[cells["cell"][known]]].sum()
    return float(matching / block.rows[max(days)])
