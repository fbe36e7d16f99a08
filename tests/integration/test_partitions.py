"""Partitions: one per log and week, made ahead and on demand, whoever asks first."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import make_url, text
from sqlalchemy.exc import InternalError

from app.domain.identity import EPOCH
from app.domain.records import Kind
from app.store.columns import TABLES
from app.store.partitions import WEEK, Partitions, list_partitions, partition_name
from app.store.session import Database

# Weeks that no other test uses, so that what is made here was not there.
SOME_MONDAY = datetime(2199, 7, 1, tzinfo=UTC)


@pytest.fixture
def database(environment: dict[str, str]) -> Iterator[Database]:
    """The shared database as the worker role."""
    database = Database.connect(environment["WORKER_DATABASE_URL"])
    yield database
    database.close()


def bounds(maintenance: Database, name: str) -> str:
    """What a partition holds, in Postgres' words."""
    with maintenance.unrestricted_unsafe() as session:
        statement = text(
            "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = :name"
        )
        return str(session.execute(statement, {"name": name}).scalar_one())


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize(
    "moment",
    [
        SOME_MONDAY,
        SOME_MONDAY + timedelta(days=6, hours=23, minutes=59, seconds=59, microseconds=999_999),
        datetime(2020, 12, 31, 23, 59, 59, tzinfo=UTC),  # week 53 of 2020
        datetime(2021, 1, 3, tzinfo=UTC),  # likewise
        datetime(2024, 12, 30, tzinfo=UTC),  # week 1 of 2025
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, tzinfo=UTC),
    ],
)
def test_a_partition_holds_the_week_of_its_moment(
    database: Database, maintenance: Database, kind: Kind, moment: datetime
) -> None:
    """From Monday to Monday in UTC, under the name of the ISO week."""
    name = Partitions(database).ensure(kind, moment)
    assert name == partition_name(kind, moment)
    monday = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    monday -= timedelta(days=moment.weekday())
    said = bounds(maintenance, name)
    assert f"FROM ('{monday:%Y-%m-%d} 00:00:00+00')" in said
    with maintenance.unrestricted_unsafe() as session:
        assert name in dict(list_partitions(session))


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    moment=st.integers(0, (datetime.max.replace(tzinfo=UTC) - EPOCH) // timedelta(seconds=1)).map(
        lambda seconds: EPOCH + timedelta(seconds=seconds)
    ),
    kind=st.sampled_from(Kind),
)
@example(moment=datetime(2026, 12, 31, 23, 30, tzinfo=UTC), kind=Kind.ACTION)
def test_python_and_postgres_agree_on_the_name_of_a_partition(
    maintenance: Database, moment: datetime, kind: Kind
) -> None:
    """Also in a session of another time zone; rolled back, so that nothing stays."""
    with maintenance.engine.connect() as connection:
        connection.execute(text("SET TIME ZONE 'Pacific/Kiritimati'"))
        named = connection.execute(
            text("SELECT ensure_partition(:parent, :moment)"),
            {"parent": TABLES[kind], "moment": moment},
        ).scalar_one()
        connection.rollback()
    assert named == partition_name(kind, moment)


def test_many_who_need_the_same_new_partition_all_get_it(database: Database) -> None:
    """The first makes it, the others wait and find it, in any process and at any moment."""
    for week in range(1, 21):
        moment, together = SOME_MONDAY + WEEK * week, threading.Barrier(6)

        def ensure(
            number: int, moment: datetime = moment, together: threading.Barrier = together
        ) -> str:
            own = Partitions(database)  # each remembers nothing, like a process of its own
            together.wait()
            return own.ensure(list(Kind)[number % 2], moment)

        with ThreadPoolExecutor(6) as pool:
            made = list(pool.map(ensure, range(6)))
        assert made == [partition_name(kind, moment) for kind in list(Kind) * 3]


def test_partitions_are_made_ahead_of_time(database: Database, maintenance: Database) -> None:
    """This week's and those of the weeks ahead, of both logs."""
    now = SOME_MONDAY + WEEK * 30 + timedelta(days=3)
    names = Partitions(database).ensure_ahead(now, 3)
    moments = [now + WEEK * week for week in range(4)]
    assert names == [partition_name(kind, moment) for kind in Kind for moment in moments]
    with maintenance.unrestricted_unsafe() as session:
        assert set(names) <= set(dict(list_partitions(session)))


def test_a_partition_that_is_there_is_left_alone(database: Database, maintenance: Database) -> None:
    """Asking again changes nothing."""
    moment = SOME_MONDAY + WEEK * 40
    name = Partitions(database).ensure(Kind.AUDIT, moment)
    with maintenance.unrestricted_unsafe() as session:
        before = session.execute(text(f"SELECT '{name}'::regclass::oid")).scalar_one()
    assert Partitions(database).ensure(Kind.AUDIT, moment + timedelta(hours=1)) == name
    with maintenance.unrestricted_unsafe() as session:
        after = session.execute(text(f"SELECT '{name}'::regclass::oid")).scalar_one()
    assert before == after


def test_a_partition_has_the_key_and_indexes_of_its_log(
    database: Database, maintenance: Database
) -> None:
    """Attached, not copied: what the parent has, every partition has."""
    for kind in Kind:
        name = Partitions(database).ensure(kind, SOME_MONDAY)
        with maintenance.unrestricted_unsafe() as session:
            statement = text(
                "SELECT count(*) FROM pg_index i JOIN pg_inherits h ON h.inhparent = i.indexrelid"
                " JOIN pg_index leaf ON leaf.indexrelid = h.inhrelid"
                " WHERE i.indrelid = CAST(:parent AS regclass)"
                " AND leaf.indrelid = CAST(:leaf AS regclass)"
            )
            shared = session.execute(statement, {"parent": TABLES[kind], "leaf": name}).scalar_one()
            own = session.execute(
                text("SELECT count(*) FROM pg_index WHERE indrelid = CAST(:parent AS regclass)"),
                {"parent": TABLES[kind]},
            ).scalar_one()
        assert shared == own >= 2


@pytest.mark.parametrize("parent", ["tenants", "api_keys", "action_logs; DROP TABLE x", "", "x"])
def test_only_the_two_logs_have_partitions(database: Database, parent: str) -> None:
    """The function runs as the owner, so it takes no other name."""
    with (
        pytest.raises(InternalError, match="no such log"),
        database.unrestricted_unsafe() as session,
    ):
        session.execute(text("SELECT ensure_partition(:parent, now())"), {"parent": parent})


def test_the_web_role_makes_no_partitions(environment: dict[str, str]) -> None:
    """What serves queries changes no schema."""
    url = make_url(environment["DATABASE_URL"]).set(drivername="postgresql")
    connection = psycopg2.connect(url.render_as_string(hide_password=False))
    with connection.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
        cursor.execute("SELECT ensure_partition('action_logs', now())")
    connection.close()


def test_a_partition_is_found_again_after_it_was_forgotten(database: Database) -> None:
    """forget() makes it look, and not believe."""
    partitions = Partitions(database)
    moment = SOME_MONDAY + WEEK * 50
    name = partitions.ensure(Kind.ACTION, moment)
    partitions.forget()
    assert partitions.ensure(Kind.ACTION, moment) == name
