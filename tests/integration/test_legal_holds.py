"""Legal holds: by command and over HTTP, each on record, and the same to the database and to us."""

import re
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from app.domain.holds import PERSONAL, Hold, is_held
from app.domain.records import Kind
from app.store.columns import TABLES
from app.store.holds import list_holds
from tests.support.world import (
    ALL_SCOPES,
    Inhabitant,
    World,
    action,
    audit,
    next_page,
    problem_of,
    refused_fields,
)

HOLDS = "/api/v1/admin/legal-holds"


def on_record(world: World, who: Inhabitant) -> list[dict[str, Any]]:
    """A tenant's audit logs of holds, oldest first, once they have arrived."""
    world.arrive()
    secret = f"ops_reader_{uuid4().hex}"
    world.give_key(who.tenant_id, secret, ALL_SCOPES)
    headers = {"X-API-Key": secret}
    rows = who.client.get("/api/v1/logs/audits?resource_type=legal_hold", headers=headers).json
    return [
        who.client.get(f"/api/v1/logs/audits/{row['id']}", headers=headers).json
        for row in rows[::-1]
    ]


def run(world: World, *args: str) -> str:
    """What a command prints; it succeeds."""
    result = world.app.test_cli_runner().invoke(args=["legal-hold", *args])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_hold_is_placed_listed_and_released_over_http_and_on_record(live: World) -> None:
    """With who and when; in the log of the tenant; what is over is still known of."""
    operator, tenant = live.operator(), live.settle()
    body = {"tenant_id": str(tenant.tenant_id), "user_id": "u-7", "reason": "Case 12/2026"}
    response = operator.post(HOLDS, json=body)
    assert response.status_code == 201, response.text
    hold = response.json
    assert (hold["scope"], hold["user_id"], hold["reason"]) == ("user", "u-7", "Case 12/2026")
    assert hold["placed_by"] == f"key:{operator.secret[:17]}"
    assert hold["released_at"] is hold["resource_type"] is None
    assert operator.get(response.headers["Location"]).json == hold
    mine = f"{HOLDS}?tenant_id={tenant.tenant_id}"
    assert operator.get(mine).json == [hold]

    over = operator.post(f"{HOLDS}/{hold['id']}/release").json
    assert over == {
        **hold,
        "released_by": f"key:{operator.secret[:17]}",
        "released_at": over["released_at"],
    }
    problem_of(operator.post(f"{HOLDS}/{hold['id']}/release"), 409)
    assert operator.get(mine).json == []
    assert operator.get(f"{mine}&state=all").json == [over]
    problem_of(operator.get(f"{HOLDS}/{uuid4()}"), 404)

    placed, released = on_record(live, tenant)
    said = {"scope": "user", "user_id": "u-7", "reason": "Case 12/2026"}
    assert (placed["action"], placed["changes"]) == ("place", {"after": said})
    assert (released["action"], released["changes"]) == ("release", {"before": said})
    for record in (placed, released):
        assert record["resource_id"] == hold["id"]
        assert record["user_id"] == f"key:{operator.secret[:17]}"
        assert record["ip_address"] == "127.0.0.1"
        assert record["metadata"]["outcome"] == "success"


def test_the_commands_do_the_same(live: World) -> None:
    """A tenant's, a resource's and a user's; a hold that is not there is a sentence."""
    tenant = live.settle()
    for options, shown in (
        ((), "the tenant"),
        (("--resource-type", "contact", "--resource-id", "c-1"), "contact c-1"),
        (("--user", "u-7"), "user u-7"),
    ):
        said = run(live, "place", tenant.slug, "--reason", "Order 9", *options)
        (hold_id,) = re.findall(rf"Placed legal hold (\S+) of {shown}\n", said)
        (line,) = [
            line
            for line in run(live, "list", "--tenant", tenant.slug).splitlines()
            if hold_id in line
        ]
        assert shown in line
        assert "Order 9" in line
        assert "cli:" in line
        assert f"Released legal hold {hold_id}" in run(live, "release", hold_id)
    assert tenant.slug not in run(live, "list")
    assert len(run(live, "list", "--tenant", tenant.slug, "--all").splitlines()) == 4
    runner = live.app.test_cli_runner()
    again = runner.invoke(args=["legal-hold", "release", hold_id])
    assert (again.exit_code, "released already" in again.output) == (1, True)
    unknown = runner.invoke(args=["legal-hold", "release", "x"])
    assert (unknown.exit_code, "flask legal-hold list" in unknown.output) == (1, True)
    acts = [record["action"] for record in on_record(live, tenant)]
    assert acts == ["place", "release"] * 3


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"resource_type": "contact"}, "resource_id"),
        ({"resource_id": "c"}, "resource_type"),
        ({"user_id": "u", "resource_type": "t", "resource_id": "r"}, "user_id"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": "a\x00b"}, "user_id"),
        ({"reason": ""}, "reason"),
        ({"reason": "  "}, "reason"),
        ({"reason": "x" * 1001}, "reason"),
        ({"until": "2030-01-01"}, "until"),
    ],
)
def test_a_hold_of_nothing_clear_is_refused(
    world: World, given: dict[str, str], field: str
) -> None:
    """By the name of the field."""
    tenant = world.settle()
    body = {"tenant_id": str(tenant.tenant_id), "reason": "because", **given}
    assert field in refused_fields(world.operator().post(HOLDS, json=body))


