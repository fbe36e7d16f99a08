"""A tenant's accounts: chosen by commands, encrypted at rest, never shown, never logged."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from click.testing import Result
from sqlalchemy import text

from app.config import InvalidSetting, Settings
from app.errors import FieldError, InvalidInput, ProviderError
from app.providers import Providers, catalogue
from app.providers.kinds import Asked, ProviderKind
from app.providers.protocols import CRM
from app.providers.sandbox import SandboxCrm, SandboxServer, sandbox_refusal
from app.store.session import Database
from app.vault import UnreadableCredentials, Vault, new_key
from tests.support.adapter import Direct
from tests.support.world import Inhabitant, World, opened, problem_of

CONTACTS = "/api/v1/crm/contacts"
KEY = new_key()
# The sandbox once more, under a lock: what it is given it keeps for the test to see.
SEEN: list[Any] = []
LOCKED = ProviderKind(
    name="locked",
    openers={CRM.name: lambda operation, account: SEEN.append(account) or SandboxCrm(operation)},
    judge=sandbox_refusal,
    server=SandboxServer,
    asked=(
        Asked(name="access_token", about="of a private app"),
        Asked(name="region", about="eu or us", secret=False, required=False),
    ),
)


@pytest.fixture(autouse=True)
def locked(monkeypatch: pytest.MonkeyPatch, maintenance: Database) -> Iterator[None]:
    """A provider that asks for credentials is in the catalogue; what is kept for it goes after."""
    monkeypatch.setitem(catalogue.KINDS, "locked", LOCKED)
    SEEN.clear()
    yield
    with maintenance.unrestricted_unsafe() as session:
        session.execute(text("DELETE FROM provider_accounts WHERE provider = 'locked'"))


@pytest.fixture
def world(settings: Settings, maintenance: Database) -> Iterator[World]:
    """An app with a key for credentials."""
    with opened(replace(settings, credential_keys=KEY), maintenance) as made:
        yield made


def attempt(world: World, *args: str, account: Any = None) -> Result:
    """What comes of a command: never a stack trace."""
    told = account if isinstance(account, str) else json.dumps(account)
    given = [] if account is None else ["--account", "-"]
    result = world.app.test_cli_runner().invoke(args=["providers", *args, *given], input=told)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def run(world: World, *args: str, account: Any = None) -> str:
    """What a command prints; it succeeds."""
    result = attempt(world, *args, account=account)
    assert result.exit_code == 0, result.output
    return result.output


def stored(maintenance: Database, tenant_id: UUID) -> Any:
    """The row of a tenant's account, as Postgres has it."""
    with maintenance.unrestricted_unsafe() as session:
        statement = text("SELECT * FROM provider_accounts WHERE tenant_id = :tenant")
        return session.execute(statement, {"tenant": tenant_id}).mappings().one()


TOKEN = "pat-eu1-0123456789"


