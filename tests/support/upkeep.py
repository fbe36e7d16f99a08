"""The runs of periodic tasks, as tests need them: looked at, forgotten, made old."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.config import Settings
from app.store.session import Database


def runs_of(database: Database, name: str) -> int:
    """How often a task ran."""
    with database.unrestricted_unsafe() as session:
        statement = text("SELECT runs FROM task_runs WHERE name = :name")
        return session.execute(statement, {"name": name}).scalar() or 0


def forget_run(settings: Settings, name: str) -> None:
    """Make a task due, as if it had never run."""
    with _as_owner(settings) as session:
        session.execute(text("DELETE FROM task_runs WHERE name = :name"), {"name": name})


def beat_at(settings: Settings, *, age_s: float) -> None:
    """Write beat's heartbeat as if it had come some seconds ago."""
    forget_run(settings, "opsledger.heartbeat")
    with _as_owner(settings) as session:
        session.execute(
            text(
                "INSERT INTO task_runs SELECT 'opsledger.heartbeat', seen, seen, 1"
                " FROM (SELECT now() - make_interval(secs => :age) AS seen) AS heartbeat"
            ),
            {"age": age_s},
        )


@contextmanager
def _as_owner(settings: Settings) -> Iterator[Session]:
    database = Database.connect(settings.owner_database_url)
    with database.unrestricted_unsafe() as session:
        yield session
    database.close()
