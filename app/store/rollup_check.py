"""Whether rollups are what they say: each unit, with what waits, equals the records of its time."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from ..domain.grains import (
    BEGINNING,
    END,
    Grain,
    Span,
    finer,
    following,
    from_ms,
    to_ms,
    units,
    within_any,
)
from ..domain.records import Kind
from ..domain.summary import summarize
from ..domain.tally import Array, Tally, TallyBuilder, combined, joined, start_of
from .archived import cold_log
from .cold import ColdStore
from .columns import TABLES as LOGS
from .fold import USER_GRAINS
from .models import TenantRow
from .rollup_units import TABLES as ROLLUPS
from .rollup_units import UNIT_COLUMNS, FoldedUnits, load_names, read_tally
from .summaries import read_heads, waiting_summaries

_TIMES = """
    SELECT min(low), max(high) FROM (
        SELECT min(created_at) AS low, max(created_at) AS high FROM {log}
        WHERE tenant_id = :tenant_id
        UNION ALL
        SELECT min(start), max(start) FROM {rollups}
        WHERE tenant_id = :tenant_id AND grain = 'month'
        UNION ALL
        SELECT min(min_created_at), max(max_created_at) FROM log_batches
        WHERE tenant_id = :tenant_id AND kind = :kind
    ) AS found
