"""Recounting: rollups of a stretch of time of which records were removed become what is left.

A unit around the stretch is made of its finer units where it has them, else of the records that
are left in it; one inside of it needs none finer any more. The caller has the tenant's cursor
locked, so nobody folds meanwhile, and what is not folded yet is not counted here.
"""

from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Any
from uuid import UUID

from psycopg2.extras import execute_values
from sqlalchemy import text
from sqlalchemy.orm import Session

from ..domain.grains import (
    GRAINS,
    Grain,
    Span,
    finer,
    floor,
    following,
    from_ms,
    units,
    within_any,
)
from ..domain.records import Kind
from ..domain.summary import summarize
from ..domain.tally import Tally, TallyBuilder, joined
from .cold import ColdStore
from .fold import USER_GRAINS, write_units
from .rollup_units import TABLES, UNIT_COLUMNS, load_names, read_tally
from .summaries import counted_heads

# Day (ms), user (empty: none), action and resource type, of audits that are counted together.
UserCell = tuple[int, str, str, str]

_CLAIM = text(
    """
    INSERT INTO rollup_cursors (tenant_id) VALUES (:tenant_id)
    ON CONFLICT (tenant_id) DO UPDATE SET folded_seq = rollup_cursors.folded_seq
    """
)
_UNFOLDED = text(
    """
    SELECT EXISTS (
        SELECT FROM log_batches b JOIN rollup_cursors c ON c.tenant_id = b.tenant_id
        WHERE b.tenant_id = :tenant_id AND b.kind = :kind AND b.seq > c.folded_seq
          AND b.min_created_at < :high AND b.max_created_at >= :low
    )
    """
)
_DELETE_UNITS = """
    DELETE FROM {table} WHERE tenant_id = :tenant_id AND grain = ANY(:grains)
      AND start >= :low AND start < :high
"""
_LESS_USERS = """
    UPDATE user_rollups u SET audits = u.audits - gone.audits::bigint
    FROM (VALUES %s) AS gone (tenant_id, grain, start, user_id, action, resource_type, audits)
    WHERE u.tenant_id = gone.tenant_id::uuid AND u.grain = gone.grain
      AND u.start = gone.start::timestamptz AND u.user_id = gone.user_id
      AND u.action = gone.action AND u.resource_type = gone.resource_type
"""
_NO_USERS = text("DELETE FROM user_rollups WHERE tenant_id = :tenant_id AND audits <= 0")
PAGE_ROWS = 1000


def claim(session: Session, tenant_id: UUID) -> None:
    """Lock the tenant's rollups to the end of the transaction; who folds them is waited for."""
    session.execute(_CLAIM, {"tenant_id": tenant_id})


def is_folded(session: Session, tenant_id: UUID, kind: Kind, low: int, high: int) -> bool:
    """Whether rollups count all records of a stretch of time (ms)."""
    asked: dict[str, Any] = {"tenant_id": tenant_id, "kind": kind.value}
    asked |= {"low": from_ms(low), "high": from_ms(high)}
    return not session.execute(_UNFOLDED, asked).scalar_one()


def recount(
    session: Session, tenant_id: UUID, kind: Kind, low: int, high: int, cold: ColdStore
) -> None:
    """Make the units of a stretch of time (ms), and those around it, what their records are.

    Args:
        cold: the archive, where some of them may be.
    """
    counting = _Recount(session, tenant_id, kind, low, high, cold)
    for month in units(Grain.MONTH, low, high):
        counting.unit(Grain.MONTH, month)


def discount_users(session: Session, tenant_id: UUID, gone: Counter[UserCell]) -> None:
    """Take audits that were removed from what users did."""
    add_users(session, tenant_id, _LESS_USERS, gone)
    session.execute(_NO_USERS, {"tenant_id": tenant_id})


def add_users(session: Session, tenant_id: UUID, statement: str, counts: Counter[UserCell]) -> None:
    """Apply a statement to what users did, by every grain of it."""
    for grain in USER_GRAINS:
        by_unit: Counter[UserCell] = Counter()
        for (day, *names), audits in counts.items():
            by_unit[floor(grain, day), names[0], names[1], names[2]] += audits
        rows = [
            (str(tenant_id), grain.value, from_ms(start), *names, audits)
            for (start, *names), audits in by_unit.items()
        ]
        if rows:
            cursor: Any = session.connection().connection.cursor()
            execute_values(cursor, statement, rows, page_size=PAGE_ROWS)


class _Recount:
    """The units of one tenant and kind, where records of a stretch were removed."""

    def __init__(
        self, session: Session, tenant_id: UUID, kind: Kind, low: int, high: int, cold: ColdStore
    ) -> None:
        self._session = session
        self._tenant_id = tenant_id
        self._kind = kind
        self._low, self._high = low, high
        self._cold = cold
        self._names = load_names(session, tenant_id, kind)
        self._left = self._records(low, high)

    def unit(self, grain: Grain, start: int) -> Tally:
        """Recount one unit that the stretch touches; what it has then."""
        span = Span(grain, start, following(grain, start))
        there = self._read(span)
        if start not in there.detailed:  # none of its records was ever counted
            return Tally()
        if self._low <= start and span.end <= self._high:
            return self._write(span, self._left.where(partial(within_any, spans=[span])))
        if not there.detailed[start]:
            return self._write(span, self._records(start, span.end))
        within = finer(grain)
        low, high = max(self._low, start), min(self._high, span.end)
        touched = [Span(within, at, following(within, at)) for at in units(within, low, high)]
        others = self._read(Span(within, start, span.end)).tally
        rest = others.where(lambda starts: ~within_any(starts, touched))
        parts = [self.unit(within, one.start) for one in touched]
        return self._write(span, joined([rest, *parts]), detailed=True)

    def _read(self, span: Span) -> Any:
        columns = UNIT_COLUMNS[self._kind]
        return read_tally(self._session, self._tenant_id, self._kind, [span], columns)

    def _records(self, low: int, high: int) -> Tally:
        """The counted records of a stretch of time, by minute."""
        builder = TallyBuilder(self._names)
        where = (self._session, self._tenant_id, self._kind)
        for heads in counted_heads(*where, low, high, self._cold):
            builder.add(self._kind, summarize(self._kind, heads))
        return builder.build()

    def _write(self, span: Span, parts: Tally, *, detailed: bool = False) -> Tally:
        """Put a unit in place of what was there, and of finer ones if it is not detailed."""
        whole = parts.at(span.grain)
        empty = not len(whole.cells)
        gone: Iterable[Grain] = [] if detailed else GRAINS[: GRAINS.index(span.grain)]
        grains = [*gone, *[span.grain] * empty]
        statement = text(_DELETE_UNITS.format(table=TABLES[self._kind]))
        asked = {"tenant_id": self._tenant_id, "grains": [one.value for one in grains]}
        asked |= {"low": from_ms(span.start), "high": from_ms(span.end)}
        if grains:
            self._session.execute(statement, asked)
        if not empty:
            kept = {span.start} if detailed else set()
            write_units(self._session, self._tenant_id, self._kind, span.grain, whole, kept)
        return whole
