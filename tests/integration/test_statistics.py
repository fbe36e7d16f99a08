"""Statistics are exact over all records: equal to what Python makes of the same ones.

Only percentiles are not: they are within 3 %.
"""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.identity import format_time
from app.domain.records import ActionStatus
from tests.support.statistics import check, check_percentiles
from tests.support.world import World, action, audit

STATS = "/api/v1/logs/stats"
START = datetime.now(UTC).replace(microsecond=0) - timedelta(days=10)
TYPES = ("crm_create", "email_send", "knowledge_store", "calendar_get_event")


record_values = st.fixed_dictionaries(
    {
        "action_type": st.sampled_from(TYPES),
        "status": st.sampled_from(list(ActionStatus)),
        "provider_name": st.sampled_from(["hubspot", "Hubspot", "a b", "ü", "%"]),
        "execution_time_ms": st.integers(0, 50) | st.integers(0, 2**31 - 1),
        "at": st.integers(0, 9 * 24 * 3600).map(lambda s: START + timedelta(seconds=s)),
    }
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(chosen=st.lists(record_values, max_size=40))
def test_statistics_equal_a_recomputation(world: World, chosen: list[dict[str, Any]]) -> None:
    """Totals, average, percentiles and every count, for any records."""
    tenant = world.settle()
    records = [action(tenant.tenant_id, **values) for values in chosen]
    if records:
        world.put(*records)
    check(tenant.get(STATS).json, records)


def test_statistics_cover_every_row_and_not_a_page(world: World) -> None:
    """3,000 records in several partitions, and every window of them."""
    tenant = world.settle()
    chance = random.Random(20240115)
    records = [
        action(
            tenant.tenant_id,
            at=START + timedelta(seconds=chance.randrange(9 * 24 * 3600)),
            action_type=chance.choice(TYPES),
            status=chance.choice(list(ActionStatus)),
            provider_name=chance.choice(["hubspot", "zendesk"]),
            execution_time_ms=int(chance.lognormvariate(4, 2)),
        )
        for _ in range(3000)
    ]
    for first in range(0, len(records), 500):
        world.put(*records[first : first + 500])
    world.put(*(audit(tenant.tenant_id) for _ in range(10)))  # audits are not counted
    check(tenant.get(STATS).json, records)

    for days in ((None, 4), (4, None), (2, 7), (5, 5), (20, None)):
        since, until = (None if day is None else START + timedelta(days=day) for day in days)
        window = {"since": since, "until": until}
        query = "&".join(f"{name}={format_time(at)}" for name, at in window.items() if at)
        within = [
            record
            for record in records
            if (since is None or since <= record.created_at)
            and (until is None or record.created_at < until)
        ]
        check(tenant.get(f"{STATS}?{query}").json, within)


def test_an_empty_tenant_has_zeros_and_no_percentiles(world: World) -> None:
    """No division by zero, no null count."""
    assert world.settle().get(STATS).json == {
        "total_actions": 0,
        "successful_actions": 0,
        "failed_actions": 0,
        "average_execution_time_ms": 0.0,
        "actions_by_type": {},
        "actions_by_provider": {},
        "actions_by_status": {},
        "percentiles_ms": {"p50": None, "p95": None, "p99": None},
    }


def test_pending_and_retry_count_but_neither_succeed_nor_fail(world: World) -> None:
    """failed is failure and timeout; totals and the average are over all."""
    tenant = world.settle()
    world.put(
        *(
            action(tenant.tenant_id, status=status, execution_time_ms=ms)
            for status, ms in zip(ActionStatus, (1, 2, 4, 8, 17), strict=True)
        )
    )
    shown = tenant.get(STATS).json
    assert shown["total_actions"] == 5
    assert shown["successful_actions"] == 1
    assert shown["failed_actions"] == 2
    assert shown["average_execution_time_ms"] == pytest.approx(6.4)
    assert shown["actions_by_status"] == dict.fromkeys((s.value for s in ActionStatus), 1)


def test_a_sum_past_32_bits_is_exact(world: World) -> None:
    """The longest times the log can hold."""
    tenant = world.settle()
    world.put(*(action(tenant.tenant_id, execution_time_ms=2**31 - 1) for _ in range(5)))
    shown = tenant.get(STATS).json
    assert shown["average_execution_time_ms"] == 2**31 - 1
    check_percentiles(shown["percentiles_ms"], dict.fromkeys(("p50", "p95", "p99"), 2**31 - 1))
