"""The analytics endpoints say what Python makes of the same records, whatever is folded of them."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.config import load_settings
from app.domain.identity import format_time
from app.domain.records import ActionRecord, ActionStatus, AuditRecord
from app.store.fold import fold
from app.store.session import Database
from tests.support.statistics import check_percentiles, percentile
from tests.support.world import Inhabitant, World, action, audit, next_page, opened, refused_fields

BASE = "/api/v1/logs/analytics"
NOW = datetime.now(UTC).replace(microsecond=0)
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0)
LENGTHS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}
TYPES = ("crm_create", "crm_get", "email_send")

Kept = tuple[Inhabitant, list[ActionRecord]]


def aside(age: timedelta, edge: timedelta) -> timedelta:
    """An age that is not so near to the edge of a default window that the clock decides."""
    return age + timedelta(hours=1) if abs(age - edge) < timedelta(minutes=30) else age


def some_actions(tenant: Inhabitant, chance: random.Random, count: int) -> list[ActionRecord]:
    """Actions of the last 20 days, most of them of today."""
    return [
        action(
            tenant.tenant_id,
            at=NOW - aside(timedelta(days=20 * chance.random() ** 6), timedelta(hours=24)),
            action_type=chance.choice(TYPES),
            provider_name=chance.choice(["hubspot", "zendesk"]),
            status=chance.choices(list(ActionStatus), [1, 20, 4, 2, 1])[0],
            execution_time_ms=int(chance.lognormvariate(4, 1.5)),
        )
        for _ in range(count)
    ]


@pytest.fixture
def tenant(world: World) -> Inhabitant:
    """A new tenant."""
    return world.settle()


@pytest.fixture(scope="module", params=["nothing folded", "half folded", "all folded"])
def kept(
    request: pytest.FixtureRequest,
    environment: dict[str, str],
    maintenance: Database,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Kept]:
    """A tenant with 3,000 actions on record, in 6 batches, which may ask as often as it likes."""
    unlimited = {"reads_per_minute_key": 0, "reads_per_minute_tenant": 0}
    data_dir = tmp_path_factory.mktemp("analytics")
    settings = replace(load_settings(environment), data_dir=data_dir, **unlimited)
    with opened(settings, maintenance) as world:
        tenant = world.settle()
        records = some_actions(tenant, random.Random(4), 3000)
        for first in range(0, len(records), 500):
            world.put(*records[first : first + 500])
            if request.param == "all folded" or (request.param == "half folded" and first == 1000):
                fold_waiting(world, tenant)
        yield tenant, records


def fold_waiting(world: World, tenant: Inhabitant) -> None:
    """Fold what waits of a tenant."""
    with world.maintenance.unrestricted_unsafe() as session:
        fold(session, tenant.tenant_id)


def cut(records: list[Any], since: datetime | None, until: datetime | None) -> list[Any]:
    """The records of a window."""
    return [
        record
        for record in records
        if (since is None or since <= record.created_at)
        and (until is None or record.created_at < until)
    ]


WINDOWS = [
    (None, None),
    (NOW - timedelta(hours=30, milliseconds=1234), None),
    (NOW - timedelta(days=15, minutes=7), NOW - timedelta(hours=2, milliseconds=7)),
    (MIDNIGHT - timedelta(days=11), MIDNIGHT - timedelta(days=9)),
    (NOW - timedelta(minutes=2), NOW - timedelta(minutes=1, milliseconds=1)),
]


def ask(tenant: Inhabitant, path: str, since: Any, until: Any, **more: Any) -> Any:
    """The answer for a window."""
    window = {"since": since, "until": until}
    query = {name: format_time(at) for name, at in window.items() if at} | more
    response = tenant.get(f"{BASE}/{path}", query_string=query)
    assert response.status_code == 200, response.get_data(as_text=True)
    return response.json


def test_actions_are_counted_by_type(kept: Kept) -> None:
    """The most frequent first."""
    tenant, actions = kept
    for since, until in WINDOWS:
        counts = Counter(record.action_type for record in cut(actions, since, until))
        expected = [
            {"action_type": name, "count": count}
            for name, count in sorted(counts.items(), key=lambda item: (-item[1], item))
        ]
        assert ask(tenant, "actions-by-type", since, until) == expected


def test_latency_is_of_successes_by_provider(kept: Kept) -> None:
    """Calls, average and percentiles, the most called first."""
    tenant, actions = kept
    for since, until in WINDOWS:
        times: dict[str, list[int]] = defaultdict(list)
        for record in cut(actions, since, until):
            if record.status is ActionStatus.SUCCESS:
                times[record.provider_name].append(record.execution_time_ms)
        shown = ask(tenant, "latency-by-provider", since, until)
        assert {one["provider_name"]: one["total_calls"] for one in shown} == {
            name: len(found) for name, found in times.items()
        }
        assert [one["total_calls"] for one in shown] == sorted(map(len, times.values()))[::-1]
        for one in shown:
            found = sorted(times[one["provider_name"]])
            assert one["average_execution_time_ms"] == round(sum(found) / len(found), 2)
            exact = {f"p{p}": percentile(found, p / 100) for p in (50, 95, 99)}
            check_percentiles(one["percentiles_ms"], exact)


@pytest.mark.parametrize("limit", [1, 7, 20])
def test_the_slowest_successes_are_found(kept: Kept, limit: int) -> None:
    """Of any window; of equally slow ones the youngest first."""
    tenant, actions = kept
    for since, until in WINDOWS:
        successes = [r for r in cut(actions, since, until) if r.status is ActionStatus.SUCCESS]
        ordered = sorted(successes, key=lambda record: (-record.execution_time_ms, -record.id.int))
        expected = [
            {
                "id": str(record.id),
                "action_type": record.action_type,
                "provider_name": record.provider_name,
                "execution_time_ms": record.execution_time_ms,
                "created_at": format_time(record.created_at),
            }
            for record in ordered[:limit]
        ]
        assert ask(tenant, "slowest", since, until, limit=limit) == expected


@pytest.mark.parametrize("bucket", LENGTHS)
@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"status": ["FAILURE", "timeout"]},
        {"action_type": ["crm_get"], "provider_name": ["zendesk"]},
        {"provider_name": ["nobody"]},
    ],
)
def test_a_series_has_every_bucket(kept: Kept, bucket: str, wanted: dict[str, list[str]]) -> None:
    """Also empty ones; the first and last have what lies within the window."""
    tenant, actions = kept
    length = LENGTHS[bucket]
    until = NOW - timedelta(milliseconds=250)
    since = max(until - 25 * length, NOW - timedelta(days=19)) + timedelta(milliseconds=17)
    lowered = {name: [one.lower() for one in some] for name, some in wanted.items()}
    matching = [
        record
        for record in cut(actions, since, until)
        if all(getattr(record, name) in some for name, some in lowered.items())
    ]
    shown = ask(tenant, "timeseries", since, until, bucket=bucket, **wanted)
    seconds = length.total_seconds()
    first = datetime.fromtimestamp(since.timestamp() // seconds * seconds, UTC)
    starts = [first]
    while starts[-1] + length < until:
        starts.append(starts[-1] + length)
    assert [point["start"] for point in shown] == [format_time(start) for start in starts]
    for start, point in zip(starts, shown, strict=True):
        inside = cut(matching, start, start + length)
        times = sorted(record.execution_time_ms for record in inside)
        by_status = dict(Counter(record.status.value for record in inside))
        assert point["count"] == len(inside)
        assert point["by_status"] == by_status
        assert point["errors"] == by_status.get("failure", 0) + by_status.get("timeout", 0)
        average = round(sum(times) / len(times), 2) if times else 0.0
        assert point["average_execution_time_ms"] == average
        exact = {f"p{p}": percentile(times, p / 100) for p in (50, 95, 99)}
        check_percentiles(point["percentiles_ms"], exact)


def test_a_series_is_by_hour_of_the_last_day_unless_asked_otherwise(kept: Kept) -> None:
    """And of the last hour by minute, and 30 days by day."""
    tenant, _ = kept
    for bucket, buckets in ((None, 24), ("hour", 24), ("minute", 60), ("day", 30)):
        shown = ask(tenant, "timeseries", None, None, **({"bucket": bucket} if bucket else {}))
        assert len(shown) in {buckets, buckets + 1}
        until = datetime.fromisoformat(shown[-1]["start"])
        assert abs(until - datetime.now(UTC)) <= LENGTHS[bucket or "hour"]


@pytest.mark.parametrize(
    ("query", "field", "rule"),
    [
        ("bucket=month", "bucket", "minute, hour, day"),
        ("bucket=minute&since=2024-01-01T00:00:00Z", "since", "at most 1500 buckets"),
        ("bucket=day&since=0001-01-01T00:00:00Z", "since", "at most 1500 buckets"),
        ("since=2999-01-01T00:00:00Z", "since", "not be after until"),
        ("status=won", "status", "Must be one of"),
        ("window=day", "window", "known are"),
    ],
)
def test_a_series_names_what_it_cannot_do(
    tenant: Inhabitant, query: str, field: str, rule: str
) -> None:
    """400 with the field and the rule."""
    found = refused_fields(tenant.get(f"{BASE}/timeseries?{query}"))
    assert any(name.startswith(field) and rule in said for name, said in found.items()), found


@pytest.mark.parametrize(("path", "most"), [("slowest", 20), ("user-activity", 1000)])
def test_limits_are_bounded(tenant: Inhabitant, path: str, most: int) -> None:
    """From one to the most that is kept."""
    for limit in (0, most + 1):
        assert f"1 to {most}" in refused_fields(tenant.get(f"{BASE}/{path}?limit={limit}"))["limit"]
    assert tenant.get(f"{BASE}/{path}?limit={most}").json == []


def test_failures_are_those_of_the_last_day_in_pages(kept: Kept) -> None:
    """Failures and timeouts, newest first, along the link to the end."""
    tenant, actions = kept
    failed = (ActionStatus.FAILURE, ActionStatus.TIMEOUT)
    day = cut(actions, datetime.now(UTC) - timedelta(hours=24), None)
    expected = [str(r.id) for r in sorted(day, key=lambda r: -r.id.int) if r.status in failed]
    assert len(expected) > 100
    found: list[str] = []
    at: str | None = f"{BASE}/failures?limit=70"
    while at:
        response = tenant.get(at)
        found += [one["id"] for one in response.json]
        at = next_page(response)
    assert found == expected
    since, until = NOW - timedelta(days=18), NOW - timedelta(hours=20)
    shown = ask(tenant, "failures", since, until, limit=1000)
    assert {one["id"] for one in shown} == {
        str(record.id) for record in cut(actions, since, until) if record.status in failed
    }


@pytest.mark.parametrize("folded", [0, 1, 2])
def test_user_activity_is_counted_by_user_action_and_resource_type(
    world: World, tenant: Inhabitant, folded: int
) -> None:
    """Of the last 7 days unless asked otherwise; records of nobody have no user."""
    chance = random.Random(9)
    records: list[AuditRecord] = [
        audit(
            tenant.tenant_id,
            at=NOW - aside(timedelta(days=20 * chance.random()), timedelta(days=7)),
            user_id=chance.choice(["ann", "Ann", "back\\slash", "\\N", None]),
            action=chance.choice(["create", "update"]),
            resource_type=chance.choice(["contact", "tenant"]),
        )
        for _ in range(900)
    ]
    for number, first in enumerate(range(0, 900, 450)):
        world.put(*records[first : first + 450])
        if number < folded:
            fold_waiting(world, tenant)
    week = (NOW - timedelta(days=7), None)
    for since, until in (*WINDOWS, (NOW - timedelta(days=18), NOW - timedelta(days=1)), week):
        asked = since or NOW - timedelta(days=7)
        counts = Counter(
            (record.user_id, record.action, record.resource_type)
            for record in cut(records, asked, until)
        )
        expected = [
            dict(zip(("user_id", "action", "resource_type"), key, strict=True))
            | {"action_count": count}
            for key, count in counts.items()
        ]
        shown = ask(tenant, "user-activity", asked, until)
        assert [one["action_count"] for one in shown] == sorted(counts.values())[::-1]
        assert sorted(map(str, shown)) == sorted(map(str, expected))
        assert ask(tenant, "user-activity", asked, until, limit=3) == shown[:3]
    assert ask(tenant, "user-activity", None, None) == ask(tenant, "user-activity", *week)


@pytest.mark.parametrize("bucket", LENGTHS)
def test_an_empty_window_has_empty_answers(kept: Kept, bucket: str) -> None:
    """Also where it lies on the joint of two units."""
    tenant, _ = kept
    for at in (MIDNIGHT.replace(day=1), NOW - timedelta(hours=1, milliseconds=3)):
        for path in ("actions-by-type", "latency-by-provider", "user-activity", "slowest"):
            assert ask(tenant, path, at, at) == []
        assert (
            sum(point["count"] for point in ask(tenant, "timeseries", at, at, bucket=bucket)) == 0
        )


def test_an_empty_tenant_has_empty_answers(tenant: Inhabitant) -> None:
    """And a series of zeros."""
    for path in ("actions-by-type", "failures", "latency-by-provider", "user-activity", "slowest"):
        assert tenant.get(f"{BASE}/{path}").json == []
    for point in tenant.get(f"{BASE}/timeseries").json:
        assert point["count"] == point["errors"] == point["average_execution_time_ms"] == 0
        assert point["by_status"] == {}
        assert point["percentiles_ms"] == {"p50": None, "p95": None, "p99": None}