"""
_USERS = text(
    """
    WITH counted AS (
        SELECT start, user_id, action, resource_type, sum(audits) AS audits FROM (
            SELECT start, user_id, action, resource_type, audits FROM user_rollups
            WHERE tenant_id = :tenant_id AND grain = :grain
            UNION ALL
            SELECT date_trunc(:grain, day, 'UTC'), user_id, action, resource_type, audits
            FROM unnest(CAST(:days AS timestamptz[]), CAST(:users AS text[]),
                        CAST(:actions AS text[]), CAST(:types AS text[]), CAST(:counts AS bigint[]))
                AS waiting (day, user_id, action, resource_type, audits)
        ) AS part GROUP BY 1, 2, 3, 4
    ), recorded AS (
        SELECT start, user_id, action, resource_type, sum(audits) AS audits FROM (
            SELECT date_trunc(:grain, created_at, 'UTC') AS start, coalesce(user_id, '') AS user_id,
                   action, resource_type, 1 AS audits
            FROM audit_logs WHERE tenant_id = :tenant_id
            UNION ALL
            SELECT * FROM unnest(
                CAST(:cold_starts AS timestamptz[]), CAST(:cold_users AS text[]),
                CAST(:cold_actions AS text[]), CAST(:cold_types AS text[]),
                CAST(:cold_counts AS bigint[])
            )
        ) AS part GROUP BY 1, 2, 3, 4
    )
    SELECT start, user_id, action, resource_type,
           coalesce(counted.audits, 0), coalesce(recorded.audits, 0)
    FROM counted FULL JOIN recorded USING (start, user_id, action, resource_type)
    WHERE counted.audits IS DISTINCT FROM recorded.audits ORDER BY 1, 2, 3, 4
    """
)


@dataclass(frozen=True, slots=True)
class Difference:
    """A cell of a unit of time of which rollups and records say different things.

    Attributes:
        names: the cell's: action type, provider and status, or action and resource type; for part
            users, user, action and resource type.
        part: what differs: cells (count, sum, first, last), buckets, slowest or users.
        rollup, records: what each has, as text.
    """

    tenant_id: UUID
    kind: Kind
    grain: Grain
    start: datetime
    names: tuple[str, ...]
    part: str
    rollup: str
    records: str


def list_tenant_ids(session: Session) -> list[UUID]:
    """Every tenant, by id."""
    return list(session.execute(select(TenantRow.id).order_by(TenantRow.id)).scalars())


def find_differences(
    session: Session, tenant_id: UUID, cold: ColdStore | None = None
) -> Iterator[Difference]:
    """Where rollups and records of one tenant differ; reads every record, a day at a time.

    Args:
        session: a snapshot of the maintenance role.
        cold: the archive, where there is one.
    """
    for kind in Kind:
        yield from _Check(session, tenant_id, kind, cold).run()
    yield from _user_differences(session, tenant_id, cold)


class _Check:
    """The check of one tenant and kind."""

    def __init__(
        self, session: Session, tenant_id: UUID, kind: Kind, cold: ColdStore | None
    ) -> None:
        self._cold = cold
        self._session = session
        self._tenant_id = tenant_id
        self._kind = kind
        self._names = load_names(session, tenant_id, kind)
        builder = TallyBuilder(self._names)
        for batch in waiting_summaries(session, tenant_id, kind):
            builder.add(kind, batch.summary)
        self._waiting = builder.build()

    def run(self) -> Iterator[Difference]:
        """Every difference, month by month."""
        statement = text(_TIMES.format(log=LOGS[self._kind], rollups=ROLLUPS[self._kind]))
        asked = {"tenant_id": self._tenant_id, "kind": self._kind.value}
        oldest, youngest = self._session.execute(statement, asked).one()
        if oldest is not None:
            for month in units(Grain.MONTH, to_ms(oldest), to_ms(youngest) + 1):
                yield from self._month(month)

    def _month(self, month: int) -> Iterator[Difference]:
        span = Span(Grain.MONTH, month, following(Grain.MONTH, month))
        folded = self._units(span)
        days = [Tally()]
        for day in units(Grain.DAY, span.start, span.end):
            end = following(Grain.DAY, day)
            minutes = self._records(day, end)
            days.append(minutes.at(Grain.DAY))
            if folded.detailed.get(month):
                yield from self._compare(Span(Grain.DAY, day, end), minutes)
        yield from self._differ(span, folded.tally, joined(days))

    def _compare(self, span: Span, minutes: Tally) -> Iterator[Difference]:
        """The units of a span, and the finer ones of those that are detailed."""
        folded = self._units(span)
        yield from self._differ(span, folded.tally, minutes)
        for start in sorted(start for start, is_detailed in folded.detailed.items() if is_detailed):
            inside = Span(finer(span.grain), start, following(span.grain, start))
            part = minutes.where(partial(within_any, spans=[inside]))
            yield from self._compare(inside, part)

    def _units(self, span: Span) -> FoldedUnits:
        return read_tally(
            self._session, self._tenant_id, self._kind, [span], UNIT_COLUMNS[self._kind]
        )

    def _records(self, low: int, high: int) -> Tally:
        builder = TallyBuilder(self._names)
        where = (self._session, self._tenant_id, self._kind)
        heads = read_heads(*where, low, high, self._cold)
        builder.add(self._kind, summarize(self._kind, heads))
        return builder.build()

    def _differ(self, span: Span, folded: Tally, records: Tally) -> Iterator[Difference]:
        """What the rollups, with what waits, and the records of a span say differently."""
        waiting = self._waiting.where(partial(within_any, spans=[span])).at(span.grain)
        pairs = zip(combined([folded, waiting]).parts, records.at(span.grain).parts, strict=True)
        for part, (ours, theirs) in zip(("cells", "buckets", "slowest"), pairs, strict=True):
            if np.array_equal(ours, theirs):
                continue
            mine, real = _by_cell(ours), _by_cell(theirs)
            for key in sorted(mine.keys() | real.keys()):
                if mine.get(key) != real.get(key):
                    yield Difference(
                        tenant_id=self._tenant_id,
                        kind=self._kind,
                        grain=span.grain,
                        start=from_ms(key[0]),
                        names=self._names.names_of(key[1]),
                        part=part,
                        rollup=str(mine.get(key, "nothing")),
                        records=str(real.get(key, "nothing")),
                    )


def _by_cell(part: Array) -> dict[tuple[int, int], list[dict[str, int]]]:
    """The rows of each unit and cell, as what they say."""
    found: dict[tuple[int, int], list[dict[str, int]]] = defaultdict(list)
    names = [name for name in part.dtype.names or () if name not in {"start", "cell"}]
    keys = part[["start", "cell"]].tolist()
    for key, values in zip(keys, part[names].tolist(), strict=True):
        found[key].append(dict(zip(names, values, strict=True)))
    return found


def _cold_users(
    session: Session, tenant_id: UUID, cold: ColdStore | None, grain: Grain
) -> dict[str, list[Any]]:
    """Archived audits by user, as columns."""
    found: list[tuple[Any, ...]] = []
    if cold is not None:
        everything = (BEGINNING, END)
        log = cold_log(session, cold, tenant_id, Kind.AUDIT, *everything)
        found = [(from_ms(start), *rest) for start, *rest in log.users(*everything, grain)]
    columns = [list(column) for column in zip(*found, strict=True)] or [[]] * 5
    names = ("cold_starts", "cold_users", "cold_actions", "cold_types", "cold_counts")
    return dict(zip(names, columns, strict=True))


def _user_differences(
    session: Session, tenant_id: UUID, cold: ColdStore | None
) -> Iterator[Difference]:
    """Users whose audits are counted otherwise than their records."""
    waiting = [
        (from_ms(start_of(day)), user_id or "", action, resource_type, count)
        for batch in waiting_summaries(session, tenant_id, Kind.AUDIT)
        for day, user_id, action, resource_type, count in batch.summary["users"]
    ]
    columns = [list(column) for column in zip(*waiting, strict=True)] or [[]] * 5
    names = ("days", "users", "actions", "types", "counts")
    asked: dict[str, Any] = {"tenant_id": tenant_id, **dict(zip(names, columns, strict=True))}
    for grain in USER_GRAINS:
        asked |= {"grain": grain.value, **_cold_users(session, tenant_id, cold, grain)}
        for start, *cell, ours, theirs in session.execute(_USERS, asked):
            yield Difference(
                tenant_id=tenant_id,
                kind=Kind.AUDIT,
                grain=grain,
                start=start,
                names=tuple(cell),
                part="users",
                rollup=str(ours),
                records=str(theirs),
            )
