"""Exporting: what was asked for is written to a file, one export after the other."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from ..config import Settings
from ..domain.access import FREE_FORM, WITHHELD
from ..domain.codec import dump_json
from ..domain.erasure import Subject, erase_json
from ..domain.exports import Export, ExportState
from ..domain.filters import Filters
from ..domain.identity import EPOCH
from ..errors import OpsledgerError, StorageFault
from ..store.cold import ColdStore
from ..store.everything import FILTERS, read_everything
from ..store.exports import every_export, next_open, note_export, outdated
from ..store.objects import Objects, file_digest
from ..store.places import open_archive, open_exports
from ..store.session import Database
from ..telemetry import EXPORTS, get_logger
from .export_files import open_writer

log = get_logger(__name__)

COLD_S_MAX = 300.0  # one query of the archive; nobody waits for it at a request


def run_exports(database: Database, settings: Settings) -> int:
    """Make the exports that wait, remove the files of old ones; returns how many were made.

    Args:
        database: of the maintenance role.
    """
    objects = open_exports(settings)
    _expire(database, objects, settings)
    made = 0
    while True:
        with database.unrestricted_unsafe() as session:
            export = next_open(session)
        if export is None:
            return made
        _make(database, settings, objects, export)
        made += 1


def _make(database: Database, settings: Settings, objects: Objects, export: Export) -> None:
    """Write one export; that it failed is noted with it, and the others go on."""
    begun = objects.scratch / f"{export.id}.{export.format.suffix}"
    begun.unlink(missing_ok=True)  # of a worker that died
    try:
        rows = _write(database, settings, export, begun)
        done = {"row_count": rows, "bytes": begun.stat().st_size, "sha256": file_digest(begun)}
        objects.delete(export.key)  # of a worker that died before it could say so
        objects.put(export.key, begun)
    except (OpsledgerError, OSError) as error:
        EXPORTS.labels("failed").inc()
        log.exception("export failed", export=str(export.id), error=repr(error))
        begun.unlink(missing_ok=True)
        _note(database, export, ExportState.FAILED, error=str(error), finished_at=_now())
        return
    EXPORTS.labels("ready").inc()
    _note(database, export, ExportState.READY, percent=100, finished_at=_now(), **done)


def _write(database: Database, settings: Settings, export: Export, path: Path) -> int:
    cold = ColdStore(open_archive(settings), timeout_s=COLD_S_MAX)
    filters = filters_of(export)
    writer = open_writer(path, export.kind, export.format)
    rows, percent = 0, -1
    newest = filters.until or _now()
    oldest = filters.since or EPOCH
    for page in _pages(database, export, filters, cold if export.include_archived else None):
        writer.write(page)
        rows += len(page)
        passed = (newest - page[-1]["created_at"]) / max(newest - oldest, timedelta.resolution)
        if percent != (percent := min(99, max(0, int(passed * 100)))):
            _note(database, export, ExportState.RUNNING, percent=percent, row_count=rows)
    writer.close()
    return rows


def _pages(
    database: Database, export: Export, filters: Filters, cold: ColdStore | None
) -> Iterator[list[dict[str, Any]]]:
    for page in read_everything(database, export.tenant_id, export.kind, filters, cold):
        yield [withheld(row) for row in page] if export.withhold else page


def withheld(row: dict[str, Any]) -> dict[str, Any]:
    """A record without what is free-form in it."""
    return {name: WITHHELD if name in FREE_FORM else value for name, value in row.items()}


def filters_of(export: Export) -> Filters:
    """The filters that an export was asked for with."""
    values = dict(export.filters)
    for name in ("since", "until"):
        if name in values:
            values[name] = datetime.fromisoformat(values[name])
    for name, value in values.items():
        if isinstance(value, list):
            values[name] = tuple(value)
    return FILTERS[export.kind](**values)


def _expire(database: Database, objects: Objects, settings: Settings) -> None:
    with database.unrestricted_unsafe() as session:
        old = outdated(session, _now() - timedelta(hours=settings.export_file_hours))
    for export in old:
        try:
            objects.delete(export.key)
        except StorageFault as error:  # the next time; those that wait are not to wait for it
            log.warning("an old export is not removed", export=str(export.id), error=repr(error))
            return
        _note(database, export, ExportState.EXPIRED)


def withdraw(database: Database, settings: Settings, tenant_id: UUID, subject: Subject) -> int:
    """Remove the files of a tenant's exports, which may name a person, and the person from what was
    asked for; returns how many files.
    """
    with database.unrestricted_unsafe() as session:
        exports = every_export(session, tenant_id)
    objects, removed = open_exports(settings), 0
    for export in exports:
        filters = erase_json(dump_json(export.filters).decode(), subject)
        if filters is not None:
            _note(database, export, export.state, filters=json.loads(filters))
        if export.state is ExportState.READY:
            objects.delete(export.key)
            _note(database, export, ExportState.EXPIRED)
            removed += 1
    return removed


def _note(database: Database, export: Export, state: ExportState, **values: Any) -> None:
    with database.unrestricted_unsafe() as session:
        note_export(session, export, state, **values)


def _now() -> datetime:
    return datetime.now(UTC)
