"""The audit log endpoints: each filter, the trail of any resource, the fields of the contract."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from app.domain.identity import format_time
from app.domain.records import AuditRecord
from tests.support.world import Inhabitant, World, action, audit, follow, problem_of

AUDITS = "/api/v1/logs/audits"
SUMMARY_FIELDS = [
    *("id", "tenant_id", "action", "resource_type", "resource_id", "user_id", "changes"),
    *("ip_address", "created_at"),
]
DETAIL_FIELDS = [*SUMMARY_FIELDS, "user_agent", "operation_id", "metadata", "updated_at"]
START = datetime.now(UTC).replace(microsecond=0) - timedelta(days=9)
STEP = timedelta(hours=6)

Predicate = Callable[[AuditRecord], bool]


def shelf(tenant: Inhabitant) -> list[AuditRecord]:
    """36 records a few hours apart, every combination of a few values among them."""
    return [
        audit(
            tenant.tenant_id,
            at=START + STEP * number,
            action=("create", "update", "delete")[number % 3],
            resource_type=("tenant", "api_key")[number % 2],
            resource_id=f"r/{number % 4}",
            user_id=(None, "ann@example.com", "key:ops_live_12345678")[number % 3],
            ip_address=(None, "192.0.2.1", "2001:db8::1", "192.0.2.10")[number % 4],
            operation_id=f"op {number % 5}" if number % 2 else None,
        )
        for number in range(36)
    ]


def at(number: int) -> str:
    """The time of the record of a number, for a URL."""
    return format_time(START + STEP * number)


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
        ("action=update", lambda r: r.action == "update"),
        ("action=UPDATE", nothing),
        ("resource_type=tenant", lambda r: r.resource_type == "tenant"),
        ("resource_id=r/1", lambda r: r.resource_id == "r/1"),
        ("resource_id=r%2F1", lambda r: r.resource_id == "r/1"),
        (
            "resource_type=tenant&resource_id=r/2",
            lambda r: r.resource_id == "r/2" and r.resource_type == "tenant",
        ),
        ("user_id=ann@example.com", lambda r: r.user_id == "ann@example.com"),
        ("user_id=key:ops_live_12345678", lambda r: r.user_id == "key:ops_live_12345678"),
        ("ip_address=192.0.2.1", lambda r: r.ip_address == "192.0.2.1"),
        ("ip_address=2001:db8::1", lambda r: r.ip_address == "2001:db8::1"),
        ("operation_id=op%203", lambda r: r.operation_id == "op 3"),
        ("since={10}", lambda r: r.created_at >= START + STEP * 10),
        ("until={10}", lambda r: r.created_at < START + STEP * 10),
        (
            "since={4}&until={20}&action=update&user_id=ann@example.com",
            lambda r: (
                START + STEP * 4 <= r.created_at < START + STEP * 20
                and (r.action, r.user_id) == ("update", "ann@example.com")
            ),
        ),
        ("action=create&user_id=nobody", nothing),
    ],
)
def test_filters_show_exactly_what_matches_newest_first(
    world: World, query: str, wanted: Predicate
) -> None:
    """All filters must match, each exactly."""
    tenant = world.settle()
    records = shelf(tenant)
    world.put(*records)
    expected = [str(record.id) for record in reversed(records) if wanted(record)]
    shown = tenant.get(f"{AUDITS}?{timed(query)}")
    assert shown.status_code == 200, shown.json
    assert [row["id"] for row in shown.json] == expected


def test_a_list_is_a_bare_array_of_the_contracts_fields(world: World) -> None:
    """Names and order of DESIGN section 4, values as they were recorded."""
    tenant = world.settle()
    changes = {"before": {"name": "Old ✓"}, "after": {"name": "New", "n": [1, None]}}
    record = audit(tenant.tenant_id, at=START, changes=changes)
    world.put(record)
    (row,) = tenant.get(AUDITS).json
    assert list(row) == SUMMARY_FIELDS
    assert row == {
        "id": str(record.id),
        "tenant_id": str(tenant.tenant_id),
        "action": "update",
        "resource_type": "contact",
        "resource_id": "c-1",
        "user_id": "user-1",
        "changes": changes,
        "ip_address": "192.0.2.1",
        "created_at": format_time(START),
    }


def test_a_detail_adds_who_and_why(world: World) -> None:
    """User agent, operation and metadata, in the contract's order."""
    tenant = world.settle()
    record = audit(
        tenant.tenant_id,
        user_agent="curl/8",
        operation_id="op-1",
        metadata={"changed_fields": ["a"]},
    )
    world.put(record)
    detail = tenant.get(f"{AUDITS}/{record.id}").json
    assert list(detail) == DETAIL_FIELDS
    assert detail["user_agent"] == "curl/8"
    assert detail["operation_id"] == "op-1"
    assert detail["metadata"] == {"changed_fields": ["a"]}
    (listed,) = tenant.get(AUDITS).json
    assert {name: detail[name] for name in SUMMARY_FIELDS} == listed


