"""A tenant's redaction policy: set by a command, known to capture without a query in a request, and
applied before anything of a record is kept.
"""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import Result
from sqlalchemy import text

from app.capture import AuditService
from app.capture.policies import Policies
from app.config import Settings
from app.domain.records import Kind
from app.store.session import Database
from tests.support.host import NOWHERE
from tests.support.ingest import AUDITS, call, change, sent, spooled
from tests.support.line import Line
from tests.support.world import Inhabitant, World, eventually, opened, record_id

KEY = "a platform's secret of 32 characters and more"
HASH = re.compile(r"\[hashed: [0-9a-f]{32}\]")
MASK = "[redacted: policy]"
UNKNOWN = "[redacted: policy_unknown]"


@pytest.fixture
def keyed(settings: Settings) -> Settings:
    """Settings of a platform whose tenants may have policies."""
    return replace(settings, redaction_key=KEY)


@pytest.fixture
def office(keyed: Settings, maintenance: Database) -> Iterator[World]:
    """Where commands are given: a process beside the one that captures."""
    with opened(replace(keyed, data_dir=keyed.data_dir / "office"), maintenance) as world:
        yield world


def command(world: World, *args: str) -> Result:
    """What comes of `flask tenants redaction …`: never a stack trace."""
    result = world.app.test_cli_runner().invoke(args=["tenants", "redaction", *args])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def set_rules(world: World, slug: str, *rules: str) -> None:
    """Rules such as email=hash, or request_payload.a=drop."""
    options = [part for rule in rules for part in ("--path" if "." in rule else "--key", rule)]
    assert command(world, "set", slug, *options).exit_code == 0


def logged(who: Inhabitant, id_: object, kind: str = "actions") -> Any:
    """A record as the API shows it."""
    return who.get(f"/api/v1/logs/{kind}/{id_}").json


def test_a_policy_holds_from_the_disk_to_the_api(
    office: World, keyed: Settings, maintenance: Database, worker: None
) -> None:
    """At any depth, by key whatever its spelling and by path; the record says what and by which."""
    tenant = office.settle()
    set_rules(
        office,
        tenant.slug,
        "email=hash",
        "note=drop",
        "request_payload.items[*].name=mask",
        "response_data.a.b=drop",
    )
    payload = {
        "E-Mail": "jane@example.com",
        "again": {"email": "jane@example.com"},
        "other": {"email": "joe@example.com"},
        "note": {"deep": "pl4nted"},
        "items": [{"name": "pl4nted", "n": 1}, {"name": "pl4nted"}],
        "name": "kept",
    }
    with opened(keyed, maintenance) as world:
        who = Inhabitant(tenant.tenant_id, tenant.slug, tenant.secret, world.app.test_client())
        answer = sent(who, [call(request_payload=payload, response_data={"a": {"b": 1, "c": 2}})])
        lines = b"".join(p.read_bytes() for p in keyed.spool_dir.rglob("*") if p.is_file())
        world.arrive()
        record = logged(who, answer["ids"][0])
    for hidden in (b"pl4nted", b"jane@", b"joe@"):
        assert hidden not in lines
    found = record["request_payload"]
    assert found.keys() == {"E-Mail", "again", "other", "items", "name"}
    assert HASH.fullmatch(found["E-Mail"])
    assert found["again"]["email"] == found["E-Mail"] != found["other"]["email"]
    assert found["items"] == [{"name": MASK, "n": 1}, {"name": MASK}]
    assert found["name"] == "kept"
    assert record["response_data"] == {"a": {"c": 2}}
    assert record["metadata"]["cleaned"] == {
        "hashed": [
            f"request_payload.{place}" for place in ("E-Mail", "again.email", "other.email")
        ],
        "policy": [
            *("email=hash", "note=drop", "request_payload.items[*].name=mask"),
            "response_data.a.b=drop",
        ],
        "dropped": ["request_payload.note", "response_data.a.b"],
        "redacted": ["request_payload.items[0].name", "request_payload.items[1].name"],
    }
    told = command(office, "hash", tenant.slug, "jane@example.com").output.strip()
    assert told == found["E-Mail"]


def test_who_and_where_from_can_be_concealed_too(
    office: World, keyed: Settings, maintenance: Database, worker: None
) -> None:
    """In every place of the record that has them, also where the request told them."""
    tenant = office.settle()
    set_rules(office, tenant.slug, "ip_address=hash", "user_agent=drop", "User Id=mask")
    with opened(keyed, maintenance) as world:
        who = Inhabitant(tenant.tenant_id, tenant.slug, tenant.secret, world.app.test_client())
        given = change(user_id="jane", ip_address="192.0.2.7", user_agent="pl4nted")
        answer = sent(who, [given], AUDITS)
        with world.app.test_request_context("/", headers={"User-Agent": "pl4nted"}):
            world.app.preprocess_request()
            made = AuditService().log_create(
                tenant_id=tenant.tenant_id, resource_type="key", resource_id="7", data={}
            )
            world.app.process_response(world.app.response_class())
        world.arrive()
        first, second = (logged(who, each, "audits") for each in (answer["ids"][0], made))
    assert first["user_id"] == MASK
    assert HASH.fullmatch(first["ip_address"])
    assert HASH.fullmatch(first["metadata"]["ingest"]["ip_address"])
    assert first["user_agent"] is second["user_agent"] is None
    assert "pl4nted" not in json.dumps([first, second])
    assert first["metadata"]["cleaned"]["dropped"] == ["user_agent"]


