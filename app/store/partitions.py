"""Partitions: one table per log and week, made before a record needs it."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from ..domain.records import Kind
from .columns import TABLES
from .session import Database

WEEK = timedelta(days=7)
# The names of a log's partitions, and of nothing else, lie between; they sort as their weeks do.
FIRST_PARTITION = """
    SELECT relname FROM pg_class
    WHERE relname > :log || '_0' AND relname < :log || '_:' AND relkind = 'r'
        AND relnamespace = 'public'::regnamespace
    ORDER BY relname LIMIT 1
"""


def week_of(moment: datetime) -> datetime:
    """The start, in UTC, of the week that a moment lies in."""
    day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=day.weekday())


def partition_name(kind: Kind, moment: datetime) -> str:
    """The partition that holds records of this kind and time (UTC), as the database names it."""
    year, week, _ = moment.isocalendar()
    return f"{TABLES[kind]}_{year}w{week:02d}"


class Partitions:
    """Makes partitions through ensure_partition() and remembers which are there."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: set[str] = set()

    def ensure(self, kind: Kind, moment: datetime) -> str | None:
        """The name of the partition for `moment` (UTC); made in a transaction of its own.

        None if that week is archived: its partition was dropped and is not made again.
        """
        name = partition_name(kind, moment)
        if name not in self._known:
            with self._database.unrestricted_unsafe() as session:
                made = session.execute(
                    text("SELECT ensure_partition(:parent, :moment)"),
                    {"parent": TABLES[kind], "moment": moment},
                ).scalar_one()
            if made is None:
                return None
            self._known.add(name)
        return name

    def ensure_ahead(self, now: datetime, weeks: int) -> list[str]:
        """Make the partitions of this week and the `weeks` that follow, of both logs."""
        moments = [now + WEEK * ahead for ahead in range(weeks + 1)]
        ensured = [self.ensure(kind, moment) for kind in Kind for moment in moments]
        return [name for name in ensured if name is not None]

    def forget(self) -> None:
        """Look again at the next call, since a partition was found missing."""
        self._known.clear()


def first_week(session: Session, log: str) -> datetime | None:
    """The start of the oldest partition of a log; None if it has none."""
    name = session.execute(text(FIRST_PARTITION), {"log": log}).scalar_one_or_none()
    if name is None:
        return None
    return week_named(name)


def hot_since(session: Session, kind: Kind, since: datetime | None) -> datetime:
    """The first moment from `since` on of which a log can have rows; rollups go back further."""
    first = first_week(session, TABLES[kind]) or datetime.max.replace(tzinfo=UTC)
    return first if since is None else max(first, since)


def week_named(partition: str) -> datetime:
    """The start of the week of a partition's name."""
    year, _, week = partition.rpartition("_")[2].partition("w")
    return datetime.fromisocalendar(int(year), int(week), 1).replace(tzinfo=UTC)


def list_partitions(session: Session) -> list[tuple[str, int]]:
    """Every partition with its size on disk, in bytes, indexes included."""
    rows = session.execute(
        text(
            "SELECT c.relname, pg_total_relation_size(c.oid) FROM pg_inherits i"
            " JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent"
            " WHERE p.relname IN ('action_logs', 'audit_logs') AND c.relkind = 'r'"
            " ORDER BY c.relname"
        )
    )
    return [(name, size) for name, size in rows]
