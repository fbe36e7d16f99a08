"""The commands about access: tenants, keys and action types; each act is on record."""

import getpass
import hashlib
import re
import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from click.testing import Result
from sqlalchemy import text

from app.capture import log_action
from app.config import Settings
from app.domain.access import OPERATOR_TENANT_ID, Scope
from app.errors import InvalidRecord
from app.store.session import Database
from tests.support.line import Line
from tests.support.world import (
    ALL_SCOPES,
    Inhabitant,
    World,
    eventually,
    opened,
    problem_of,
    refused_fields,
)

ACTIONS = "/api/v1/logs/actions"
AUDITS = "/api/v1/logs/audits"
SECRET = re.compile(r"ops_live_[0-9a-f]{64}")


def run(world: World, *args: str) -> str:
    """What a command prints; it succeeds."""
    result = attempt(world, *args)
    assert result.exit_code == 0, result.output
    return result.output


def attempt(world: World, *args: str) -> Result:
    """What comes of a command: never a stack trace."""
    result = world.app.test_cli_runner().invoke(args=list(args))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def refused(world: World, *args: str) -> str:
    """The sentence with which a command refuses."""
    result = attempt(world, *args)
    assert result.exit_code in {1, 2}
    assert "Error: " in result.output
    return result.output.partition("Error: ")[2]


def slug() -> str:
    """A name that no other test uses."""
    return f"s-{uuid4().hex[:20]}"


def create_tenant(world: World, name: str) -> UUID:
    """A tenant made by the command."""
    found = re.fullmatch(
        rf"Created tenant {name} with id (\S+)\n", run(world, "tenants", "create", name)
    )
    assert found
    return UUID(found.group(1))


def reader(world: World, tenant_id: UUID) -> Inhabitant:
    """A key to read a tenant's records with, made past the commands."""
    secret = f"ops_reader_{uuid4().hex}"
    world.give_key(tenant_id, secret, ALL_SCOPES)
    return Inhabitant(tenant_id, "", secret, world.app.test_client())


def audits(world: World, tenant_id: UUID, **filters: str) -> list[dict[str, Any]]:
    """The tenant's audit logs in full, oldest first, once they have arrived."""
    world.arrive()
    who = reader(world, tenant_id)
    rows = who.get(AUDITS, query_string=filters).json
    return [who.get(f"{AUDITS}/{row['id']}").json for row in rows][::-1]


def use(world: World, secret: str) -> int:
    """The status that a request with a key is answered with."""
    client = world.app.test_client()
    return int(client.get(ACTIONS, headers={"X-API-Key": secret}).status_code)


def create_key(world: World, tenant: str, *options: str) -> str:
    """The secret of a key made by the command."""
    (secret,) = SECRET.findall(run(world, "keys", "create", tenant, "--name", "ci", *options))
    return str(secret)


def prefix(secret: str) -> str:
    """What a key is called: its lead and eight characters of the secret."""
    return secret[: len("ops_live_") + 8]


def test_a_tenant_is_created_listed_and_on_record(live: World) -> None:
    """By slug and id, with who did it and by which command."""
    name = slug()
    output = run(live, "tenants", "create", name, "--name", "Acme & Söhne")
    tenant_id = UUID(output.split()[-1])
    (row,) = [line for line in run(live, "tenants", "list").splitlines() if name in line]
    assert str(tenant_id) in row
    assert "Acme & Söhne" in row
    assert " active " in row

    (record,) = audits(live, tenant_id)
    assert (record["action"], record["resource_type"]) == ("create", "tenant")
    assert record["resource_id"] == str(tenant_id)
    assert record["changes"] == {"after": {"name": "Acme & Söhne", "slug": name}}
    assert record["user_id"] == f"cli:{getpass.getuser()}"
    assert "tenants create" in record["metadata"]["command"]
    assert record["metadata"]["host"] == socket.gethostname()
    assert record["metadata"]["outcome"] == "success"