def test_what_a_record_lacks_is_null_or_an_empty_object(world: World) -> None:
    """No user, no address, no agent, no changes, no metadata."""
    tenant = world.settle()
    record = audit(tenant.tenant_id, user_id=None, ip_address=None, changes={}, metadata={})
    world.put(record)
    detail = tenant.get(f"{AUDITS}/{record.id}").json
    assert detail["changes"] == detail["metadata"] == {}
    for name in ("user_id", "ip_address", "user_agent", "operation_id"):
        assert detail[name] is None


def test_an_action_is_no_audit(world: World) -> None:
    """An id of the other log is unknown here."""
    tenant = world.settle()
    record = audit(tenant.tenant_id)
    world.put(record)
    problem = problem_of(tenant.get(f"/api/v1/logs/actions/{record.id}"), 404)
    assert str(record.id) in problem["detail"]


RESOURCE_IDS = [
    *("c-1", "a/b", "a/b/c", "a//b", "/a", "//a", "/", "//", "a/", "a//", "/a/b//c/"),
    *("..", "../a", "./a", "a/../b", ".", "a b", "a+b", "a%2Fb", "%2F", "%", "%41", "a?b=c"),
    *("a#b", "ä/ö", "日本/語", "\U0001f600", "a\\b", "a;b", "a&b=c", '"<a>"', "a,b", "a:b@c"),
    *("a\nb", "\t", " ", "a\r\nX-Injected: 1", "\x7f", "\u2028", "{a}", "[a]", "x" * 255),
]


@pytest.mark.parametrize("resource_id", RESOURCE_IDS)
def test_the_trail_of_any_resource_id_is_found_and_paged(world: World, resource_id: str) -> None:
    """Slashes anywhere, percent signs, other scripts: percent-encoded, every id has its trail."""
    tenant = world.settle()
    records = [
        audit(tenant.tenant_id, at=START + STEP * number, resource_id=resource_id)
        for number in range(3)
    ]
    others = [
        audit(tenant.tenant_id, resource_id=f"{resource_id[:250]}-"),
        audit(tenant.tenant_id, resource_id=resource_id, resource_type="company"),
    ]
    world.put(*records, *others)
    path = f"{AUDITS}/resource/contact/{quote(resource_id, safe='')}"
    expected = [str(record.id) for record in reversed(records)]
    trail = tenant.get(path)
    assert trail.status_code == 200, trail.json
    assert [row["id"] for row in trail.json] == expected
    assert {row["resource_id"] for row in trail.json} == {resource_id}
    paged = [row["id"] for page in follow(tenant, f"{path}?limit=1") for row in page]
    assert paged == expected


@pytest.mark.parametrize("resource_id", ["a/b", "a//b", "/a", "//a//", "a/b/"])
def test_slashes_of_a_resource_id_need_no_encoding(world: World, resource_id: str) -> None:
    """As a caller would naively write the path."""
    tenant = world.settle()
    record = audit(tenant.tenant_id, resource_id=resource_id)
    world.put(record)
    (row,) = tenant.get(f"{AUDITS}/resource/contact/{resource_id}").json
    assert row["id"] == str(record.id)


def test_a_resource_type_may_hold_any_character_but_a_slash(world: World) -> None:
    """The first segment is the type."""
    tenant = world.settle()
    record = audit(tenant.tenant_id, resource_type="größe %", resource_id="x/y")
    world.put(record, action(tenant.tenant_id))
    (row,) = tenant.get(f"{AUDITS}/resource/{quote('größe %')}/x/y").json
    assert row["id"] == str(record.id)


def test_the_trail_of_an_unknown_resource_is_empty(world: World) -> None:
    """As for every list, nothing is no error."""
    response = world.settle().get(f"{AUDITS}/resource/contact/none")
    assert (response.status_code, response.json) == (200, [])


def test_a_trail_shows_a_hundred_unless_told_otherwise(world: World) -> None:
    """limit is 100 by default and at most 500; skip leaves out the newest."""
    tenant = world.settle()
    moments = [START + timedelta(milliseconds=number) for number in range(105)]
    records = [audit(tenant.tenant_id, at=moment) for moment in moments]
    world.put(*records)
    newest_first = [str(record.id) for record in reversed(records)]

    def ids(query: str) -> list[str]:
        path = f"{AUDITS}/resource/contact/c-1?{query}"
        return [row["id"] for row in tenant.get(path).json]

    assert ids("") == newest_first[:100]
    assert ids("limit=500") == newest_first
    assert ids("limit=2&skip=4") == newest_first[4:6]
