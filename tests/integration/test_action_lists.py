"""The action log endpoints: each filter, the order, the fields of the contract, the detail."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice

import pytest

from app.domain.identity import format_time
from app.domain.records import BUILTIN_ACTION_TYPES, ActionRecord, ActionStatus
from tests.support.world import Inhabitant, World, action, problem_of, refused_fields

ACTIONS = "/api/v1/logs/actions"
FAILURES = f"{ACTIONS}/failed/recent"
SUMMARY_FIELDS = [
    *("id", "tenant_id", "action_type", "provider_name", "status", "error_message"),
    *("execution_time_ms", "created_at"),
]
DETAIL_FIELDS = [
    *SUMMARY_FIELDS,
    *("request_payload", "response_data", "operation_id", "metadata", "updated_at"),
]
START = datetime.now(UTC).replace(microsecond=0) - timedelta(days=9)  # spans two partitions

Predicate = Callable[[ActionRecord], bool]


def shelf(tenant: Inhabitant) -> list[ActionRecord]:
    """60 records half a day apart, every combination of a few values among them."""
    types = cycle(("crm_create", "email_send", "knowledge_store"))
    statuses, providers = cycle(ActionStatus), cycle(("hubspot", "Zendesk", "google mail", "%_"))
    return [
        action(
            tenant.tenant_id,
            at=START + timedelta(hours=4) * number,
            action_type=next(types),
            status=next(statuses),
            provider_name=next(providers),
            execution_time_ms=number * 10,
            operation_id=f"operation {number % 7}" if number % 2 else None,
        )
        for number in range(60)
    ]


def at(number: int) -> str:
    """The time of the record of a number, for a URL."""
    return format_time(START + timedelta(hours=4) * number)


def everything(_: object) -> bool:
    """Matches any record."""
    return True


def nothing(_: object) -> bool:
    """Matches no record."""
    return False


def timed(query: str) -> str:
    """A query in which {number} stands for the time of the record of that number."""
    return re.sub(r"\{(\d+)\}", lambda found: at(int(found[1])), query)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", everything),
        ("action_type=crm_create", lambda r: r.action_type == "crm_create"),
        (
            "action_type=crm_create&action_type=email_send",
            lambda r: r.action_type in {"crm_create", "email_send"},
        ),
        ("action_type=crm_create&action_type=crm_create", lambda r: r.action_type == "crm_create"),
        ("action_type=calendar_get_event", nothing),
        ("status=failure", lambda r: r.status == "failure"),
        ("status=FAILURE", lambda r: r.status == "failure"),
        ("status=Retry&status=PENDING", lambda r: r.status in {"retry", "pending"}),
        ("provider_name=hubspot", lambda r: r.provider_name == "hubspot"),
        ("provider_name=google%20mail", lambda r: r.provider_name == "google mail"),
        ("provider_name=zendesk", nothing),  # a provider's name is taken as it is
        ("provider_name=%25_", lambda r: r.provider_name == "%_"),
        (
            "provider_name=hubspot&provider_name=Zendesk",
            lambda r: r.provider_name in {"hubspot", "Zendesk"},
        ),
        ("min_execution_time_ms=300", lambda r: r.execution_time_ms >= 300),
        ("min_execution_time_ms=301", lambda r: r.execution_time_ms > 300),
        ("min_execution_time_ms=0", everything),
        ("operation_id=operation%203", lambda r: r.operation_id == "operation 3"),
        ("since={20}", lambda r: r.execution_time_ms >= 200),
        ("until={20}", lambda r: r.execution_time_ms < 200),
        ("since={20}&until={40}", lambda r: 200 <= r.execution_time_ms < 400),
        ("since={20}&until={20}", nothing),
        ("since=0001-01-01T00:00:00Z&until=9999-12-31T23:59:59Z", everything),
        (
            "status=success&provider_name=hubspot&action_type=crm_create",
            lambda r: (
                (r.status, r.provider_name, r.action_type) == ("success", "hubspot", "crm_create")
            ),
        ),
        (
            "since={10}&status=success&status=timeout&min_execution_time_ms=250",
            lambda r: r.status in {"success", "timeout"} and r.execution_time_ms >= 250,
        ),
    ],
)
def test_filters_show_exactly_what_matches_newest_first(
    world: World, query: str, wanted: Predicate
) -> None:
    """Values of one filter are alternatives, all filters must match."""
    tenant = world.settle()
    records = shelf(tenant)
    world.put(*records)
    expected = [str(record.id) for record in reversed(records) if wanted(record)]
    shown = tenant.get(f"{ACTIONS}?limit=1000&{timed(query)}")
    assert shown.status_code == 200, shown.json
    assert [row["id"] for row in shown.json] == expected


def test_a_since_between_two_milliseconds_is_kept_to(world: World) -> None:
    """A record of 0.005 s is not made at or after 0.0055 s."""
    tenant = world.settle()
    moment = START + timedelta(milliseconds=5)
    world.put(action(tenant.tenant_id, at=moment))
    for shift, expected in ((-1, 1), (0, 1), (500, 0)):
        since = (moment + timedelta(microseconds=shift)).isoformat().replace("+00:00", "Z")
        assert len(tenant.get(f"{ACTIONS}?since={since}").json) == expected


def test_an_offset_names_the_same_moment(world: World) -> None:
    """12:00+02:00 is 10:00Z, and is shown as such."""
    tenant = world.settle()
    record = action(tenant.tenant_id, at=START)
    world.put(record)
    local = (START + timedelta(hours=2)).isoformat().replace("+00:00", "%2B02:00")
    (shown,) = tenant.get(f"{ACTIONS}?since={local}").json
    assert shown["created_at"] == format_time(START)
    assert shown["created_at"].endswith("Z")


def test_every_action_type_can_be_filtered_by(world: World) -> None:
    """All 26 of the contract, each shown alone."""
    assert len(set(BUILTIN_ACTION_TYPES)) == 26
    tenant = world.settle()
    world.put(*(action(tenant.tenant_id, action_type=name) for name in BUILTIN_ACTION_TYPES))
    for name in BUILTIN_ACTION_TYPES:
        (shown,) = tenant.get(f"{ACTIONS}?action_type={name}").json
        assert shown["action_type"] == name


def test_a_list_shows_a_hundred_unless_told_otherwise(world: World) -> None:
    """limit is 100 by default and at most 1000; skip leaves out the newest."""
    tenant = world.settle()
    moments = [START + timedelta(milliseconds=number) for number in range(105)]
    records = [action(tenant.tenant_id, at=moment) for moment in moments]
    world.put(*records)
    newest_first = [str(record.id) for record in reversed(records)]

    def ids(query: str) -> list[str]:
        return [row["id"] for row in tenant.get(f"{ACTIONS}?{query}").json]

    assert ids("") == newest_first[:100]
    assert ids("limit=1000") == newest_first
    assert ids("limit=7") == newest_first[:7]
    assert ids("limit=7&skip=3") == newest_first[3:10]
    assert ids("skip=100") == newest_first[100:]
    assert ids("skip=105") == []
    assert ids("skip=10000") == []


def test_records_of_one_millisecond_keep_one_order(world: World) -> None:
    """By id within a created_at, so that pages never shuffle."""
    tenant = world.settle()
    records = [action(tenant.tenant_id, at=START) for _ in range(20)]
    world.put(*records)
    expected = sorted((str(record.id) for record in records), reverse=True)
    assert [row["id"] for row in tenant.get(ACTIONS).json] == expected


def test_a_list_is_a_bare_array_of_the_contracts_fields(world: World) -> None:
    """Names and order of DESIGN section 4, values as they were recorded."""
    tenant = world.settle()
    record = action(
        tenant.tenant_id,
        at=START,
        status="timeout",
        error_message="no answer\nwithin 3 s ✓",
        execution_time_ms=2**31 - 1,
    )
    world.put(record)
    shown = tenant.get(ACTIONS)
    assert shown.content_type == "application/json"
    assert isinstance(shown.json, list)
    (row,) = shown.json
    assert list(row) == SUMMARY_FIELDS
    assert row == {
        "id": str(record.id),
        "tenant_id": str(tenant.tenant_id),
        "action_type": "crm_create",
        "provider_name": "hubspot",
        "status": "timeout",
        "error_message": "no answer\nwithin 3 s ✓",
        "execution_time_ms": 2**31 - 1,
        "created_at": format_time(START),
    }


def test_a_detail_adds_the_payloads(world: World) -> None:
    """What was sent and what came back, whole, in the contract's order."""
    tenant = world.settle()
    request = {"email": "a@example.com", "tags": ["a", None, True, 1.5, {"ü": "\\\t\n\r\"'"}]}
    response = [{"id": 2**70}, "text", [], {}]
    record = action(
        tenant.tenant_id,
        at=START,
        request_payload=request,
        response_data=response,
        operation_id="op-1",
        metadata={"attempt": 2},
    )
    world.put(record)
    detail = tenant.get(f"{ACTIONS}/{record.id}").json
    assert list(detail) == DETAIL_FIELDS
    assert detail["request_payload"] == request
    assert detail["response_data"] == response
    assert detail["operation_id"] == "op-1"
    assert detail["metadata"] == {"attempt": 2}
    assert datetime.fromisoformat(detail["updated_at"]) > START
    (listed,) = tenant.get(ACTIONS).json
    assert {name: detail[name] for name in SUMMARY_FIELDS} == listed