def test_a_tenant_may_be_named_by_slug_or_id(live: World) -> None:
    """In any case of the id; deactivating and activating are each on record."""
    name = slug()
    tenant_id = create_tenant(live, name)
    assert run(live, "tenants", "deactivate", name) == f"Tenant {name} is inactive now\n"
    assert run(live, "tenants", "deactivate", str(tenant_id)) == (
        f"Tenant {name} is inactive already\n"
    )
    assert run(live, "tenants", "activate", str(tenant_id).upper()) == (
        f"Tenant {name} is active now\n"
    )
    acts = [(r["action"], r["changes"]) for r in audits(live, tenant_id)]
    on, off = {"is_active": True}, {"is_active": False}
    assert acts[1:] == [
        ("deactivate", {"before": on, "after": off}),
        ("activate", {"before": off, "after": on}),
    ]


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("tenants", "create", "Acme"), "must be 1 to 63 of a-z, 0-9 and hyphens"),
        (("tenants", "create", "a_b"), "must be 1 to 63 of a-z, 0-9 and hyphens"),
        (("tenants", "create", "--", "-a"), "must be 1 to 63 of a-z, 0-9 and hyphens"),
        (("tenants", "create", ""), "must be 1 to 63 of a-z, 0-9 and hyphens"),
        (("tenants", "create", "a" * 64), "must be 1 to 63 of a-z, 0-9 and hyphens"),
        (("tenants", "create", "operator"), "There is a tenant 'operator' already"),
        (("tenants", "create", str(OPERATOR_TENANT_ID)), "must not look like an id"),
        (("tenants", "create", "some-name", "--name", "x" * 201), "1 to 200 characters"),
        (("tenants", "create", "some-name", "--name", ""), "1 to 200 characters"),
        (("tenants", "create"), "Missing argument 'SLUG'"),
        (
            ("tenants", "deactivate", "nobody"),
            "There is no tenant 'nobody'; see: flask tenants list",
        ),
        (("tenants", "deactivate", "operator"), "The operator tenant cannot be deactivated"),
        (("keys", "create", "nobody", "--name", "x"), "There is no tenant 'nobody'"),
        (("keys", "create", "operator"), "Missing option '--name'"),
        (("keys", "create", "operator", "--name", ""), "1 to 100 characters"),
        (("keys", "create", "operator", "--name", "x" * 101), "1 to 100 characters"),
        (("keys", "create", "operator", "--name", "x", "--scope", "logs:all"), "'logs:read'"),
        (("keys", "create", "operator", "--name", "x", "--expires-days", "0"), "1<=x<=3650"),
        (("keys", "list", "nobody"), "There is no tenant 'nobody'"),
        (("keys", "revoke", "ops_live_00000000"), "There is no single key 'ops_live_00000000'"),
        (("keys", "rotate", "nothing"), "see: flask keys list TENANT"),
        (("keys", "rotate", "nothing", "--overlap", "721h"), "must be at most 30d"),
        (("keys", "rotate", "nothing", "--overlap", "31d"), "must be at most 30d"),
        (("keys", "rotate", "nothing", "--overlap", "1w"), "a number with m, h or d"),
        (("keys", "rotate", "nothing", "--overlap", "-1h"), "a number with m, h or d"),
        (("keys", "create", "operator", "--name", "x", "--network", "10.0.0.1/8"), "host bits"),
        (("keys", "create", "operator", "--name", "x", "--network", "any"), "203.0.113.0/24"),
        (("keys", "restrict", "nothing"), "see: flask keys list TENANT"),
        (("keys", "restrict", "nothing", *["--network", "10.0.0.0/8"] * 51), "at most 50"),
        (("action-types", "add", "crm_create"), "crm_create is an action type already"),
        (("action-types", "add", "dance"), "must be 2 or more lower-case words joined by _"),
        (("action-types", "add", "CRM_dance"), "must be 2 or more lower-case words joined by _"),
        (("action-types", "add", "crm_" + "x" * 60), "at most 63 characters"),
        (("action-types", "add", "crm_x'); DROP TABLE tenants --"), "must be 2 or more"),
        (("demo",), "The demo key is public, so it exists under `make run` only"),
    ],
)
def test_a_command_that_cannot_be_done_says_why(
    world: World, args: tuple[str, ...], sentence: str
) -> None:
    """In a sentence with what is allowed or where to look, and without a stack trace."""
    assert sentence in " ".join(refused(world, *args).split())


def test_a_refused_command_changes_and_records_nothing(live: World, maintenance: Database) -> None:
    """An audit log of what did not happen would be a lie."""

    def count() -> int:
        with maintenance.unrestricted_unsafe() as session:
            return int(session.execute(text("SELECT count(*) FROM tenants")).scalar_one())

    before, about_operator = count(), len(audits(live, OPERATOR_TENANT_ID, action="create"))
    refused(live, "tenants", "create", "operator")
    refused(live, "tenants", "deactivate", "operator")
    refused(live, "action-types", "add", "crm_create")
    assert count() == before
    assert len(audits(live, OPERATOR_TENANT_ID, action="create")) == about_operator


