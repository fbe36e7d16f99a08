"""Capacity: what storage holds, how fast it grows, when it is full, and what to be warned of."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import Settings
from ..domain.records import Kind
from ..domain.storage import Disk, Hot, Usage, forecast
from ..store.archive_state import ArchiveState, read_archive_state
from ..store.partitions import WEEK
from ..store.storage import (
    Cold,
    cold_by_month,
    database_bytes,
    hot_bytes,
    rows_by_month,
    rows_per_day,
)

DATABASE, ARCHIVE, DATA = "the database's disk", "the archive's disk", "this host's data disk"


@dataclass(frozen=True, slots=True)
class StorageReport:
    """How storage stands.

    Attributes:
        warnings: what the settings' thresholds say of the disks.
    """

    usages: Sequence[Usage]
    hot: Mapping[Kind, Hot]
    rows_per_day: Mapping[Kind, float]
    disks: Sequence[Disk]
    warnings: Sequence[str]
    archive: ArchiveState | None


def measure(session: Any, settings: Settings) -> StorageReport:
    """How storage stands; rows are told by rollups and the register, so no log is read.

    Args:
        session: of the maintenance role, a snapshot.
    """
    rows, cold = rows_by_month(session), cold_by_month(session)
    hot = {kind: _hot(session, kind, rows, cold) for kind in Kind}
    state, per_day = read_archive_state(session), rows_per_day(session)
    database = _database(settings, database_bytes(session), hot, per_day, state)
    disks = [database, *_files(settings, cold, per_day)]
    limits = (settings.storage_warn_days, settings.storage_warn_percent)
    return StorageReport(
        usages=[
            _usage(key, rows.get(key, 0), cold.get(key, Cold()), hot) for key in _keys(rows, cold)
        ],
        hot=hot,
        rows_per_day=per_day,
        disks=disks,
        warnings=[warning for disk in disks for warning in disk.warnings(*limits)],
        archive=state,
    )


def _keys(rows: Mapping[Any, int], cold: Mapping[Any, Cold]) -> list[Any]:
    return sorted({*rows, *cold}, key=lambda key: (key[2], key[0], key[1]))


def _hot(session: Any, kind: Kind, rows: Mapping[Any, int], cold: Mapping[Any, Cold]) -> Hot:
    heap, index = hot_bytes(session, kind)
    here = sum(
        max(0, rows.get(key, 0) - cold.get(key, Cold()).rows) + cold.get(key, Cold()).restored_rows
        for key in {*rows, *cold}
        if key[1] is kind
    )
    return Hot(kind=kind, rows=here, heap_bytes=heap, index_bytes=index)


def _usage(key: Any, rows: int, cold: Cold, hot: Mapping[Kind, Hot]) -> Usage:
    tenant_id, kind, month = key
    of_log, here = hot[kind], max(0, rows - cold.rows)
    share = (here + cold.restored_rows) / of_log.rows if of_log.rows else 0.0
    return Usage(
        tenant_id=tenant_id,
        kind=kind,
        month=month,
        hot_rows=here,
        heap_bytes=round(of_log.heap_bytes * share),
        index_bytes=round(of_log.index_bytes * share),
        cold_rows=cold.rows,
        cold_bytes=cold.bytes,
        restored_rows=cold.restored_rows,
    )


def _database(
    settings: Settings,
    used: int,
    hot: Mapping[Kind, Hot],
    per_day: Mapping[Kind, float],
    state: ArchiveState | None,
) -> Disk:
    growth = sum(hot[kind].row_bytes * rows for kind, rows in per_day.items())
    logs = sum(one.bytes for one in hot.values())
    # As much as comes is archived once the window is full, a week at a time; if that works.
    works = state is not None and state.reason is None
    full_window = growth * (settings.hot_days + WEEK.days)
    return forecast(
        DATABASE,
        used=used,
        total=settings.storage_bytes or None,
        per_day=growth,
        levels_off_at=used - logs + max(full_window, logs) if works else None,
    )


def _files(
    settings: Settings, cold: Mapping[Any, Cold], per_day: Mapping[Kind, float]
) -> list[Disk]:
    growth = 0.0
    for kind, rows in per_day.items():
        here = [one for key, one in cold.items() if key[1] is kind]
        total = sum(one.rows for one in here)
        growth += rows * sum(one.bytes for one in here) / total if total else 0.0
    if settings.archive_is_remote:
        used = sum(one.bytes for one in cold.values())
        return [
            forecast("the bucket", used=used, total=None, per_day=growth),
            _disk(DATA, settings.data_dir, 0.0),
        ]
    return [_disk(ARCHIVE, settings.archive_dir, growth), _disk(DATA, settings.data_dir, 0.0)]


def _disk(name: str, folder: Path, per_day: float) -> Disk:
    """The disk of a folder, or of what it will be made in."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    usage = shutil.disk_usage(there)
    # What is kept for root is no room of ours.
    return forecast(name, used=usage.used, total=usage.used + usage.free, per_day=per_day)