def test_hashes_of_two_tenants_cannot_be_matched(office: World) -> None:
    """Neither can those of two platforms."""
    first, second = office.settle(), office.settle()
    hashes = [command(office, "hash", who.slug, "x").output for who in (first, second, first)]
    assert hashes[0] == hashes[2] != hashes[1]


def test_a_running_process_learns_of_a_change_by_itself(
    office: World, keyed: Settings, maintenance: Database
) -> None:
    """Within 5 s, and of the end of a policy too; the requests of others ask nothing."""
    tenant = office.settle()
    with opened(keyed, maintenance) as world:

        def shown() -> Any:
            payload = {"email": "jane@example.com"}
            values = call(id=record_id(), tenant_id=tenant.tenant_id, request_payload=payload)
            record = world.opsledger.recorder.make(Kind.ACTION, values)
            return json.loads(record.request_payload)["email"]  # type: ignore[union-attr]

        world.log(tenant.tenant_id)
        assert shown() == "jane@example.com"
        set_rules(office, tenant.slug, "email=mask")
        eventually(lambda: shown() == MASK, within_s=15)
        assert command(office, "clear", tenant.slug).exit_code == 0
        eventually(lambda: shown() == "jane@example.com", within_s=15)


def test_a_restart_with_the_database_away_still_knows(
    office: World, keyed: Settings, maintenance: Database
) -> None:
    """From the file beside the spool."""
    tenant = office.settle()
    set_rules(office, tenant.slug, "email=mask")
    with opened(keyed, maintenance) as world:
        world.log(tenant.tenant_id)
        assert keyed.policies_path.exists()
        world.arrive()
    with opened(replace(keyed, **NOWHERE), maintenance) as world:
        world.log(tenant.tenant_id, request_payload={"email": "jane@example.com", "n": 1})
        (record,) = spooled(world)
    assert record.request_payload == {"email": MASK, "n": 1}


def test_what_a_policy_could_conceal_is_withheld_while_none_is_known(
    keyed: Settings, maintenance: Database
) -> None:
    """On a host that never reached the database: that it happened is on record all the same."""
    with opened(replace(keyed, **NOWHERE), maintenance) as world:
        tenant = world.settle()
        world.log(tenant.tenant_id, request_payload={"a": 1}, error_message="jane@example.com")
        with world.app.app_context():
            AuditService().log_create(
                tenant_id=tenant.tenant_id,
                resource_type="contact",
                resource_id="7",
                data={"name": "Jane"},
                user_id="jane",
            )
        made, changed = spooled(world)
    assert (made.request_payload, made.error_message) == (UNKNOWN, UNKNOWN)
    assert (made.action_type, made.provider_name) == ("crm_create", "hubspot")
    assert changed.changes == {"after": UNKNOWN}
    assert (changed.user_id, changed.resource_id) == (UNKNOWN, "7")


def test_a_platform_without_the_key_withholds_nothing(
    settings: Settings, maintenance: Database
) -> None:
    """It cannot have policies: no record of it waits, none is changed."""
    with opened(replace(settings, **NOWHERE), maintenance) as world:
        tenant = world.settle()
        world.log(tenant.tenant_id, request_payload={"a": 1})
        refusal = command(world, "set", tenant.slug, "--key", "email=mask")
        (record,) = spooled(world)
    assert record.request_payload == {"a": 1}
    assert "OPSLEDGER_REDACTION_KEY" in refusal.output
    assert refusal.exit_code == 1


def test_a_database_that_hangs_holds_the_first_record_up_for_a_moment_alone(
    keyed: Settings, environment: dict[str, str], maintenance: Database
) -> None:
    """A quarter of a second, once in a process."""
    line = Line(environment["DATABASE_URL"])
    line.hold()
    try:
        with opened(replace(keyed, database_url=line.url), maintenance) as world:
            tenant = world.settle()
            times = []
            for _ in range(3):
                started = time.monotonic()
                world.log(tenant.tenant_id, request_payload={"a": 1})
                times.append(time.monotonic() - started)
            assert {record.request_payload for record in spooled(world)} == {UNKNOWN}
    finally:
        line.close()
    assert 0.2 < times[0] < 1.5
    assert max(times[1:]) < 0.2