def test_a_key_is_shown_once_and_kept_as_a_hash(live: World, maintenance: Database) -> None:
    """Nowhere but in that one output: not in the database, a list, an audit log or on disk."""
    name = slug()
    tenant_id = create_tenant(live, name)
    secret = create_key(live, name)
    assert len(secret) == len("ops_live_") + 64
    assert use(live, secret) == 200
    with maintenance.unrestricted_unsafe() as session:
        statement = text("SELECT * FROM api_keys WHERE tenant_id = :tenant")
        (row,) = session.execute(statement, {"tenant": tenant_id})
    assert bytes(row.secret_sha256) == hashlib.sha256(secret.encode()).digest()
    kept_on_disk = [path.read_bytes() for path in live.opsledger.settings.spool_dir.iterdir()]

    (record,) = audits(live, tenant_id, resource_type="api_key")
    assert record["action"] == "create"
    assert record["resource_id"] == str(row.id)
    assert record["changes"]["after"] == {
        "name": "ci",
        "prefix": prefix(secret),
        "scopes": ["logs:read", "logs:read:payloads"],
        "networks": [],
        "holder": "machine",
        "expires_at": None,
    }
    random_part = secret[len(prefix(secret)) :]
    listed = run(live, "keys", "list", name)
    assert prefix(secret) in listed
    for place in (str(tuple(row)), str(record), listed, str(kept_on_disk)):
        assert random_part not in place


def test_a_key_opens_just_what_its_scopes_say(world: World) -> None:
    """By default the logs for reading; each further scope by name."""
    name = slug()
    create_tenant(world, name)
    plain = create_key(world, name)
    adapter = create_key(world, name, "--scope", "adapter:use", "--scope", "logs:read")
    client = world.app.test_client()
    contacts = "/api/v1/crm/contacts"
    problem = problem_of(client.get(contacts, headers={"X-API-Key": plain}), 403)
    assert "adapter:use" in problem["detail"]
    for path in (contacts, ACTIONS):
        assert client.get(path, headers={"X-API-Key": adapter}).status_code == 200
    listed = run(world, "keys", "list", name)
    assert "logs:read,adapter:use" in listed
    all_for_tenants = [scope.value for scope in Scope if scope is not Scope.ADMIN]
    everything = [word for scope in all_for_tenants for word in ("--scope", scope)]
    assert use(world, create_key(world, name, *everything)) == 200
    said = refused(world, "keys", "create", name, "--name", "ci", "--scope", "admin")
    assert "operator tenant" in " ".join(said.split())


def test_a_key_is_changed_and_a_tenant_set(live: World) -> None:
    """As over HTTP, where the rules are tried one by one."""
    name = slug()
    tenant_id = create_tenant(live, name)
    secret = create_key(live, name)
    said = run(live, "keys", "change", prefix(secret), "--holder", "human", "--scope", "logs:read")
    assert said == f"Changed key {prefix(secret)}\n"
    listed = run(live, "keys", "list", name).splitlines()[-1].split()
    assert listed[2:4] == ["human", "logs:read"]
    assert "at least one of" in refused(live, "keys", "change", prefix(secret))

    assert "key_days_max  90" in run(live, "tenants", "settings", name, "--set", "key_days_max=90")
    assert "key_days_max  90" in run(live, "tenants", "settings", name)
    said = refused(live, "keys", "create", name, "--name", "x", "--expires-days", "91")
    assert "at most 90 days" in said
    for wrong in ("key_days_max", "key_days_max=no", "motto=1"):
        refused(live, "tenants", "settings", name, "--set", wrong)
    acts = [(r["action"], r["resource_type"]) for r in audits(live, tenant_id)]
    assert acts[2:] == [("update", "api_key"), ("set", "tenant_settings")]


def test_a_key_for_some_days_says_when_it_ends(world: World) -> None:
    """In the list, as every time is written."""
    name = slug()
    create_tenant(world, name)
    assert use(world, create_key(world, name, "--expires-days", "30")) == 200
    last = run(world, "keys", "list", name).splitlines()[-1]
    assert len(re.findall(r"\d{4}-\d\d-\d\dT[\d:.]+Z", last)) == 3  # created, last used, expires


def test_a_rotation_lets_both_keys_work_for_a_while(live: World) -> None:
    """The new one has the name and scopes of the old one, and is on record with it."""
    name = slug()
    tenant_id = create_tenant(live, name)
    old = create_key(live, name, "--scope", "logs:read")
    output = run(live, "keys", "rotate", prefix(old), "--overlap", "2h")
    (new,) = SECRET.findall(output)
    assert f"The old key {prefix(old)} works until " in output
    assert new != old
    assert (use(live, old), use(live, new)) == (200, 200)

    record = audits(live, tenant_id, action="rotate")[-1]
    before, after = record["changes"]["before"], record["changes"]["after"]
    assert (before["prefix"], after["prefix"]) == (prefix(old), prefix(new))
    assert before["scopes"] == after["scopes"] == ["logs:read"]
    assert before["name"] == after["name"] == "ci"
    assert after["old_key_ends_at"]
    assert "rotated already" in refused(live, "keys", "rotate", prefix(old))


