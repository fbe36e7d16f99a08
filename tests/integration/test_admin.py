"""The admin endpoints do what the commands do, by the operator's keys alone; each is on record."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.config import Settings
from app.domain.access import OPERATOR_TENANT_ID, Scope
from app.store.session import Database
from app.store.tenants import list_keys
from tests.support.world import (
    ALL_SCOPES,
    Inhabitant,
    World,
    eventually,
    next_page,
    opened,
    problem_of,
    refused_fields,
)

ACTIONS = "/api/v1/logs/actions"
AUDITS = "/api/v1/logs/audits"
ADMIN = "/api/v1/admin"
LATER = "2030-01-01T00:00:00.000Z"


@pytest.fixture
def admin(live: World) -> Inhabitant:
    """A key of the operator with the scope admin."""
    return live.operator()


def slug() -> str:
    """A name that no other test uses."""
    return f"s-{uuid4().hex[:20]}"


def new_tenant(admin: Inhabitant) -> dict[str, Any]:
    """A tenant made over HTTP."""
    response = admin.post(f"{ADMIN}/tenants", json={"slug": slug()})
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json
    assert admin.get(response.headers["Location"]).json == made
    return made


def new_key(admin: Inhabitant, tenant_id: str, **terms: Any) -> dict[str, Any]:
    """A key made over HTTP."""
    body = {"tenant_id": tenant_id, "name": "ci", **terms}
    response = admin.post(f"{ADMIN}/keys", json=body)
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json
    without = {name: value for name, value in made.items() if name != "secret"}
    assert admin.get(response.headers["Location"]).json == without
    return made


def use(world: World, secret: str) -> int:
    """The status that a query with a key is answered with."""
    client = world.app.test_client()
    return int(client.get(ACTIONS, headers={"X-API-Key": secret}).status_code)


def on_record(world: World, tenant_id: str, **filters: str) -> list[dict[str, Any]]:
    """The tenant's audit logs in full, oldest first, once they have arrived."""
    world.arrive()
    secret = f"ops_reader_{uuid4().hex}"
    world.give_key(UUID(tenant_id), secret, ALL_SCOPES)
    who = Inhabitant(UUID(tenant_id), "", secret, world.app.test_client())
    rows = who.get(AUDITS, query_string=filters).json
    return [who.get(f"{AUDITS}/{row['id']}").json for row in rows][::-1]


def acts(world: World, tenant_id: str) -> list[tuple[str, str]]:
    """What was done to a tenant and its keys, in order."""
    return [(row["action"], row["resource_type"]) for row in on_record(world, tenant_id)]


def test_a_tenant_is_made_named_closed_and_opened(live: World, admin: Inhabitant) -> None:
    """Each change is on record in its own log: who, where, before and after."""
    made = new_tenant(admin)
    path = f"{ADMIN}/tenants/{made['id']}"
    assert made["name"] == made["slug"]
    renamed = admin.patch(path, json={"name": "Müller & Söhne"}).json
    assert renamed == {**made, "name": "Müller & Söhne"}
    assert admin.patch(path, json={"is_active": False}).json["is_active"] is False
    assert admin.patch(path, json={"is_active": False}).status_code == 200  # no news, no record
    assert admin.patch(path, json={"is_active": True}).json["is_active"] is True

    records = on_record(live, made["id"])
    assert [(r["action"], r["changes"]) for r in records] == [
        ("create", {"after": {"name": made["slug"], "slug": made["slug"]}}),
        ("update", {"before": {"name": made["slug"]}, "after": {"name": "Müller & Söhne"}}),
        ("deactivate", {"before": {"is_active": True}, "after": {"is_active": False}}),
        ("activate", {"before": {"is_active": False}, "after": {"is_active": True}}),
    ]
    for record in records:
        assert record["user_id"] == f"key:{admin.secret[:17]}"
        assert record["ip_address"] == "127.0.0.1"
        assert record["metadata"]["outcome"] == "success"
        assert record["metadata"]["http"]["route"].startswith(f"{ADMIN}/tenants")


