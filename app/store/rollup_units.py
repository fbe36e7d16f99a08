"""Units of rollups as the tables have them, and the names of their cells."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..domain.grains import Grain, Span, from_ms, to_ms
from ..domain.packing import unpack
from ..domain.records import Kind
from ..domain.tally import CellNames, Tally
from .models import RollupCellRow

TABLES = {Kind.ACTION: "action_rollups", Kind.AUDIT: "audit_rollups"}
CELLS, HISTOGRAMS, SLOWEST = "cells", "histograms", "slowest"  # the columns with packed arrays
TALLY_COLUMNS = (CELLS, HISTOGRAMS, SLOWEST)  # in the order in which a tally has them
UNIT_COLUMNS = {Kind.ACTION: TALLY_COLUMNS, Kind.AUDIT: (CELLS,)}
# Span by span along the key; OFFSET 0 keeps the planner from joining in any other way. What is
# known comes without its arrays, which are not even read from disk then.
_UNITS = """
    SELECT unit.start, unit.version, unit.detailed, {shown}
    FROM unnest(%(lows)s::timestamptz[], %(highs)s::timestamptz[]) AS span (low, high)
    CROSS JOIN LATERAL (
        SELECT start, xmin::text AS version, detailed, {columns} FROM {table}
        WHERE tenant_id = %(tenant_id)s::uuid AND grain = %(grain)s
          AND start >= span.low AND start < span.high
        OFFSET 0
    ) AS unit
    LEFT JOIN unnest(%(starts)s::timestamptz[], %(versions)s::text[]) AS known (start, version)
        ON known.start = unit.start AND known.version = unit.version
"""


@dataclass(frozen=True, slots=True)
class FoldedUnits:
    """Units as they are folded, and of each, by its start, whether it is detailed."""

    tally: Tally = field(default_factory=Tally)
    detailed: dict[int, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UnitRow:
    """A unit as it is stored.

    Attributes:
        version: the transaction that wrote it; whoever writes it again gives it another.
        columns: its packed arrays in the order they were asked for; None if the caller knows them.
    """

    start: int
    version: str
    detailed: bool
    columns: tuple[bytes, ...] | None


def read_units(
    session: Session,
    tenant_id: UUID,
    kind: Kind,
    grain: Grain,
    spans: Collection[tuple[int, int]],
    columns: Sequence[str],
    known: Collection[tuple[int, str]] = (),
) -> Iterator[UnitRow]:
    """The units of a grain that start within spans of time (ms), oldest first.

    Args:
        columns: the arrays that are wanted of each.
        known: start and version of those whose arrays the caller has.
    """
    starts, versions = zip(*known, strict=True) if known else ((), ())
    shown = (f"CASE WHEN known.start IS NULL THEN unit.{part} END" for part in columns)
    statement = _UNITS.format(
        table=TABLES[kind], columns=", ".join(columns), shown=", ".join(shown)
    )
    asked = {
        "tenant_id": str(tenant_id),
        "grain": grain.value,
        "lows": [from_ms(low) for low, _ in spans],
        "highs": [from_ms(high) for _, high in spans],
        "starts": [from_ms(start) for start in starts],
        "versions": list(versions),
    }
    found = session.connection().exec_driver_sql(statement, asked)
    for start, version, detailed, *packed in sorted(found, key=lambda row: row[0]):
        arrays = None if packed[0] is None else tuple(map(bytes, packed))
        yield UnitRow(to_ms(start), version, detailed, arrays)


def read_tally(
    session: Session, tenant_id: UUID, kind: Kind, spans: Sequence[Span], columns: Sequence[str]
) -> FoldedUnits:
    """What the units in spans of one grain add up to, and which of them are detailed."""
    if not spans:
        return FoldedUnits()
    bounds = [(span.start, span.end) for span in spans]
    rows = list(read_units(session, tenant_id, kind, spans[0].grain, bounds, columns))
    return FoldedUnits(unpacked(rows, columns), {row.start: row.detailed for row in rows})


def unpacked(rows: Sequence[UnitRow], columns: Sequence[str]) -> Tally:
    """What the rows that came with these arrays add up to."""
    full = [row for row in rows if row.columns is not None]
    arrays: list[Any] = list(zip(*(row.columns or () for row in full), strict=True))
    given = dict(zip(columns, arrays or [()] * len(columns), strict=True))
    return unpack([row.start for row in full], **given)


def read_names(
    session: Session, tenant_id: UUID, kind: Kind, after: int = 0
) -> list[tuple[int, Sequence[str]]]:
    """The numbers of a tenant's cells past one, with their names."""
    statement = select(RollupCellRow.number, RollupCellRow.names).where(
        RollupCellRow.tenant_id == tenant_id,
        RollupCellRow.kind == kind.value,
        RollupCellRow.number > after,
    )
    return [(number, names) for number, names in session.execute(statement)]


def load_names(session: Session, tenant_id: UUID, kind: Kind) -> CellNames:
    """The numbers of a tenant's cells."""
    return CellNames(read_names(session, tenant_id, kind))