def test_a_rotation_without_overlap_ends_the_old_key_at_once(world: World) -> None:
    """As after a leak."""
    name = slug()
    create_tenant(world, name)
    old = create_key(world, name)
    (new,) = SECRET.findall(run(world, "keys", "rotate", prefix(old), "--overlap-hours", "0"))
    assert (use(world, old), use(world, new)) == (401, 200)


@pytest.mark.parametrize(
    ("overlap", "minutes"), [("90m", 90), ("24h", 1440), ("7d", 10_080), ("2", 120), ("0m", 0)]
)
def test_the_overlap_is_as_long_as_it_was_asked_for(
    world: World, maintenance: Database, overlap: str, minutes: int
) -> None:
    """In minutes, hours or days."""
    name = slug()
    create_tenant(world, name)
    old = create_key(world, name)
    before = datetime.now(UTC)
    run(world, "keys", "rotate", prefix(old), "--overlap", overlap)
    with maintenance.unrestricted_unsafe() as session:
        statement = text("SELECT revoked_at FROM api_keys WHERE prefix = :prefix")
        ends = session.execute(statement, {"prefix": prefix(old)}).scalar_one()
    off = ends - before - timedelta(minutes=minutes)
    assert timedelta(0) <= off < timedelta(seconds=30)


def test_a_key_is_bound_to_networks_when_it_is_made_or_later(
    settings: Settings, maintenance: Database, worker: None
) -> None:
    """Its successor is bound likewise, and each change is on record; an address is a network."""
    with opened(replace(settings, key_cache_s=0.01), maintenance) as world:
        name = slug()
        tenant_id = create_tenant(world, name)
        old = create_key(world, name, "--network", "203.0.113.9", "--network", "2001:db8::/32")
        assert "203.0.113.9/32,2001:db8::/32" in run(world, "keys", "list", name)
        (new,) = SECRET.findall(run(world, "keys", "rotate", prefix(old)))
        assert (use(world, old), use(world, new)) == (403, 403)  # the client is at 127.0.0.1
        for networks, shown, status in (
            (("--network", "127.0.0.0/8"), "127.0.0.0/8", 200),
            (("--network", "10.0.0.0/8"), "10.0.0.0/8", 403),
            ((), "everywhere", 200),
        ):
            said = run(world, "keys", "restrict", prefix(new), *networks)
            assert said == f"Key {prefix(new)} may be used from {shown}\n"
            eventually(lambda status=status: use(world, new) == status, within_s=5)
        changes = [r["changes"] for r in audits(world, tenant_id, action="restrict")]
        assert [change["after"]["networks"] for change in changes] == [
            *(["127.0.0.0/8"], ["10.0.0.0/8"], [])
        ]


def test_an_old_key_can_be_revoked_before_its_overlap_ends(live: World) -> None:
    """A leak found during a rotation must not wait for it."""
    name = slug()
    tenant_id = create_tenant(live, name)
    old = create_key(live, name)
    (new,) = SECRET.findall(run(live, "keys", "rotate", prefix(old)))
    assert run(live, "keys", "revoke", prefix(old)) == f"Revoked key {prefix(old)}\n"
    assert (use(live, old), use(live, new)) == (401, 200)
    assert [r["action"] for r in audits(live, tenant_id, resource_type="api_key")] == [
        *("create", "rotate", "revoke", "refuse")
    ]


def test_a_revoked_key_is_refused_after_the_cache_time(
    settings: Settings, maintenance: Database, worker: None
) -> None:
    """And revoking it is on record; a second time there is nothing to revoke."""
    with opened(replace(settings, key_cache_s=0.2), maintenance) as world:
        name = slug()
        tenant_id = create_tenant(world, name)
        secret = create_key(world, name)
        assert use(world, secret) == 200
        run(world, "keys", "revoke", prefix(secret))
        eventually(lambda: use(world, secret) == 401, within_s=5)
        assert "was revoked already" in refused(world, "keys", "revoke", prefix(secret))
        assert "revoked" in refused(world, "keys", "rotate", prefix(secret))
        (record,) = audits(world, tenant_id, action="revoke")
        assert record["changes"]["before"]["prefix"] == prefix(secret)


