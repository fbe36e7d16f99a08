"""How the archive stands: what its last run came to, and since when runs fail."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from ..errors import StorageReason
from .archive_models import ArchiveStateRow

DONE, UNFINISHED, FAILED = "done", "unfinished", "failed"
DETAIL_CHARS_MAX = 1000


@dataclass(frozen=True, slots=True)
class ArchiveState:
    """What the last run came to.

    Args:
        outcome: done, unfinished (the next goes on) or failed (nothing was dropped for it).
        reason: why it failed.
        detail: the same in the words of what refused.
        waiting: what had to wait, and why.
        failing_s: for how long runs have failed; None while they do not.
    """

    outcome: str
    reason: StorageReason | None
    detail: str | None
    waiting: dict[str, str]
    ran_at: datetime
    failing_s: float | None


def note_run(session: Session, outcome: str, waiting: Mapping[str, str]) -> None:
    """Note a run that did not fail."""
    _note(session, outcome=outcome, waiting=dict(waiting), reason=None, detail=None)


def note_failure(session: Session, reason: StorageReason, detail: str) -> None:
    """Note a run that failed; since when they do stays as it is."""
    _note(
        session,
        outcome=FAILED,
        waiting={},
        reason=reason.value,
        detail=detail.replace("\0", "")[:DETAIL_CHARS_MAX],
    )


def read_archive_state(session: Session) -> ArchiveState | None:
    """How it stands; None if it never ran."""
    failing_s = func.extract("epoch", func.clock_timestamp() - ArchiveStateRow.failing_since)
    found = session.execute(select(ArchiveStateRow, failing_s)).first()
    if found is None:
        return None
    row, seconds = found
    return ArchiveState(
        outcome=row.outcome,
        reason=StorageReason(row.reason) if row.reason else None,
        detail=row.detail,
        waiting=row.waiting,
        ran_at=row.ran_at,
        failing_s=None if seconds is None else max(0.0, float(seconds)),
    )


def _note(session: Session, **values: object) -> None:
    now = func.clock_timestamp()
    failed = values["outcome"] == FAILED
    since = func.coalesce(ArchiveStateRow.failing_since, now) if failed else None
    made = insert(ArchiveStateRow).values(
        id=1, ran_at=now, failing_since=now if failed else None, **values
    )
    session.execute(
        made.on_conflict_do_update(
            index_elements=["id"], set_={**values, "ran_at": now, "failing_since": since}
        )
    )