@pytest.mark.parametrize("value", [None, False, 0, "", [], {}, "text", [1], {"a": None}])
def test_any_json_value_can_be_a_response(world: World, value: object) -> None:
    """A provider may answer with anything; nothing is mistaken for the absence of an answer."""
    tenant = world.settle()
    record = action(tenant.tenant_id, response_data=value)
    world.put(record)
    shown = tenant.get(f"{ACTIONS}/{record.id}").json["response_data"]
    assert shown == value
    assert type(shown) is type(value)


def test_a_record_without_metadata_shows_an_empty_object(world: World) -> None:
    """{} and not null, for metadata and for an absent request."""
    tenant = world.settle()
    record = action(tenant.tenant_id)
    world.put(record)
    detail = tenant.get(f"{ACTIONS}/{record.id}").json
    assert detail["metadata"] == {}
    assert detail["request_payload"] == {}
    assert detail["response_data"] is None


def test_a_detail_is_found_whatever_the_case_of_its_id(world: World) -> None:
    """UUIDs are written in either case."""
    tenant = world.settle()
    record = action(tenant.tenant_id)
    world.put(record)
    assert tenant.get(f"{ACTIONS}/{str(record.id).upper()}").json["id"] == str(record.id)


def test_an_audit_is_no_action(world: World) -> None:
    """An id of the other log is unknown here."""
    tenant = world.settle()
    record = action(tenant.tenant_id)
    world.put(record)
    problem = problem_of(tenant.get(f"/api/v1/logs/audits/{record.id}"), 404)
    assert str(record.id) in problem["detail"]


