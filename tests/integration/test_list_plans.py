"""What a list costs: few partitions, few rows, no pass over a log, whatever a planner believes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine, text

from app.config import load_settings
from app.domain.identity import format_time
from app.domain.records import Kind
from app.pipeline.folding import fold_waiting
from app.store.partitions import Partitions, partition_name, week_of
from app.store.scan import GLANCE_ROWS
from app.store.session import Database
from tests.support.plans import Plan, plans_of
from tests.support.world import Inhabitant, World, action, audit, next_page, opened

ACTIONS, AUDITS = "/api/v1/logs/actions", "/api/v1/logs/audits"
NOW = datetime.now(UTC)
WEEK = timedelta(days=7)
PARTITIONS = 200  # of each log: nearly four years
WEEKS_FILLED = 6
STEP = timedelta(minutes=5)
RECORDS = WEEKS_FILLED * WEEK // STEP
PLANNING_MS_MAX = 2.0
FEW_ROWS = 600  # of two tenants, a day and some
COLUMNS = {
    Kind.ACTION: ("action_type", "provider_name", "status", "execution_time_ms", "operation_id"),
    Kind.AUDIT: ("user_id", "ip_address", "action", "resource_type", "resource_id"),
}


@dataclass(frozen=True)
class Archive:
    """A tenant with records of the last weeks, in logs of 200 partitions."""

    world: World
    who: Inhabitant
    database: Database
    owner_url: str

    def plans(self, path: str) -> list[Plan]:
        return plans_of(self.who, path, self.database)

    def learn(self, statements: tuple[str, ...]) -> None:
        """Have the owner say something of each partition that has records."""
        owner = create_engine(self.owner_url)
        with owner.begin() as connection:
            for kind, columns in COLUMNS.items():
                for leaf in names(kind, *range(WEEKS_FILLED + 1)):
                    for statement in statements:
                        for column in columns:
                            connection.execute(text(statement.format(leaf=leaf, column=column)))
        owner.dispose()


@pytest.fixture(scope="module")
def archive(
    make_migrated: Callable[[str], dict[str, str]],
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Archive]:
    """Six weeks of records every five minutes: two users and two addresses take turns and never
    meet, one provider was left after the first week, one value occurs twice.
    """
    urls = make_migrated("opsledger_plans")
    data_dir = tmp_path_factory.mktemp("plans")
    settings = load_settings({**urls, "REDIS_URL": redis_url, "OPSLEDGER_DATA_DIR": str(data_dir)})
    maintenance = Database.connect(urls["MAINTENANCE_DATABASE_URL"])
    partitions = Partitions(maintenance)
    for weeks_ago in range(-4, PARTITIONS - 4):
        for kind in Kind:
            partitions.ensure(kind, NOW - WEEK * weeks_ago)
    with opened(replace(settings, data_dir=data_dir / "app"), maintenance) as world:
        who, neighbour = world.settle(), world.settle()
        for tenant in (who, neighbour):
            for start in range(0, RECORDS, 500):
                numbers = range(start, min(start + 500, RECORDS))
                world.put(*(an_action(tenant, number) for number in numbers))
                world.put(*(an_audit(tenant, number) for number in numbers))
        assert fold_waiting(maintenance, batches=1, age_s=0) > 0
        database: Database = world.app.extensions["opsledger-service"].database
        yield Archive(world, who, database, urls["OWNER_DATABASE_URL"])
    maintenance.close()


def at(number: int) -> datetime:
    """When the record of a number was made; they end now."""
    return NOW - STEP * (RECORDS - number)


def an_action(tenant: Inhabitant, number: int) -> object:
    old = number < RECORDS // WEEKS_FILLED
    return action(
        tenant.tenant_id,
        at=at(number),
        provider_name="freshdesk" if old else ("hubspot", "gmail")[number % 2],
        action_type=("crm_get", "email_send")[number % 2],
        status="timeout" if number in (3000, 9000) else "success",
        execution_time_ms=number % 900,
        operation_id=f"op {number}" if number % 50 == 0 else None,
    )


def an_audit(tenant: Inhabitant, number: int) -> object:
    return audit(
        tenant.tenant_id,
        at=at(number),
        user_id=f"user {number % 2}",
        ip_address=f"192.0.2.{number % 2}",
        resource_id=f"c-{number % 700}",
        action="grant" if number in (3000, 9000) else "update",
    )


def names(kind: Kind, *weeks_ago: int) -> set[str]:
    """The partitions of some weeks; those to come are looked into as well, and empty."""
    return {partition_name(kind, NOW - WEEK * weeks) for weeks in weeks_ago}


AHEAD = range(-4, 0)
# Filters of which each is rare, absent, left long ago, or of two frequent values never together.
SPARSE = [
    f"{ACTIONS}?status=timeout",
    f"{ACTIONS}?provider_name=nobody",
    f"{ACTIONS}?provider_name=freshdesk",
    f"{ACTIONS}?provider_name=hubspot&action_type=email_send",
    f"{ACTIONS}?min_execution_time_ms=5000",
    f"{ACTIONS}?operation_id=op%2050",
    f"{AUDITS}?action=grant",
    f"{AUDITS}?user_id=nobody",
    f"{AUDITS}?user_id=user%200&ip_address=192.0.2.1",
    f"{AUDITS}?user_id=user%201&action=grant",
    f"{AUDITS}?ip_address=192.0.2.1&action=grant",
    f"{AUDITS}?resource_id=c-5",
    f"{AUDITS}/resource/contact/c-5",
    f"{AUDITS}/resource/ticket/c-5",
]
FREQUENT = [
    ACTIONS,
    f"{ACTIONS}?status=success",
    f"{ACTIONS}?provider_name=hubspot&action_type=crm_get",
    AUDITS,
    f"{AUDITS}?user_id=user%200",
    f"{AUDITS}?user_id=user%200&ip_address=192.0.2.0",
    f"{AUDITS}?action=update&resource_type=contact",
]


# What the planner may have been told; each is told on top of the one before.
LEARNT = {
    "nothing": (),
    "what is so": ("ANALYZE {leaf}",),
    "that there is one value of each": (
        "ALTER TABLE {leaf} ALTER COLUMN {column} SET (n_distinct = 1)",
        "ALTER TABLE {leaf} ALTER COLUMN {column} SET STATISTICS 1",
        "ANALYZE {leaf}",
    ),
    "that every value is another": (
        "ALTER TABLE {leaf} ALTER COLUMN {column} SET (n_distinct = -1)",
        "ANALYZE {leaf}",
    ),
}


def test_a_list_visits_few_rows_whatever_the_planner_believes(archive: Archive) -> None:
    """Of 12,000 rows it looks at those of the glance, and at few besides: without statistics, with
    the right ones and with wrong ones. Without any, all indexes of a small partition cost the
    same to the planner, and it may take another one in a week or two: as many rows as the tenant
    has there.
    """
    for learnt, statements in LEARNT.items():
        archive.learn(statements)
        slack = 1000 if statements else 4000
        for path in (*SPARSE, *FREQUENT):
            visited = sum(plan.visited for plan in archive.plans(path))
            assert visited <= GLANCE_ROWS + slack, (learnt, path, visited)


def test_no_list_passes_over_a_log(archive: Archive) -> None:
    """Partitions are read by an index, but for those of a few pages, such as a week just begun."""
    for path in (*SPARSE, *FREQUENT):
        for plan in archive.plans(path):
            assert max(plan.passed.values(), default=0) <= FEW_ROWS, (path, plan.passed)


@pytest.mark.parametrize("path", FREQUENT)
def test_a_list_stops_at_the_first_partition_that_fills_the_page(
    archive: Archive, path: str
) -> None:
    """This week's and those to come; last week's if this one has just begun."""
    join = "&" if "?" in path else "?"
    (plan,) = archive.plans(f"{path}{join}limit=20")
    kind = Kind.ACTION if path.startswith(ACTIONS) else Kind.AUDIT
    assert plan.touched <= names(kind, *AHEAD, 0, 1)


@pytest.mark.parametrize("path", [ACTIONS, AUDITS])
@pytest.mark.parametrize("rest", ["", "&operation_id=op%2050"])
def test_a_window_plans_only_its_own_partitions(archive: Archive, path: str, rest: str) -> None:
    """Bounds of time leave out every other week before anything is run."""
    since, until = week_of(NOW) - WEEK * 3, week_of(NOW) - WEEK * 2
    window = f"since={format_time(since)}&until={format_time(until)}"
    kind = Kind.ACTION if path == ACTIONS else Kind.AUDIT
    for plan in archive.plans(f"{path}?{window}{rest}"):
        assert plan.planned <= names(kind, 3)


@pytest.mark.parametrize("path", [ACTIONS, AUDITS])
def test_a_detail_opens_one_partition(archive: Archive, path: str) -> None:
    """An id tells its time, and so its week."""
    shown = archive.who.get(f"{path}?until={format_time(NOW - WEEK * 2)}&limit=1").json
    (plan,) = archive.plans(f"{path}/{shown[0]['id']}")
    kind = Kind.ACTION if path == ACTIONS else Kind.AUDIT
    assert plan.planned == {partition_name(kind, datetime.fromisoformat(shown[0]["created_at"]))}
    assert plan.visited == 1


@pytest.mark.parametrize("path", [ACTIONS, AUDITS])
def test_a_page_by_cursor_costs_what_the_first_page_costs(archive: Archive, path: str) -> None:
    """As many rows, however far down it is."""
    first = sum(plan.visited for plan in archive.plans(f"{path}?limit=50"))
    at: str | None = f"{path}?limit=1000"
    for _ in range(5):
        response = archive.who.get(at)
        at = next_page(response)
    assert at is not None
    deep = sum(plan.visited for plan in archive.plans(at.replace("limit=1000", "limit=50")))
    assert deep <= first * 1.2


@pytest.mark.alone
@pytest.mark.parametrize("path", [*SPARSE, *FREQUENT])
def test_planning_is_fast_in_a_log_of_200_partitions(archive: Archive, path: str) -> None:
    """Each statement, at its best of five, as the machine has other things to do."""
    runs = [archive.plans(path) for _ in range(5)]
    for plans in zip(*runs, strict=True):
        assert min(plan.planning_ms for plan in plans) < PLANNING_MS_MAX