def test_holds_are_listed_in_pages(world: World) -> None:
    """Every one once, in the order they were placed; the cursor is bound to its list."""
    operator, tenant = world.operator(), world.settle()
    body = {"tenant_id": str(tenant.tenant_id), "reason": "x"}
    made = [operator.post(HOLDS, json=body).json["id"] for _ in range(3)]
    first = operator.get(f"{HOLDS}?tenant_id={tenant.tenant_id}&limit=2")
    link = next_page(first)
    assert link
    second = operator.get(link)
    assert [hold["id"] for hold in (*first.json, *second.json)] == made
    assert next_page(second) is None
    assert "after" in refused_fields(operator.get(f"{link}&state=all"))


NAMED = 'a "quoted" \\ back\nslash é 名'
CASES = [
    {},
    {"metadata": {"by": NAMED}},
    {"metadata": {NAMED: 1}},
    {"metadata": {"deep": [{"x": f"<{NAMED}>"}]}},
    {"operation_id": f"op {NAMED}"},
    {"metadata": {"by": NAMED[:-1]}},
]


def test_the_database_and_we_agree_on_what_a_hold_covers(world: World) -> None:
    """The database is asked where rows are deleted and changed, `covers` where segments are."""
    tenant, other = world.settle(), world.settle()
    audits: list[dict[str, Any]] = [
        *CASES,
        {"user_id": NAMED},
        {"changes": {"after": {"who": NAMED}}},
        {"user_agent": f"x{NAMED}x"},
        {"resource_type": "contact", "resource_id": "c-9"},
        {"resource_type": "ticket", "resource_id": "c-9"},
        {"resource_type": "contact", "resource_id": NAMED},
    ]
    actions: list[dict[str, Any]] = [
        *CASES,
        {"request_payload": [NAMED]},
        {"response_data": {"a": NAMED.upper()}},
        {"error_message": NAMED},
    ]
    world.put(
        *(audit(who.tenant_id, **values) for who in (tenant, other) for values in audits),
        *(action(who.tenant_id, **values) for who in (tenant, other) for values in actions),
    )
    operator = world.operator()
    held: dict[str, list[int]] = {}
    for name, target in (
        ("user", {"user_id": NAMED}),
        ("resource", {"resource_type": "contact", "resource_id": "c-9"}),
        ("tenant", {}),
    ):
        body = {"tenant_id": str(tenant.tenant_id), "reason": name, **target}
        hold_id = operator.post(HOLDS, json=body).json["id"]
        held[name] = [_held_count(world, tenant, kind) for kind in Kind]
        assert [_held_count(world, other, kind) for kind in Kind] == [0, 0]
        assert operator.post(f"{HOLDS}/{hold_id}/release").status_code == 200
    assert held == {"user": [6, 8], "resource": [0, 1], "tenant": [9, 12]}


def _held_count(world: World, who: Inhabitant, kind: Kind) -> int:
    """How many records are held by the database, which are those that are by us."""
    names = dict.fromkeys(
        (*PERSONAL[kind], "resource_type") if kind is Kind.AUDIT else PERSONAL[kind]
    )
    shown = ", ".join(f"{name}::text AS {name}" for name in names)
    asked = (
        f"SELECT {shown}, {kind.value}_is_held(l) AS held FROM {TABLES[kind]} l"
        " WHERE tenant_id = :id"
    )
    if kind is Kind.AUDIT:  # what the holds themselves leave arrives, or not
        asked += " AND resource_type <> 'legal_hold'"
    with world.maintenance.unrestricted_unsafe() as session:
        holds: list[Hold] = list_holds(session, who.tenant_id, released=False)
        rows = session.execute(text(asked), {"id": who.tenant_id}).mappings().all()
    for row in rows:
        assert is_held(holds, kind, {name: row[name] for name in names}) == row["held"], dict(row)
    return sum(row["held"] for row in rows)