def test_rules_that_are_not_understood_withhold(
    office: World, keyed: Settings, maintenance: Database
) -> None:
    """Written into the database past the command; the other tenants are served as ever."""
    tenant, neighbour = office.settle(), office.settle()
    with maintenance.unrestricted_unsafe() as session:
        session.execute(
            text('UPDATE tenants SET settings = \'{"redaction": [{"mode": 1}]}\' WHERE id = :id'),
            {"id": tenant.tenant_id},
        )
    try:
        alone = replace(keyed, redis_url=NOWHERE["redis_url"])
        with opened(alone, maintenance) as world:
            for who in (tenant, neighbour):
                world.log(who.tenant_id, request_payload={"a": 1})
            first, second = spooled(world)
    finally:
        assert command(office, "clear", tenant.slug).exit_code == 0
    assert (first.request_payload, second.request_payload) == (UNKNOWN, {"a": 1})


def test_a_damaged_file_is_not_believed(keyed: Settings, maintenance: Database) -> None:
    """Nor does it keep a process from starting."""
    keyed.data_dir.mkdir(parents=True, exist_ok=True)
    for damage in (b"", b"[]", b'{"x": 1}', b"\xff"):
        keyed.policies_path.write_bytes(damage)
        with opened(replace(keyed, **NOWHERE), maintenance) as world:
            tenant = world.settle()
            world.log(tenant.tenant_id, request_payload={"a": 1})
            assert [record.request_payload for record in spooled(world)] == [UNKNOWN]


@pytest.mark.parametrize(
    ("options", "field", "rule"),
    [
        (["--key", "email=hide"], "redaction[0].mode", "must be one of mask, hash, drop"),
        (["--key", "email"], "redaction[0].mode", "must be one of mask, hash, drop"),
        (["--key", "=mask"], "redaction[0].key", "must be a text of 1 to 100 characters"),
        (["--key", "--=mask"], "redaction[0].key", "with a letter or digit in it"),
        (["--key", f"{'x' * 101}=mask"], "redaction[0].key", "1 to 100 characters"),
        (["--key", "a=mask", "--path", "payload.a=mask"], "redaction[1].path", "request_payload"),
        (["--path", "request_payload..a=mask"], "redaction[0].path", "must be a path"),
        (["--path", f"request_payload.{'x' * 300}=mask"], "redaction[0].path", "at most 300"),
        (["--path", "user_id.x=mask"], "redaction[0].path", "must be a path"),
        (["--path", "metadata=drop"], "redaction[0].path", "as in metadata.*"),
        (["--key", "e_mail=mask", "--key", "E-Mail=drop"], "redaction[1]", "same values as"),
        (["--key", "a=mask"] + ["--key", "a=mask"] * 100, "redaction", "at most 100 rules"),
        ([], "Error", "Give a --key or a --path"),
    ],
)
def test_a_bad_policy_is_refused_by_field_and_rule(
    office: World, options: list[str], field: str, rule: str
) -> None:
    """And the one before stands."""
    tenant = office.settle()
    set_rules(office, tenant.slug, "before=mask")
    refusal = command(office, "set", tenant.slug, *options)
    assert refusal.exit_code in (1, 2)
    assert field in refusal.output
    assert rule in refusal.output
    assert re.search(r"^before\s+mask$", command(office, "show", tenant.slug).output, re.M)


def test_a_change_of_policy_is_on_record(office: World, worker: None) -> None:
    """With who, before and after."""
    tenant = office.settle()
    set_rules(office, tenant.slug, "email=hash")
    command(office, "clear", tenant.slug)
    assert command(office, "show", tenant.slug).output.split() == ["RULE", "MODE"]
    office.arrive()
    rows = office.maintenance
    with rows.unrestricted_unsafe() as session:
        found = session.execute(
            text(
                "SELECT action, changes, user_id FROM audit_logs WHERE tenant_id = :id ORDER BY id"
            ),
            {"id": tenant.tenant_id},
        ).all()
    rule = {"key": "email", "mode": "hash"}
    assert [(row.action, row.changes) for row in found] == [
        ("set_redaction", {"before": {"redaction": []}, "after": {"redaction": [rule]}}),
        ("clear_redaction", {"before": {"redaction": [rule]}, "after": {"redaction": []}}),
    ]
    assert all(row.user_id.startswith("cli:") for row in found)


def test_policies_of_this_host_are_written_whole(tmp_path: Path) -> None:
    """A process that reads while another writes finds the one or the other."""
    path = tmp_path / "policies.json"
    many = {uuid4(): '[{"key":"email","mode":"mask"}]' for _ in range(500)}
    writer = Policies(path, KEY)
    for _ in range(5):
        writer.learn(many)
        assert len(json.loads(path.read_text())) == 500
        writer.learn({})
        assert json.loads(path.read_text()) == {}
    assert [each.name for each in tmp_path.iterdir()] == ["policies.json"]