def test_recent_failures_are_failures_and_timeouts_of_the_last_minutes(world: World) -> None:
    """An hour unless told otherwise, at most a day; newest first."""
    tenant = world.settle()
    now = datetime.now(UTC)
    statuses = list(islice(cycle(ActionStatus), 10))
    ages = [5, 30, 59, 61, 119, 121, 600, 1439, 1441, 3000]
    records = {
        age: [
            action(tenant.tenant_id, at=now - timedelta(minutes=age), status=status)
            for status in statuses
        ]
        for age in ages
    }
    world.put(*(record for some in records.values() for record in some))

    def expected(minutes: int) -> list[str]:
        return [
            str(record.id)
            for age in ages
            if age < minutes
            for record in sorted(records[age], key=lambda r: (r.created_at, r.id), reverse=True)
            if record.status in {ActionStatus.FAILURE, ActionStatus.TIMEOUT}
        ]

    def shown(query: str) -> list[str]:
        response = tenant.get(f"{FAILURES}?{query}")
        assert all(list(row) == SUMMARY_FIELDS for row in response.json)
        return [row["id"] for row in response.json]

    assert shown("") == expected(60)
    assert shown("minutes=10") == expected(10)
    assert shown("minutes=120") == expected(120)
    assert shown("minutes=1440&limit=100") == expected(1440)
    assert shown("minutes=1440&limit=3") == expected(1440)[:3]
    assert len(expected(1440)) == 8 * 4


def test_recent_failures_are_fifty_unless_told_otherwise(world: World) -> None:
    """limit is 50 by default and at most 100."""
    tenant = world.settle()
    world.put(*(action(tenant.tenant_id, status="failure") for _ in range(120)))
    assert len(tenant.get(FAILURES).json) == 50
    assert len(tenant.get(f"{FAILURES}?limit=100").json) == 100
    assert "1 to 100" in refused_fields(tenant.get(f"{FAILURES}?limit=101"))["limit"]


def test_a_new_tenant_sees_empty_lists(world: World) -> None:
    """Nothing is no error."""
    tenant = world.settle()
    for path in (ACTIONS, FAILURES, f"{ACTIONS}?status=failure"):
        response = tenant.get(path)
        assert (response.status_code, response.json) == (200, [])
        assert "Link" not in response.headers