def test_all_tenants_are_listed_in_pages(admin: Inhabitant) -> None:
    """Every one once, oldest first."""
    made = [new_tenant(admin)["id"] for _ in range(3)]
    found: list[str] = []
    at: str | None = f"{ADMIN}/tenants?limit=1000"
    while at:
        response = admin.get(at)
        found += [tenant["id"] for tenant in response.json]
        at = next_page(response)
    assert len(found) == len(set(found))
    assert found[0] == str(OPERATOR_TENANT_ID)
    assert [one for one in found if one in made] == made


def test_the_keys_of_a_tenant_are_listed_in_pages(admin: Inhabitant) -> None:
    """Its own and no others; the cursor is bound to the tenant."""
    one, other = new_tenant(admin)["id"], new_tenant(admin)["id"]
    made = [new_key(admin, one)["id"] for _ in range(3)]
    new_key(admin, other)
    first = admin.get(f"{ADMIN}/keys?tenant_id={one}&limit=2")
    link = next_page(first)
    assert link
    second = admin.get(link)
    assert [key["id"] for key in (*first.json, *second.json)] == made
    assert next_page(second) is None
    assert all("secret" not in key for key in first.json)
    foreign = admin.get(link.replace(one, other))
    assert "after" in refused_fields(foreign)


def test_a_key_is_made_with_its_terms_and_shown_once(live: World, admin: Inhabitant) -> None:
    """The secret is in the answer and nowhere else, and the answer is kept by no cache."""
    tenant = new_tenant(admin)["id"]
    key = new_key(
        admin,
        tenant,
        scopes=["logs:read"],
        networks=["127.0.0.1", "2001:db8::/32"],
        holder="human",
        expires_at=LATER,
    )
    assert key["networks"] == ["127.0.0.1/32", "2001:db8::/32"]
    assert (key["scopes"], key["holder"], key["expires_at"]) == (["logs:read"], "human", LATER)
    assert use(live, key["secret"]) == 200
    (record,) = on_record(live, tenant, resource_type="api_key")
    assert record["changes"]["after"] == {
        name: key[name] for name in ("name", "prefix", "scopes", "networks", "holder", "expires_at")
    }
    hidden = key["secret"][len(key["prefix"]) :]
    assert hidden not in str(record)
    assert hidden not in admin.get(f"{ADMIN}/keys?tenant_id={tenant}").text
    again = admin.post(f"{ADMIN}/keys", json={"tenant_id": tenant, "name": "x"})
    assert again.headers["Cache-Control"] == "no-store"
    assert again.json["scopes"] == ["logs:read", "logs:read:payloads"]
    assert again.json["holder"] == "machine"


def test_a_key_is_rotated_with_an_overlap_and_revoked(live: World, admin: Inhabitant) -> None:
    """The successor may do the same; both work until the overlap ends, or by hand."""
    tenant = new_tenant(admin)["id"]
    old = new_key(admin, tenant, scopes=["logs:read"], holder="human")
    response = admin.post(f"{ADMIN}/keys/{old['id']}/rotate", json={"overlap_s": 3600})
    new = response.json
    assert response.status_code == 201
    assert {name: new[name] for name in ("name", "scopes", "networks", "holder", "tenant_id")} == {
        name: old[name] for name in ("name", "scopes", "networks", "holder", "tenant_id")
    }
    assert (use(live, old["secret"]), use(live, new["secret"])) == (200, 200)
    ends = admin.get(f"{ADMIN}/keys/{old['id']}").json["revoked_at"]
    assert ends == new["old_key_ends_at"]
    off = datetime.fromisoformat(ends) - datetime.now(UTC) - timedelta(hours=1)
    assert timedelta(minutes=-1) < off <= timedelta(0)
    problem_of(admin.post(f"{ADMIN}/keys/{old['id']}/rotate", json={}), 409)

    assert admin.post(f"{ADMIN}/keys/{old['id']}/revoke").status_code == 200
    assert (
        "revoked already"
        in problem_of(admin.post(f"{ADMIN}/keys/{old['id']}/revoke"), 409)["detail"]
    )
    eventually(lambda: use(live, old["secret"]) == 401, within_s=10)
    assert use(live, new["secret"]) == 200
    done = [act for act in acts(live, tenant) if act[1] == "api_key" and act[0] != "refuse"]
    assert done == [(act, "api_key") for act in ("create", "rotate", "revoke")]


