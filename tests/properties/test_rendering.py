"""A list's bytes say what its schema would have said, whatever the rows hold."""

import json
from datetime import UTC, datetime, timedelta, timezone

import marshmallow as ma
from hypothesis import given
from hypothesis import strategies as st

from app.api.rendering import Row, respond_list
from app.api.schemas import ActionLogSummarySchema, AuditLogSummarySchema
from app.domain.logs import ActionLogSummary, AuditLogSummary
from tests.support.strategies import clean_text, json_objects

MOMENTS = st.datetimes(
    datetime(1970, 1, 2),  # noqa: DTZ001 - hypothesis adds the zone
    datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-9, minutes=-30))]),
)
ACTIONS = st.builds(
    ActionLogSummary,
    id=st.uuids(),
    tenant_id=st.uuids(),
    action_type=clean_text,
    provider_name=clean_text,
    status=clean_text,
    error_message=st.none() | clean_text,
    execution_time_ms=st.integers(0, 2**31 - 1),
    created_at=MOMENTS,
)
AUDITS = st.builds(
    AuditLogSummary,
    id=st.uuids(),
    tenant_id=st.uuids(),
    action=clean_text,
    resource_type=clean_text,
    resource_id=clean_text,
    user_id=st.none() | clean_text,
    changes=json_objects,
    ip_address=st.none() | clean_text,
    created_at=MOMENTS,
)


def same(rows: list[Row], schema: ma.Schema) -> None:
    """The answer's body, its media type, and the order of each row's fields."""
    response = respond_list(rows, schema, {"X-Of": "test"})
    assert response.content_type == "application/json"
    assert response.headers["X-Of"] == "test"
    shown = json.loads(response.get_data())
    assert shown == json.loads(json.dumps(schema.dump(rows)))
    assert all(list(row) == list(schema.fields) for row in shown)


@given(rows=st.lists(ACTIONS, max_size=5))
def test_action_lists_are_what_their_schema_dumps(rows: list[Row]) -> None:
    """Times in milliseconds with Z, ids as text, null where there is nothing."""
    same(rows, ActionLogSummarySchema(many=True))


@given(rows=st.lists(AUDITS, max_size=5))
def test_audit_lists_are_what_their_schema_dumps(rows: list[Row]) -> None:
    """Changes of any JSON, also integers that no machine word holds."""
    same(rows, AuditLogSummarySchema(many=True))
