"""Late records on their way into the archive: read as they came, made rows for a moment, and
deleted once a segment has them.
"""

import io
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert, select, text
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from ..domain.archive import Segment, TenantDay
from ..domain.codec import Head, read_head
from ..domain.records import Kind
from .archive_models import ArchiveRow
from .archives import COLD, content_values
from .batches import UNSTORABLE
from .cold import ColdStore
from .columns import TABLES, WRITTEN
from .models import LateRecordRow

LATE = "late"  # the source of such segments, where others have a partition
ROWS_MAX = 10_000  # of one segment; each is in memory, most of 1 KB
_DAYS = text(
    """
    SELECT DISTINCT tenant_id, kind, (created_at AT TIME ZONE 'UTC')::date AS day
    FROM late_records ORDER BY day, tenant_id, kind
    """
)


def list_late_days(session: Session) -> list[TenantDay]:
    """The tenants' days of which there are late records."""
    found = session.execute(_DAYS)
    return [TenantDay(tenant_id, Kind(kind), day) for tenant_id, kind, day in found]


def read_late(session: Session, of: TenantDay) -> list[Head]:
    """The first late records of a day, in the order of their ids."""
    statement = select(LateRecordRow.payload).where(*_of(of)).order_by(LateRecordRow.id)
    lines = session.execute(statement.limit(ROWS_MAX)).scalars()
    return [read_head(bytes(line).decode()) for line in lines]


def archived_ids(cold: ColdStore, segments: Sequence[Segment], heads: Sequence[Head]) -> set[str]:
    """Those of the records' ids that the archive has already."""
    if not segments:
        return set()
    named = {f"id_{number}": head.id for number, head in enumerate(heads)}
    wanted = ", ".join(f"${name}" for name in named)
    statement = f"SELECT id FROM segments WHERE id IN ({wanted})"  # noqa: S608
    return {id_ for (id_,) in cold.read(segments[0].of.tenant_id, segments, statement, named)}


def copy_late(
    session: Session, kind: Kind, heads: Sequence[Head], columns: str, sink: Any
) -> list[Head]:
    """Write records to a sink as rows of the log, in the form of `copy_day`.

    Returns:
        Those that Postgres takes; of the others nothing is written.
    """
    connection = session.connection()
    cursor: Any = connection.connection.cursor()
    cursor.execute(
        f"CREATE TEMP TABLE late ON COMMIT DROP AS SELECT * FROM {TABLES[kind]} WITH NO DATA;"  # noqa: S608
        " ALTER TABLE late ALTER updated_at SET DEFAULT now()"
    )
    end = f"\t{uuid7()}\n"
    taken = _take(connection, cursor, kind, list(heads), end)
    cursor.copy_expert(
        f"COPY (SELECT {columns} FROM late ORDER BY created_at, id)"  # noqa: S608
        " TO STDOUT (FORMAT csv, FORCE_QUOTE *)",
        sink,
    )
    return taken


def _take(connection: Any, cursor: Any, kind: Kind, heads: list[Head], end: str) -> list[Head]:
    """Insert what Postgres takes, halving around what it refuses."""
    lines = "".join(head.row + end for head in heads)
    try:
        with connection.begin_nested():
            cursor.copy_expert(f"COPY late ({WRITTEN[kind]}) FROM STDIN", io.StringIO(lines))
    except UNSTORABLE:
        if len(heads) == 1:
            return []
        half = len(heads) // 2
        return [
            *_take(connection, cursor, kind, heads[:half], end),
            *_take(connection, cursor, kind, heads[half:], end),
        ]
    return heads


def register_late(session: Session, segment: Segment, at: datetime) -> None:
    """Note a verified segment of late records; it is cold at once, as there are no rows of it."""
    session.execute(
        insert(ArchiveRow).values(
            **content_values(segment), state=COLD, source=LATE, source_fingerprint=0, archived_at=at
        )
    )


def forget_late(session: Session, of: TenantDay, ids: Sequence[str]) -> None:
    """Delete late records that the archive has."""
    session.execute(
        delete(LateRecordRow).where(*_of(of), LateRecordRow.id.in_([UUID(id_) for id_ in ids]))
    )


def _of(of: TenantDay) -> list[Any]:
    return [
        LateRecordRow.tenant_id == of.tenant_id,
        LateRecordRow.kind == of.kind.value,
        LateRecordRow.created_at >= of.start,
        LateRecordRow.created_at < of.end,
    ]