def test_two_rotations_at_once_make_one_successor(live: World, admin: Inhabitant) -> None:
    """The second finds it rotated; two living successors would be one that nobody knows of."""
    key = new_key(admin, new_tenant(admin)["id"])
    path = f"{ADMIN}/keys/{key['id']}/rotate"

    def rotate(_: int) -> int:
        client = live.app.test_client()
        return int(client.post(path, headers=admin.headers, json={}).status_code)

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(rotate, range(6))) == [201, *[409] * 5]


def test_what_a_key_may_do_is_changed_where_it_stands(
    settings: Settings, maintenance: Database, worker: None
) -> None:
    """Scopes, networks, holder, name and end; effective in every process, each with what it was."""
    with opened(replace(settings, key_cache_s=0.05), maintenance) as world:
        admin = world.operator()
        tenant = new_tenant(admin)["id"]
        key = new_key(admin, tenant)
        path = f"{ADMIN}/keys/{key['id']}"
        for changes, status in (
            ({"scopes": ["logs:write"]}, 403),
            ({"scopes": ["logs:read", "logs:read"]}, 200),
            ({"networks": ["10.0.0.0/8"]}, 403),
            ({"networks": []}, 200),
            ({"name": "other", "holder": "human", "expires_at": LATER}, 200),
            ({"expires_at": None}, 200),
        ):
            changed = admin.patch(path, json=changes)
            assert changed.status_code == 200, changed.text
            eventually(lambda status=status: use(world, key["secret"]) == status, within_s=5)
        records = [r for r in on_record(world, tenant) if r["action"] in {"update", "restrict"}]
        assert [r["action"] for r in records] == [
            *("update", "update", "restrict", "restrict", "update", "update")
        ]
        assert records[0]["changes"] == {
            "before": {"scopes": ["logs:read", "logs:read:payloads"]},
            "after": {"scopes": ["logs:write"]},
        }
        assert records[1]["changes"]["after"] == {"scopes": ["logs:read"]}