def test_an_account_is_chosen_used_and_removed(
    world: World, maintenance: Database, worker: None
) -> None:
    """Its secret reaches the provider, and nothing else: no row, no output, no log, no record."""
    who = world.settle()
    given = {"access_token": TOKEN, "region": "eu", "timeout_s": 3}
    said = run(world, "use", who.slug, "crm", "locked", account=given)
    row = stored(maintenance, who.tenant_id)
    assert row["options"] == {"region": "eu", "timeout_s": 3}
    assert TOKEN.encode() not in row["credentials"]
    listed = run(world, "list", who.slug)
    assert "locked" in listed
    assert "kept" in listed
    assert who.post(CONTACTS, json={"email": "a@example.com"}).status_code == 201
    assert SEEN[0].credentials == {"access_token": TOKEN}
    assert TOKEN not in repr(SEEN[0])
    said += listed + run(world, "check", who.slug, "crm") + run(world, "remove", who.slug, "crm")
    assert "crm: works" in said
    world.arrive()
    (action, *_) = who.get("/api/v1/logs/actions?action_type=crm_create").json
    assert action["provider_name"] == "locked"
    records = [
        who.get(f"/api/v1/logs/{kind}/{row['id']}").json
        for kind in ("actions", "audits")
        for row in who.get(f"/api/v1/logs/{kind}").json
    ]
    audits = [record for record in records if "changes" in record]
    assert [record["action"] for record in audits] == ["delete", "create"]
    assert audits[1]["changes"]["after"]["options"] == {"region": "eu", "timeout_s": 3}
    assert TOKEN not in said + json.dumps(records)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, "access_token"),
        ({"access_token": ""}, "access_token"),
        ({"access_token": 7}, "access_token"),
        ({"access_token": "t", "zzz": 1}, "zzz"),
        ({"access_token": "t", "timeout_s": "long"}, "timeout_s"),
        ({"access_token": "t", "timeout_s": 3600}, "timeout_s"),
        ({"access_token": "t", "base_url": "https://a.example"}, "base_url"),
        ("{", "JSON"),
        ("[]", "JSON"),
    ],
)
def test_an_account_that_is_none_is_refused_by_name(world: World, given: Any, named: str) -> None:
    """And nothing is kept."""
    who = world.settle()
    result = attempt(world, "use", who.slug, "crm", "locked", account=given)
    assert result.exit_code == 2
    assert named in result.output
    assert "locked" not in run(world, "list", who.slug)


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        *(("https://api.example.com", True), ("http://127.0.0.1:8080/a", True), ("", False)),
        *(("ftp://a.example", False), ("https://u:p@a.example", False), (7, False)),
        *(("https://a.example/?q=1", False), ("api.example.com", False)),
    ],
)
def test_the_address_of_a_provider_is_checked(value: Any, fits: bool) -> None:
    """Of one that is elsewhere."""
    kind = replace(LOCKED, base_url="https://api.example.com", server=None, asked=())
    if fits:
        assert kind.parted({"base_url": value}) == ({"base_url": value}, {})
    else:
        with pytest.raises(InvalidInput) as refusal:
            kind.parted({"base_url": value})
        assert refusal.value.errors[0].field == "base_url"
        assert isinstance(refusal.value.errors[0], FieldError)


def test_a_provider_that_there_is_not_is_refused(world: World) -> None:
    """Also one that cannot do this, and a tenant that has no account to remove."""
    who = world.settle()
    for provider in ("siebel", "local"):
        refusal = attempt(world, "use", who.slug, "crm", provider)
        assert "sandbox" in refusal.output
        assert refusal.exit_code == 2
    assert attempt(world, "remove", who.slug, "crm").exit_code == 1


def test_without_a_key_no_credentials_are_kept(settings: Settings, maintenance: Database) -> None:
    """And the command says what to do."""
    with opened(replace(settings, credential_keys=""), maintenance) as world:
        who = world.settle()
        refusal = attempt(world, "use", who.slug, "crm", "locked", account={"access_token": TOKEN})
        assert refusal.exit_code == 1
        assert "new-key" in refusal.output


def test_keys_are_rotated(world: World, settings: Settings, maintenance: Database) -> None:
    """The new one encrypts, the old one still reads; after rotate-keys the old one can go."""
    who = world.settle()
    run(world, "use", who.slug, "crm", "locked", account={"access_token": TOKEN})
    first = stored(maintenance, who.tenant_id)["credentials"]
    newer = run(world, "new-key").strip()
    with opened(replace(settings, credential_keys=newer), maintenance) as alone:
        refusal = attempt(alone, "rotate-keys")
        assert refusal.exit_code == 1
        assert str(who.tenant_id) in refusal.output
        failed = problem_of(Inhabitant(*astuple(who, alone)).get(CONTACTS), 502)
        assert failed["code"] == "unauthorized"
    # The last is of the channels that other tests have left.
    keys = f"{newer},{KEY},{settings.credential_keys}"
    with opened(replace(settings, credential_keys=keys), maintenance) as both:
        run(both, "rotate-keys")
    second = stored(maintenance, who.tenant_id)["credentials"]
    assert second != first
    with opened(replace(settings, credential_keys=newer), maintenance) as alone:
        assert Inhabitant(*astuple(who, alone)).get(CONTACTS).status_code == 200
        assert SEEN[-1].credentials == {"access_token": TOKEN}
        run(alone, "remove", who.slug, "crm")
    # The channels of other tests go back to their key.
    keys = f"{settings.credential_keys},{newer}"
    with opened(replace(settings, credential_keys=keys), maintenance) as back:
        run(back, "rotate-keys")


def astuple(who: Inhabitant, world: World) -> tuple[Any, ...]:
    """The same tenant and key at another app."""
    return who.tenant_id, who.slug, who.secret, world.app.test_client()