def test_an_expired_key_is_not_rotated_into_another_that_is_expired(
    world: World, maintenance: Database
) -> None:
    """Its successor would be born dead; the sentence says what to do."""
    name = slug()
    create_tenant(world, name)
    secret = create_key(world, name, "--expires-days", "1")
    with maintenance.unrestricted_unsafe() as session:
        session.execute(
            text("UPDATE api_keys SET expires_at = now() WHERE prefix = :prefix"),
            {"prefix": prefix(secret)},
        )
    assert use(world, secret) == 401
    assert "flask keys create" in refused(world, "keys", "rotate", prefix(secret))


def test_a_deactivated_tenant_is_refused_until_it_is_activated(
    settings: Settings, maintenance: Database
) -> None:
    """403 with the reason; its keys stay as they are."""
    with opened(replace(settings, key_cache_s=0.2), maintenance) as world:
        name = slug()
        create_tenant(world, name)
        secret = create_key(world, name)
        for command, status in (("deactivate", 403), ("activate", 200)):
            run(world, "tenants", command, name)
            eventually(lambda status=status: use(world, secret) == status, within_s=5)


def test_an_action_type_is_unknown_until_it_is_added(
    live: World, settings: Settings, maintenance: Database
) -> None:
    """Refused by capture and by the filter before; logged, filtered and on record after."""
    name = f"dance_{uuid4().hex[:10]}"
    tenant = live.settle()
    call = {"provider_name": "x", "status": "success", "execution_time_ms": 1}
    with live.app.app_context(), pytest.raises(InvalidRecord, match=name):
        log_action(tenant_id=tenant.tenant_id, action_type=name, **call)
    assert (
        "crm_create" in refused_fields(tenant.get(f"{ACTIONS}?action_type={name}"))["action_type"]
    )
    assert name not in run(live, "action-types", "list").split()

    assert run(live, "action-types", "add", name) == f"Added action type {name}\n"
    assert name in run(live, "action-types", "list").split()
    records = audits(live, OPERATOR_TENANT_ID, resource_id=name)
    assert [(r["action"], r["resource_type"]) for r in records] == [("create", "action_type")]

    fresh = replace(settings, data_dir=settings.data_dir / "fresh")
    with opened(fresh, maintenance) as newer:  # what the running app knows is some seconds old
        newer.log(tenant.tenant_id, action_type=name)
        newer.arrive()
        client = newer.app.test_client()
        shown = client.get(f"{ACTIONS}?action_type={name}", headers=tenant.headers).json
        assert [row["action_type"] for row in shown] == [name]
    eventually(lambda: tenant.get(f"{ACTIONS}?action_type={name}").status_code == 200)


def test_the_demo_is_made_once_and_its_key_works(
    settings: Settings, maintenance: Database, worker: None
) -> None:
    """Under `make run` alone; its act is shipped by the worker that starts next."""
    secret = "test-api-key-12345"
    with opened(replace(settings, demo=True), maintenance) as world:
        output = run(world, "demo")
        tenant_id = UUID(re.findall(r"Created the demo tenant (\S+)", output)[0])
        assert run(world, "demo") == "The demo tenant is there\n"
    with opened(settings, maintenance) as successor:
        (record,) = adopted(successor, tenant_id)
        assert (record["action"], record["resource_type"]) == ("create", "tenant")
        assert use(successor, secret) == 200
        headers = {"X-API-Key": secret}
        contacts = successor.app.test_client().get("/api/v1/crm/contacts", headers=headers)
        assert contacts.status_code == 200


def adopted(world: World, tenant_id: UUID) -> list[dict[str, Any]]:
    """The audit logs that another process left on this host's disk, once they have arrived."""
    who = reader(world, tenant_id)
    world.opsledger.shipper.start()
    eventually(lambda: bool(who.get(AUDITS).json))
    rows: list[dict[str, Any]] = who.get(AUDITS).json
    return rows


@pytest.mark.parametrize(
    "args",
    [
        ("tenants", "list"),
        ("tenants", "create", "some-name"),
        ("keys", "list", "operator"),
        ("action-types", "add", "some_name"),
        ("partitions", "list"),
        ("partitions", "ensure"),
        ("dead-letters", "list"),
        ("doctor",),
    ],
)
def test_while_the_database_is_away_a_command_says_so(
    settings: Settings, maintenance: Database, args: tuple[str, ...]
) -> None:
    """One sentence, not fifty lines of stack."""
    line = Line(settings.maintenance_database_url)
    line.cut()
    with opened(replace(settings, maintenance_database_url=line.url), maintenance) as world:
        assert "The database cannot be reached" in refused(world, *args)
    line.close()
