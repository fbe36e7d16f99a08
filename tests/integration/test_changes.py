"""Audit logs of a host's models: units of work, bulk statements, savepoints, and what is undone."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import create_engine, delete, insert, inspect, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    scoped_session,
    sessionmaker,
)

from app import acting, audit_changes
from tests.support.host import Host
from tests.support.samples import TENANT


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "items"
    __audited__ = True

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    count: Mapped[int] = mapped_column(default=0)


class Line(Base):
    __tablename__ = "lines"
    __audited__ = ("note",)

    order: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    note: Mapped[str]
    hidden: Mapped[str] = mapped_column(default="")


class Quiet(Base):
    __tablename__ = "quiet"

    id: Mapped[int] = mapped_column(primary_key=True)


Sessions = sessionmaker[Session]


@pytest.fixture
def host(tmp_path: Any) -> Iterator[Host]:
    """A host whose records stay on its disk."""
    made = Host(tmp_path / "data", {}, {})
    made.start()
    yield made
    made.stop()


@pytest.fixture
def sessions(tmp_path: Any) -> Sessions:
    """Sessions of a database in a file, audited."""
    engine = create_engine(f"sqlite:///{tmp_path / 'host.db'}")
    Base.metadata.create_all(engine)
    made = sessionmaker(engine)
    audit_changes(made)
    return made


def changes(host: Host) -> list[tuple[str, str, str, Any, Any]]:
    """What is on record: action, type, id, before, after."""
    return [
        (
            record.action,
            record.resource_type,
            record.resource_id,
            record.changes.get("before"),
            record.changes.get("after"),
        )
        for record in host.kept()
    ]


def item(number: int = 1, name: str = "a", count: int = 0) -> dict[str, Any]:
    return {"id": number, "name": name, "count": count}


def in_turn(sessions: Sessions, *steps: Callable[[Session], object]) -> None:
    """Each step in a transaction of its own."""
    with acting(tenant_id=TENANT):
        for step in steps:
            with sessions.begin() as session:
                step(session)


def test_units_of_work_leave_what_was_and_what_is(host: Host, sessions: Sessions) -> None:
    """Created, changed, deleted; what did not change leaves nothing."""

    def change(session: Session) -> None:
        session.get_one(Item, 1).name = "b"

    def nothing(session: Session) -> None:
        session.get_one(Item, 1).name = "b"

    in_turn(
        sessions,
        lambda session: session.add_all([Item(name="a"), Quiet(id=1)]),
        change,
        nothing,
        lambda session: session.delete(session.get_one(Item, 1)),
    )
    assert changes(host) == [
        ("create", "items", "1", None, item()),
        ("update", "items", "1", item(), item(name="b")),
        ("delete", "items", "1", item(name="b"), None),
    ]


def test_an_object_that_outlives_its_transaction_has_its_before(
    host: Host, sessions: Sessions
) -> None:
    """Expired by the commit, changed without being read."""
    with acting(tenant_id=TENANT), sessions() as session:
        kept = Item(name="a")
        session.add(kept)
        session.commit()
        kept.count = 7
        session.commit()
    assert changes(host)[1:] == [("update", "items", "1", item(), item(count=7))]


def test_only_the_attributes_that_count_are_on_record(host: Host, sessions: Sessions) -> None:
    """And keys of several columns are parted by slashes."""

    def hide(session: Session) -> None:
        session.get_one(Line, (7, 2)).hidden = "y"

    in_turn(
        sessions,
        lambda session: session.add(Line(order=7, number=2, note="n", hidden="x")),
        hide,
    )
    assert changes(host) == [("create", "lines", "7/2", None, {"note": "n"})]


def test_bulk_statements_leave_a_record_for_each_row(host: Host, sessions: Sessions) -> None:
    """Before and after, of the rows that really changed."""
    rows = [item(1), item(2, "b", 5), item(3, "c")]
    in_turn(
        sessions,
        lambda session: session.execute(insert(Item), rows),
        lambda session: session.execute(update(Item).where(Item.id < 3).values(count=5)),
        lambda session: session.query(Item).filter_by(name="c").update({"name": "d"}),
        lambda session: session.execute(delete(Item).where(Item.name == "a")),
        lambda session: session.execute(insert(Item).values(**item(9, "z"))),
    )
    found = changes(host)
    assert found[:3] == [("create", "items", str(row["id"]), None, row) for row in rows]
    assert found[3:] == [
        ("update", "items", "1", item(), item(count=5)),
        ("update", "items", "3", item(3, "c"), item(3, "d")),
        ("delete", "items", "1", item(count=5), None),
        ("create", "items", "9", None, item(9, "z")),
    ]


@pytest.mark.parametrize("of", ["sessionmaker", "scoped", "session"])
def test_the_old_bulk_methods_leave_a_record_for_each_row(
    host: Host, tmp_path: Any, of: str
) -> None:
    """Whatever was told to be watched; what did not change leaves nothing, nor do others."""
    engine = create_engine(f"sqlite:///{tmp_path / 'bulk.db'}")
    Base.metadata.create_all(engine)
    made = sessionmaker(engine)
    session = scoped_session(made)() if of == "scoped" else made()
    audit_changes({"sessionmaker": made, "scoped": scoped_session(made), "session": session}[of])
    with acting(tenant_id=TENANT), session:
        session.bulk_insert_mappings(Item, iter([item(1), item(2, "b"), {"name": "c"}]))
        session.bulk_insert_mappings(Quiet, [{"id": 1}])
        session.commit()
        session.bulk_update_mappings(Item, [{"id": 1, "count": 5}, {"id": 2, "name": "b"}])
        session.commit()
        known = session.get_one(Item, 2)
        session.expunge(known)
        known.name = "x"
        session.bulk_save_objects([known, Item(**item(7, "g")), Quiet(id=2)])
        session.commit()
        session.bulk_insert_mappings(Item, [item(8)])
        session.rollback()
        with suppress(IntegrityError):
            session.bulk_insert_mappings(Item, [item(1)])
        session.rollback()
    engine.dispose()
    assert changes(host) == [
        ("create", "items", "1", None, item()),
        ("create", "items", "2", None, item(2, "b")),
        ("create", "items", "unknown", None, {"name": "c"}),
        ("update", "items", "1", item(), item(count=5)),
        ("update", "items", "2", item(2, "b"), item(2, "x")),
        ("create", "items", "7", None, item(7, "g")),
    ]


def test_a_bulk_of_very_many_rows_is_told_by_its_number(host: Host, sessions: Sessions) -> None:
    """The first thousand one by one where they are new, none where they were changed."""
    rows = [item(number) for number in range(1_002)]
    in_turn(
        sessions,
        lambda session: session.bulk_insert_mappings(inspect(Item), rows),
        lambda session: session.bulk_update_mappings(
            inspect(Item), [{"id": row["id"], "count": 1} for row in rows]
        ),
    )
    kept = host.kept()
    assert len(kept) == 1_002
    assert [(one.action, one.resource_id, one.metadata["bulk_rows"]) for one in kept[-2:]] == [
        ("create", "many", 2),
        ("update", "many", 1_002),
    ]


def test_what_was_undone_leaves_nothing(host: Host, sessions: Sessions) -> None:
    """A transaction, or the part of it after a savepoint."""

    def partly(session: Session) -> None:
        session.add(Item(id=1, name="kept"))
        with suppress(RuntimeError), session.begin_nested():
            session.add(Item(id=2, name="undone"))
            session.flush()
            raise RuntimeError
        with session.begin_nested():
            session.add(Item(id=3, name="kept"))

    with suppress(RuntimeError), acting(tenant_id=TENANT), sessions.begin() as session:
        session.add(Item(name="undone"))
        session.flush()
        raise RuntimeError
    in_turn(sessions, partly)
    assert [(change[0], change[2]) for change in changes(host)] == [
        ("create", "1"),
        ("create", "3"),
    ]


def test_a_record_that_cannot_be_kept_breaks_no_commit(host: Host, sessions: Sessions) -> None:
    """As where nobody says whose change it is."""
    with sessions.begin() as session:
        session.add(Item(name="a"))
    with sessions() as session:
        assert session.execute(select(Item.name)).scalar_one() == "a"
    assert changes(host) == []
