"""A list's bytes say what its schema would say of the records, whatever they hold."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import marshmallow as ma
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.api.rendering import respond_series
from app.api.schemas import ActionLogSummarySchema, AuditLogSummarySchema, SeriesPointSchema
from app.domain.analytics import SeriesPoint
from app.domain.records import Record
from tests.support.strategies import clean_text, json_objects
from tests.support.world import World, action, audit

TEXTS = clean_text.filter(bool)
ACTIONS = st.fixed_dictionaries(
    {
        "provider_name": TEXTS.map(lambda text: text[:100]),
        "status": st.sampled_from(("success", "failure", "retry")),
        "error_message": st.none() | clean_text,
        "execution_time_ms": st.integers(0, 2**31 - 1),
    }
)
AUDITS = st.fixed_dictionaries(
    {
        "action": TEXTS.map(lambda text: text[:100]),
        "resource_id": TEXTS.map(lambda text: text[:255]),
        "user_id": st.none() | TEXTS.map(lambda text: text[:255]),
        "changes": json_objects,
        "ip_address": st.none() | st.just("2001:db8::1"),
    }
)


def read(document: str | bytes) -> Any:
    """JSON by the value of its numbers: jsonb writes 4.5e16 as 45000000000000000."""
    return json.loads(document, parse_int=Decimal, parse_float=Decimal)


def check(world: World, path: str, schema: ma.Schema, make: Any, values: list[Any]) -> None:
    """Put records, list them, and hold the answer against what the schema dumps."""
    who = world.settle()
    records: list[Record] = [make(who.tenant_id, **some) for some in values]
    if records:
        world.put(*records)
    response = who.get(path)
    assert response.content_type == "application/json"
    shown = read(response.get_data())
    newest_first = sorted(records, key=lambda record: record.id, reverse=True)
    assert shown == read(json.dumps(schema.dump(newest_first)))
    assert all(list(row) == list(schema.fields) for row in shown)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(values=st.lists(ACTIONS, max_size=4))
def test_action_lists_are_what_their_schema_dumps(world: World, values: list[Any]) -> None:
    """Times in milliseconds with Z, ids as text, null where there is nothing."""
    check(world, "/api/v1/logs/actions", ActionLogSummarySchema(many=True), action, values)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(values=st.lists(AUDITS, max_size=4))
def test_audit_lists_are_what_their_schema_dumps(world: World, values: list[Any]) -> None:
    """Changes of any JSON, also integers that no machine word holds."""
    check(world, "/api/v1/logs/audits", AuditLogSummarySchema(many=True), audit, values)


POINTS = st.builds(
    SeriesPoint,
    start=st.integers(0, 4_000_000_000).map(lambda second: datetime.fromtimestamp(second, UTC)),
    count=st.integers(0, 2**53),
    errors=st.integers(0, 2**53),
    by_status=st.dictionaries(st.sampled_from(("success", "failure")), st.integers(1, 2**53)),
    average_execution_time_ms=st.floats(0, 2**31).map(lambda ms: round(ms, 2)),
    percentiles_ms=st.fixed_dictionaries(
        {name: st.none() | st.floats(0, 2**31) for name in ("p50", "p95", "p99")}
    ),
)


@given(points=st.lists(POINTS, max_size=4))
def test_a_series_is_what_its_schema_dumps(points: list[SeriesPoint]) -> None:
    """Each point with all fields in the contract's order."""
    schema = SeriesPointSchema(many=True)
    shown = respond_series(points).get_data()
    assert read(shown) == read(json.dumps(schema.dump(points)))
    assert all(list(point) == list(schema.fields) for point in json.loads(shown))
