"""An archive to test with, in a database of its own: a run drops the weeks of all tenants."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import text

from app.pipeline.archiving import Archiver, Report
from app.store.objects import LocalObjects, Objects
from app.store.session import Database
from tests.support.world import Inhabitant, World, eventually

FIRST_WEEK = datetime(2020, 1, 6, tzinfo=UTC)
WEEKS = count()


def unused_week() -> datetime:
    """A Monday long ago that no other test of this run has; weeks between two are left out."""
    return FIRST_WEEK + timedelta(weeks=3 * next(WEEKS))


@dataclass(frozen=True)
class Archive:
    """A world whose old weeks may be archived, and where they go: a folder, unless it is said."""

    world: World
    maintenance: Database
    root: Path
    place: Objects | None = None

    @property
    def objects(self) -> Objects:
        """Where its objects are."""
        return self.place or LocalObjects(self.root)

    def settle(self) -> Inhabitant:
        """A new tenant."""
        return self.world.settle()

    def archiver(self, **options: Any) -> Archiver:
        """One that archives what is older than 90 days."""
        objects = options.pop("objects", None) or self.objects
        return Archiver(self.maintenance, objects, **{"hot_days": 90, **options})

    def run(self, **options: Any) -> Report:
        """A run that has the archive to itself; a killed one may still hold its lock."""
        reports: list[Report] = []

        def ran() -> bool:
            report = self.archiver(**options).run()
            reports.extend([] if report is None else [report])
            return report is not None

        eventually(ran)
        return reports[0]

    def ask(self, statement: str, **values: Any) -> list[Any]:
        """The rows of a query, as the maintenance role."""
        with self.maintenance.unrestricted_unsafe() as session:
            return list(session.execute(text(statement), values))

    def hot(self, tenant_id: UUID, log: str = "action_logs") -> int:
        """How many rows a tenant has in a log."""
        statement = f"SELECT count(*) FROM {log} WHERE tenant_id = :tenant_id"
        return int(self.ask(statement, tenant_id=tenant_id)[0][0])

    def segments(self, tenant_id: UUID) -> list[Any]:
        """What is registered of a tenant, oldest first."""
        statement = "SELECT * FROM archives WHERE tenant_id = :tenant_id ORDER BY kind, day, id"
        return self.ask(statement, tenant_id=tenant_id)

    def files(self, tenant_id: UUID) -> list[Path]:
        """The tenant's files, registered or not."""
        return sorted((self.root / f"tenant_id={tenant_id}").rglob("*.parquet"))

    def partitions(self) -> set[str]:
        """The names of all partitions."""
        statement = "SELECT relname FROM pg_class WHERE relname ~ '_logs_[0-9]+w[0-9]+$'"
        return {name for (name,) in self.ask(statement)}


def days_of(week: datetime, days: int = 7) -> Iterator[datetime]:
    """A moment on each day of a week."""
    for day in range(days):
        yield week + timedelta(days=day, hours=10, minutes=7, seconds=day)
