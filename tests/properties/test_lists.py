"""Whatever the records, the filters, the page and the state of the fold: a list is what matches."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.filters import ActionFilter, AuditFilter, Page
from app.domain.records import ActionRecord, AuditRecord, Record
from app.pipeline.folding import fold_waiting
from app.pipeline.persist import Persister
from app.store import rollup_map, scan
from app.store.action_logs import ActionLogRepository
from app.store.audit_logs import AuditLogRepository
from app.store.session import Database
from tests.support.world import World, action, audit, lines_of

NOW = datetime.now(UTC).replace(microsecond=0)
MOMENTS = st.integers(0, 40 * 24 * 12).map(lambda steps: NOW - timedelta(minutes=5) * steps)
PROVIDERS, TYPES = ("hubspot", "gmail"), ("crm_get", "email_send")
STATUSES, TIMES = ("success", "failure"), (5, 500, 5000)
USERS, ADDRESSES, IDS = ("ann", "bob"), ("192.0.2.1", "192.0.2.2"), ("c-1", "c-2")


def some(values: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    """Some of the values, often none, and sometimes one that never occurs."""
    chosen = st.lists(st.sampled_from((*values, "absent")), max_size=2, unique=True)
    return st.just(()) | chosen.map(lambda names: tuple(sorted(names)))


def one(values: tuple[str, ...]) -> st.SearchStrategy[str | None]:
    """One of the values, often none."""
    return st.none() | st.sampled_from((*values, "absent"))


ACTIONS = st.lists(
    st.fixed_dictionaries(
        {
            "at": MOMENTS,
            "provider_name": st.sampled_from(PROVIDERS),
            "action_type": st.sampled_from(TYPES),
            "status": st.sampled_from(STATUSES),
            "execution_time_ms": st.sampled_from(TIMES),
        }
    ),
    max_size=40,
)
AUDITS = st.lists(
    st.fixed_dictionaries(
        {
            "at": MOMENTS,
            "user_id": st.sampled_from(USERS),
            "ip_address": st.sampled_from(ADDRESSES),
            "resource_id": st.sampled_from(IDS),
            "action": st.sampled_from(("update", "grant")),
        }
    ),
    max_size=40,
)
WINDOWS = {"since": st.none() | MOMENTS, "until": st.none() | MOMENTS}
ACTION_FILTERS = st.builds(
    ActionFilter,
    provider_name=some(PROVIDERS),
    action_type=some(TYPES),
    status=some(STATUSES),
    min_execution_time_ms=st.none() | st.sampled_from((0, 6, 500, 4999, 9000)),
    **WINDOWS,
)
AUDIT_FILTERS = st.builds(
    AuditFilter,
    user_id=one(USERS),
    ip_address=one(ADDRESSES),
    resource_id=one(IDS),
    action=one(("update", "grant")),
    resource_type=one(("contact",)),
    **WINDOWS,
)
SHARES = st.sampled_from((0.0, 0.5, 1.0))  # of the records are folded


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds so small that a few records take every step."""
    for name, value in {
        "GLANCE_ROWS": 3,
        "INDEX_LOOK_ROWS": 6,
        "MAP_LOOK_ROWS": 8,
        "WIDE_ROWS": 2,
        "WINDOWS_AT_ONCE": 2,
    }.items():
        monkeypatch.setattr(scan, name, value)
    monkeypatch.setattr(rollup_map, "UNIT_ROWS", 1)
    monkeypatch.setattr(rollup_map, "SCAN_ROWS", 400)


@pytest.fixture(scope="module")
def worker_side(environment: dict[str, str]) -> Iterator[Database]:
    """The shared database as the worker role."""
    database = Database.connect(environment["WORKER_DATABASE_URL"])
    yield database
    database.close()


def put(world: World, worker_side: Database, records: list[Any], folded: float, who: UUID) -> None:
    """Commit records in batches of five, and fold a share of them."""
    cut = round(len(records) * folded)
    for part in (records[:cut], records[cut:]):
        for start in range(0, len(part), 5):
            batch = part[start : start + 5]
            Persister(worker_side).persist(uuid4(), lines_of(*batch))
        if part and part[0] is records[0] and cut:
            fold_waiting(world.maintenance, batches=1, age_s=0)


def matches(record: Record, filters: ActionFilter | AuditFilter) -> bool:
    """What the filters say of a record, in Python."""
    if filters.since and record.created_at < filters.since:
        return False
    if filters.until and record.created_at >= filters.until:
        return False
    if isinstance(filters, ActionFilter):
        assert isinstance(record, ActionRecord)
        names = ("provider_name", "action_type", "status")
        least = filters.min_execution_time_ms
        return all(
            not getattr(filters, name) or getattr(record, name) in getattr(filters, name)
            for name in names
        ) and (least is None or record.execution_time_ms >= least)
    assert isinstance(record, AuditRecord)
    exact = ("user_id", "ip_address", "resource_id", "action", "resource_type")
    return all(getattr(filters, name) in (None, getattr(record, name)) for name in exact)


def check(world: World, who: UUID, records: list[Any], filters: Any, limit: int, skip: int) -> None:
    """Hold pages by offset and by cursor against the records in Python."""
    kind = ActionLogRepository if isinstance(filters, ActionFilter) else AuditLogRepository
    wanted = sorted((r for r in records if matches(r, filters)), key=lambda r: r.id, reverse=True)
    expected = [record.id for record in wanted]
    database: Database = world.app.extensions["opsledger-service"].database
    with database.tenant(who, snapshot=True) as session:
        repository = kind(session, who)
        by_offset = repository.search(filters, Page(limit, skip=skip))
        assert [row.id for row in by_offset] == expected[skip : skip + limit]
        seen: list[UUID] = []
        while page := repository.search(filters, Page(limit, after=seen[-1] if seen else None)):
            seen += [row.id for row in page]
        assert seen == expected


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    values=ACTIONS,
    filters=ACTION_FILTERS,
    limit=st.integers(1, 12),
    skip=st.integers(0, 12),
    folded=SHARES,
)
def test_a_list_of_actions_is_what_matches(
    world: World,
    worker_side: Database,
    values: list[dict[str, Any]],
    filters: ActionFilter,
    limit: int,
    skip: int,
    folded: float,
) -> None:
    """In the order of the key, none missing, none twice, whichever steps found them."""
    who = world.settle().tenant_id
    records = [action(who, **one) for one in values]
    put(world, worker_side, records, folded, who)
    check(world, who, records, filters, limit, skip)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    values=AUDITS,
    filters=AUDIT_FILTERS,
    limit=st.integers(1, 12),
    skip=st.integers(0, 12),
    folded=SHARES,
)
def test_a_list_of_audits_is_what_matches(
    world: World,
    worker_side: Database,
    values: list[dict[str, Any]],
    filters: AuditFilter,
    limit: int,
    skip: int,
    folded: float,
) -> None:
    """Likewise, by exact indexes and by windows."""
    who = world.settle().tenant_id
    records = [audit(who, **one) for one in values]
    put(world, worker_side, records, folded, who)
    check(world, who, records, filters, limit, skip)