def test_credentials_of_one_are_not_read_for_another() -> None:
    """A row that was put in another tenant's place, or another capability's."""
    vault, tenant, other = Vault(KEY), UUID(int=1), UUID(int=2)
    locked = vault.lock(tenant, "crm", {"access_token": TOKEN})
    assert vault.unlock(tenant, "crm", locked) == {"access_token": TOKEN}
    for tenant_id, capability in ((other, "crm"), (tenant, "email")):
        with pytest.raises(UnreadableCredentials):
            vault.unlock(tenant_id, capability, locked)
    with pytest.raises(UnreadableCredentials):
        vault.unlock(tenant, "crm", locked[:-4] + b"AAAA")


@pytest.mark.parametrize("keys", ["short", f"{KEY},short", "ü"], ids=["short", "second", "accent"])
def test_a_key_that_is_none_is_refused_and_not_shown(settings: Settings, keys: str) -> None:
    """At the start."""
    with pytest.raises(InvalidSetting) as refusal:
        Vault(keys)
    assert keys not in str(refusal.value)


def test_check_says_what_is_wrong_and_ends_with_1(world: World, tmp_path: Path) -> None:
    """Each capability by itself."""
    who = world.settle()
    told = run(world, "check", who.slug)
    assert told.count("works") == 5
    with world.maintenance.unrestricted_unsafe() as session:
        session.execute(
            text(
                "INSERT INTO provider_accounts (tenant_id, capability, provider, credentials)"
                " VALUES (:tenant, 'crm', 'locked', 'nonsense')"
            ),
            {"tenant": who.tenant_id},
        )
    world.app.extensions["opsledger-providers"].accounts.find.cache.clear()
    refusal = attempt(world, "check", who.slug)
    assert refusal.exit_code == 1
    assert "crm: unauthorized" in refusal.output
    assert refusal.output.count("works") == 4


def test_kinds_lists_every_provider(world: World) -> None:
    """With what it asks for."""
    listed = run(world, "kinds")
    for name, kind in catalogue.KINDS.items():
        (line,) = [line for line in listed.splitlines() if line.startswith(f"{name} ")]
        assert all(item.name in line for item in kind.asked)


def test_faults_are_for_the_sandbox_alone(world: World, maintenance: Database) -> None:
    """Another provider's operations are not made to fail, and the caller is told."""
    who = world.settle()
    run(world, "use", who.slug, "knowledge", "local")
    response = who.client.get(
        "/api/v1/knowledge/documents", headers={**who.headers, "X-Sandbox-Fault": "500"}
    )
    assert "local" in problem_of(response, 400)["errors"][0]["detail"]


def test_a_provider_that_fails_too_often_is_left_alone(
    settings: Settings, maintenance: Database, worker: None
) -> None:
    """One tenant's, and no other's; the refusal is on record, and nothing was sent."""
    hasty = replace(settings, provider_failures_max=4, provider_backoff_s=0.001)
    with opened(hasty, maintenance) as world:
        who, other = world.settle(), world.settle()
        faulty = {**who.headers, "X-Sandbox-Fault": "500"}
        for _ in range(2):
            last = who.client.get(CONTACTS, headers=faulty)
        refused = who.get(CONTACTS)
        assert problem_of(last, 503)["code"] == problem_of(refused, 503)["code"] == "unavailable"
        assert int(refused.headers["Retry-After"]) >= 29
        assert other.get(CONTACTS).status_code == 200
        world.arrive()
        path = f"/api/v1/logs/operations/{refused.headers['X-Operation-ID']}"
        (record,) = who.get(path).json
        assert record["status"] == "failure"
        shown = who.get(f"/api/v1/logs/actions/{record['id']}").json
        assert "status" not in shown["metadata"]["provider"]


def test_an_account_that_cannot_be_read_leaves_a_record_all_the_same(
    settings: Settings, maintenance: Database, worker: None
) -> None:
    """Under the name of the platform's default."""
    with opened(settings, maintenance) as world:
        who = world.settle()
        broken = Database.connect("postgresql+psycopg2://nobody@127.0.0.1:1/none")
        direct = Direct(Providers(broken, settings), CRM, "crm_list")
        with pytest.raises(ProviderError):
            direct.list(who.tenant_id, limit=1, after=None)
        world.arrive()
        (record,) = who.get("/api/v1/logs/actions").json
        assert (record["provider_name"], record["status"]) == ("sandbox", "failure")