def test_a_tenants_setting_bounds_how_long_its_keys_live(live: World, admin: Inhabitant) -> None:
    """When one is made, changed and rotated; dropped by null; each change on record."""
    tenant = new_tenant(admin)["id"]
    old = new_key(admin, tenant)
    path = f"{ADMIN}/settings/{tenant}"
    assert admin.get(path).json == {}
    assert admin.patch(path, json={"key_days_max": 30}).json == {"key_days_max": 30}

    for expires_at in (None, LATER):
        body = {"tenant_id": tenant, "name": "x", "expires_at": expires_at}
        said = refused_fields(admin.post(f"{ADMIN}/keys", json=body))
        assert "at most 30 days" in said["expires_at"]
        changed = admin.patch(f"{ADMIN}/keys/{old['id']}", json={"expires_at": expires_at})
        assert "at most 30 days" in refused_fields(changed)["expires_at"]
    soon = (datetime.now(UTC) + timedelta(days=29)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    assert new_key(admin, tenant, expires_at=soon)["expires_at"] == soon
    rotated = admin.post(f"{ADMIN}/keys/{old['id']}/rotate", json={}).json
    left = datetime.fromisoformat(rotated["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=29) < left <= timedelta(days=30)

    assert admin.patch(path, json={"key_days_max": None}).json == {}
    assert new_key(admin, tenant)["expires_at"] is None
    records = on_record(live, tenant, resource_type="tenant_settings")
    assert [record["changes"] for record in records] == [
        {"before": {"key_days_max": None}, "after": {"key_days_max": 30}},
        {"before": {"key_days_max": 30}, "after": {"key_days_max": None}},
    ]


NOBODY = str(uuid4())
KEY = {"tenant_id": "{t}", "name": "n"}
PAST = "2020-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("method", "path", "body", "field", "words"),
    [
        ("POST", "/tenants", {"slug": "A"}, "slug", "1 to 63 of a-z"),
        ("POST", "/tenants", {"slug": "a\n"}, "slug", "1 to 63 of a-z"),
        ("POST", "/tenants", {"slug": NOBODY}, "slug", "must not look like an id"),
        ("POST", "/tenants", {"slug": "a", "name": ""}, "name", "1 to 200"),
        ("POST", "/tenants", {"slug": "a", "is_active": False}, "is_active", "not known"),
        ("PATCH", "/tenants/{t}", {}, "body", "at least one of"),
        ("PATCH", "/tenants/{t}", {"is_active": "yes"}, "is_active", "boolean"),
        ("PATCH", "/tenants/{t}", {"is_active": 0}, "is_active", "boolean"),
        ("PATCH", "/tenants/{t}", {"slug": "other"}, "slug", "not known"),
        ("POST", "/keys", {"tenant_id": "{t}"}, "name", "required"),
        ("POST", "/keys", {"tenant_id": "x", "name": "n"}, "tenant_id", "UUID"),
        ("POST", "/keys", {**KEY, "scopes": []}, "scopes", "at least"),
        (
            "POST",
            "/keys",
            {**KEY, "scopes": ["x"]},
            "scopes",
            "logs:read",
        ),
        (
            *("POST", "/keys", {**KEY, "scopes": ["admin"]}),
            *("scopes", "operator tenant"),
        ),
        (
            *("POST", "/keys", {**KEY, "networks": ["10.0.0.1/8"]}),
            *("networks", "host bits"),
        ),
        (
            *("POST", "/keys", {**KEY, "networks": ["::/0"] * 51}),
            *("networks", "at most 50"),
        ),
        ("POST", "/keys", {**KEY, "holder": "cat"}, "holder", "machine"),
        (
            *(
                "POST",
                "/keys",
                {**KEY, "expires_at": PAST},
            ),
            *("expires_at", "in the future"),
        ),
        ("PATCH", "/keys/{k}", {}, "body", "at least one of"),
        ("PATCH", "/keys/{k}", {"scopes": ["admin"]}, "scopes", "operator tenant"),
        ("POST", "/keys/{k}/rotate", {"overlap_s": 2_592_001}, "overlap_s", "2592000"),
        ("POST", "/keys/{k}/rotate", {"overlap_s": "60"}, "overlap_s", "whole number"),
        ("PATCH", "/settings/{t}", {"key_days_max": 0}, "key_days_max", "1 to 3650"),
        ("PATCH", "/settings/{t}", {"key_days_max": True}, "key_days_max", "1 to 3650"),
        ("PATCH", "/settings/{t}", {}, "body", "key_days_max"),
        ("PATCH", "/settings/{t}", {"motto": "x"}, "motto", "key_days_max"),
        ("GET", "/keys", None, "tenant_id", "required"),
        ("GET", "/tenants/operator", None, "tenant_id", "UUID"),
        ("POST", "/keys/{k}/revoke?now=1", None, "now", "none is"),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    household: Callable[[str], str],
    admin: Inhabitant,
    method: str,
    path: str,
    body: dict[str, Any] | None,
    field: str,
    words: str,
) -> None:
    """With the field and its rule."""
    filled = {k: household(v) if v == "{t}" else v for k, v in (body or {}).items()}
    response = admin.client.open(
        ADMIN + household(path),
        method=method,
        headers=admin.headers,
        json=filled if body is not None else None,
    )
    assert words in refused_fields(response)[field]


@pytest.fixture
def household(world: World) -> Callable[[str], str]:
    """Fills {t} and {k} with a tenant and its key."""
    tenant = world.settle()
    with world.maintenance.unrestricted_unsafe() as session:
        (key,) = list_keys(session, tenant.tenant_id)
    return lambda text: text.replace("{t}", str(tenant.tenant_id)).replace("{k}", str(key.id))


def test_what_is_not_there_or_taken_is_said(admin: Inhabitant) -> None:
    """404 and 409 problems; the operator tenant cannot lock itself out."""
    for method, path, body in (
        ("GET", f"/tenants/{NOBODY}", None),
        ("PATCH", f"/tenants/{NOBODY}", {"name": "x"}),
        ("GET", f"/settings/{NOBODY}", None),
        ("PATCH", f"/settings/{NOBODY}", {"key_days_max": 1}),
        ("GET", f"/keys?tenant_id={NOBODY}", None),
        ("POST", "/keys", {"tenant_id": NOBODY, "name": "x"}),
        ("GET", f"/keys/{NOBODY}", None),
        ("PATCH", f"/keys/{NOBODY}", {"name": "x"}),
        ("POST", f"/keys/{NOBODY}/rotate", {}),
        ("POST", f"/keys/{NOBODY}/revoke", None),
    ):
        answer = admin.client.open(ADMIN + path, method=method, headers=admin.headers, json=body)
        problem_of(answer, 404)
    problem_of(admin.post(f"{ADMIN}/tenants", json={"slug": "operator"}), 409)
    closing = admin.patch(f"{ADMIN}/tenants/{OPERATOR_TENANT_ID}", json={"is_active": False})
    assert "cannot be deactivated" in problem_of(closing, 409)["detail"]


def test_a_tenants_key_administers_nothing_whatever_its_scopes(live: World) -> None:
    """The scope admin means something for the operator tenant alone."""
    tenant = live.settle(ALL_SCOPES)
    refused = problem_of(tenant.get(f"{ADMIN}/tenants"), 403)
    assert "operator" in refused["detail"]
    own = f"{ADMIN}/tenants/{tenant.tenant_id}"
    problem_of(tenant.patch(own, json={"is_active": True}), 403)


def test_a_key_of_the_operator_needs_the_scope(live: World) -> None:
    """Belonging to the operator is not enough."""
    secret = f"ops_test_{uuid4().hex}"
    live.give_key(OPERATOR_TENANT_ID, secret, [s for s in ALL_SCOPES if s != Scope.ADMIN])
    client = live.app.test_client()
    problem_of(client.get(f"{ADMIN}/tenants", headers={"X-API-Key": secret}), 403)


def test_a_process_without_the_role_says_so(settings: Settings, maintenance: Database) -> None:
    """So web processes that tenants reach need not hold the URL that manages keys."""
    with opened(replace(settings, maintenance_database_url=""), maintenance) as world:
        answer = world.operator().get(f"{ADMIN}/tenants")
        assert "MAINTENANCE_DATABASE_URL" in problem_of(answer, 503)["detail"]


def test_a_change_that_is_refused_leaves_no_record(live: World, admin: Inhabitant) -> None:
    """An audit log of what did not happen would be a lie."""
    tenant = new_tenant(admin)["id"]
    key = new_key(admin, tenant)
    admin.post(f"{ADMIN}/keys/{key['id']}/rotate", json={"overlap_s": -1})
    admin.patch(f"{ADMIN}/keys/{key['id']}", json={"scopes": ["admin"]})
    admin.patch(f"{ADMIN}/tenants/{tenant}", json={"name": ""})
    assert acts(live, tenant) == [("create", "tenant"), ("create", "api_key")]
