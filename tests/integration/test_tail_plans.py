"""What a tail and a search make Postgres do: indexes under row security, and no more partitions."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.orm import Session

from app.domain.filters import ActionFilter, Page
from app.domain.records import Kind
from app.domain.tail import START
from app.store.action_logs import ActionLogRepository
from app.store.session import Database
from app.store.summaries import list_waiting
from tests.support.world import World, action

MONDAY = datetime(2020, 9, 7, tzinfo=UTC)  # weeks that no other test uses


@contextmanager
def recorded(engine: Any) -> Iterator[list[tuple[str, Any]]]:
    """The statements that are sent meanwhile."""
    sent: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        sent.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine, "before_cursor_execute", note)


def plans_of(
    database: Database,
    tenant_id: Any,
    ask: Callable[[Session], object],
    table: str = "action_logs",
) -> list[str]:
    """The plans of the statements on a table that a question makes, as the web role."""
    with recorded(database.engine) as sent, database.tenant(tenant_id) as session:
        ask(session)
    plans = []
    with database.tenant(tenant_id) as session:
        session.execute(text("SET LOCAL enable_seqscan = off"))  # or small tables would be scanned
        cursor = session.connection().connection.cursor()
        for statement, parameters in sent:
            if f"FROM {table}" in statement:
                cursor.execute(f"EXPLAIN {statement}", parameters)
                plans.append("\n".join(line for (line,) in cursor.fetchall()))
    assert plans
    return plans


@pytest.fixture
def web(environment: dict[str, str]) -> Iterator[Database]:
    """The shared database as the web role."""
    database = Database(create_engine(environment["DATABASE_URL"]))
    yield database
    database.close()


def test_a_tail_reads_the_rows_of_its_batches_by_index_in_their_weeks_alone(
    world: World, web: Database
) -> None:
    """Three weeks are there, and a page of the first is of one."""
    tenant_id = world.settle().tenant_id
    for week in range(3):
        at = MONDAY + timedelta(weeks=week)
        world.put(*(action(tenant_id, at=at + timedelta(hours=n)) for n in range(40)))

    def read(session: Session) -> object:
        return ActionLogRepository(session, tenant_id).tail(ActionFilter(), START, 30)

    for plan in plans_of(web, tenant_id, read):
        assert "Seq Scan" not in plan
        assert re.search(r"using action_logs_2020w37_(batch_id_idx|pkey)", plan), plan
        assert set(re.findall(r" on (action_logs_\d+w\d+)", plan)) == {"action_logs_2020w37"}


def test_a_search_goes_by_the_key_and_opens_the_weeks_of_its_window(
    world: World, web: Database
) -> None:
    """Conditions that no index serves are tried on rows that the key's order brings."""
    tenant_id = world.settle().tenant_id
    for week in range(3):
        world.put(action(tenant_id, at=MONDAY + timedelta(weeks=week)))
    filters = ActionFilter(q="x", since=MONDAY, until=MONDAY + timedelta(days=1))

    def look(session: Session) -> object:
        return ActionLogRepository(session, tenant_id).search_by_content(
            filters, Page(10), seconds=1
        )

    (plan,) = plans_of(web, tenant_id, look)
    assert "Index Scan Backward using action_logs_2020w37_pkey" in plan
    assert "Seq Scan" not in plan
    assert "Sort" not in plan
    assert set(re.findall(r" on (action_logs_\d+w\d+)", plan)) == {"action_logs_2020w37"}


def test_what_waits_is_found_by_its_place_however_many_batches_are_folded(
    world: World, web: Database
) -> None:
    """Every list by the map and every statistic asks for it."""
    who = world.settle()
    world.put(action(who.tenant_id, at=MONDAY))
    (plan,) = plans_of(
        web,
        who.tenant_id,
        lambda session: list(list_waiting(session, who.tenant_id, Kind.ACTION, {})),
        "log_batches",
    )
    assert re.search(r"Index Cond: .*\bseq > ", plan), plan
