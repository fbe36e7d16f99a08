"""What the sandbox does as a CRM, in every detail: order, pages, search, tenants."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from app.config import InvalidSetting, Settings
from app.domain.resources import Contact
from app.errors import ProviderError
from app.providers import Providers
from app.providers.protocols import CRM
from app.store.session import Database
from tests.support.adapter import Direct
from tests.support.line import Line
from tests.support.world import World

FULL: dict[str, Any] = {
    "email": "ann@example.com",
    "first_name": "Ann",
    "last_name": "Ö'Neil",
    "company": "Ä & Söhne",
    "phone": "+49 30 1234",
    "properties": {"tier": "gold", "tags": ["a", None, 1.5, True], "nested": {"a": {}}},
}


@pytest.fixture
def provider(world: World) -> Direct:
    """The tenant's CRM, called directly."""
    return Direct(world.app.extensions["opsledger-service"].providers, CRM, "crm_get")


@pytest.fixture
def tenant(world: World) -> UUID:
    """A tenant without contacts."""
    return world.settle().tenant_id


def everything(provider: Direct, tenant: UUID) -> list[Contact]:
    """The tenant's contacts, as many as fit a page."""
    found: list[Contact] = provider.list(tenant, limit=100, after=None).items
    return found


def test_a_created_contact_can_be_read_back(provider: Direct, tenant: UUID) -> None:
    """All unified fields, with an id of the provider's and its name."""
    made = provider.create(tenant, FULL)
    assert {name: getattr(made, name) for name in FULL} == FULL
    assert made.id
    assert made.provider == "sandbox"
    assert made.created_at.utcoffset() is not None
    assert provider.get(tenant, made.id) == made


def test_fields_that_are_not_given_are_empty(provider: Direct, tenant: UUID) -> None:
    """None for a text, an empty object for the properties."""
    made = provider.create(tenant, {"email": "bob@example.com"})
    assert (made.first_name, made.last_name, made.company, made.phone) == (None,) * 4
    assert made.properties == {}


def test_two_contacts_may_be_alike(provider: Direct, tenant: UUID) -> None:
    """The id alone tells them apart."""
    one, other = provider.create(tenant, FULL), provider.create(tenant, FULL)
    assert one.id != other.id
    assert {c.id for c in everything(provider, tenant)} == {one.id, other.id}


def test_an_update_changes_the_given_fields_alone(provider: Direct, tenant: UUID) -> None:
    """None empties a field; what is not named stays; the time of the change moves on."""
    made = provider.create(tenant, FULL)
    changed = provider.update(tenant, made.id, {"company": "New", "phone": None})
    expected = {**FULL, "company": "New", "phone": None}
    assert {name: getattr(changed, name) for name in FULL} == expected
    assert (changed.id, changed.created_at) == (made.id, made.created_at)
    assert changed.updated_at > made.updated_at
    assert provider.get(tenant, made.id) == changed


def test_a_deleted_contact_is_gone(provider: Direct, tenant: UUID) -> None:
    """From reads, lists and searches; others stay."""
    made, other = (provider.create(tenant, FULL) for _ in range(2))
    provider.delete(tenant, made.id)
    assert everything(provider, tenant) == [other]
    assert provider.search(tenant, "ann", limit=10, after=None).items == [other]
    with pytest.raises(ProviderError):
        provider.get(tenant, made.id)


UNKNOWN = ("01890a5d-ac96-774b-bcce-b302099a8057", "nobody", "", "0", "ü", "x" * 255, "' OR 1=1 --")


@pytest.mark.parametrize("contact_id", UNKNOWN)
@pytest.mark.parametrize("act", ["get", "update", "delete", "delete again"])
def test_an_unknown_contact_is_a_permanent_404(
    provider: Direct, tenant: UUID, act: str, contact_id: str
) -> None:
    """Whatever the form of its id; a second deletion is of an unknown contact too."""
    known = provider.create(tenant, FULL)
    if act == "delete again":
        gone = provider.create(tenant, FULL)
        provider.delete(tenant, gone.id)
        contact_id = gone.id
    attempts = {
        "get": lambda: provider.get(tenant, contact_id),
        "update": lambda: provider.update(tenant, contact_id, {"company": "x"}),
        "delete": lambda: provider.delete(tenant, contact_id),
    }
    with pytest.raises(ProviderError) as refusal:
        attempts[act.partition(" ")[0]]()
    assert (refusal.value.permanent, refusal.value.status) == (True, 404)
    assert contact_id in refusal.value.detail
    assert everything(provider, tenant) == [known]


def test_a_list_is_newest_first_and_goes_on_past_a_contact(provider: Direct, tenant: UUID) -> None:
    """Page by page each contact once, to an empty page."""
    made = [provider.create(tenant, {"email": f"p{n}@example.com"}) for n in range(7)]
    newest_first = made[::-1]
    assert provider.list(tenant, limit=100, after=None).items == newest_first
    assert provider.list(tenant, limit=3, after=None).items == newest_first[:3]
    assert provider.list(tenant, limit=3, after=newest_first[2].id).items == newest_first[3:6]
    assert provider.list(tenant, limit=3, after=newest_first[5].id).items == newest_first[6:]
    assert provider.list(tenant, limit=3, after=newest_first[6].id).items == []


def test_a_page_goes_on_past_a_contact_that_was_deleted(provider: Direct, tenant: UUID) -> None:
    """Somebody may delete the last one of a page meanwhile."""
    made = [provider.create(tenant, FULL) for _ in range(3)]
    provider.delete(tenant, made[1].id)
    assert provider.list(tenant, limit=9, after=made[1].id).items == [made[0]]


@pytest.mark.parametrize("act", ["list", "search"])
def test_a_place_that_is_none_is_the_callers_mistake(
    provider: Direct, tenant: UUID, act: str
) -> None:
    """A permanent 400 that names the parameter, and not a contact that was not found."""
    attempts = {
        "list": lambda: provider.list(tenant, limit=3, after="nonsense"),
        "search": lambda: provider.search(tenant, "a", limit=3, after="nonsense"),
    }
    with pytest.raises(ProviderError, match="after") as refusal:
        attempts[act]()
    assert (refusal.value.permanent, refusal.value.status) == (True, 400)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        *(("ann@", True), ("ANN", True), ("'neil", True), ("Ö'NEIL", True), ("söhne", True)),
        *((" & ", True), ("30 12", True), ("%", False), ("_", False), ("\\", False)),
        *(("gold", False), ("a%e", False), ("nobody", False), ("*", False)),
    ],
)
def test_a_search_finds_a_text_in_any_text_field_in_any_case(
    provider: Direct, tenant: UUID, query: str, found: bool
) -> None:
    """Literally: no character is a wildcard; properties are not searched."""
    wanted = provider.create(tenant, FULL)
    provider.create(tenant, {"email": "zoe@example.org"})
    expected = [wanted] if found else []
    assert provider.search(tenant, query, limit=10, after=None).items == expected


def test_wildcards_are_found_where_they_stand(provider: Direct, tenant: UUID) -> None:
    """A percent sign finds a percent sign."""
    names = ("100 %", "a_b", "a\\b", "100 x", "axb")
    made = {
        name: provider.create(tenant, {"email": "a@example.com", "company": name}) for name in names
    }
    for query, name in (("%", "100 %"), ("a_b", "a_b"), ("a\\b", "a\\b")):
        assert provider.search(tenant, query, limit=10, after=None).items == [made[name]]


def test_a_search_is_paged_like_a_list(provider: Direct, tenant: UUID) -> None:
    """Newest first, past a contact."""
    made = [provider.create(tenant, FULL) for _ in range(4)]
    provider.create(tenant, {"email": "zoe@example.org"})
    first = provider.search(tenant, "ann", limit=3, after=None).items
    assert first == made[:0:-1]
    assert provider.search(tenant, "ann", limit=3, after=first[-1].id).items == [made[0]]


def test_no_tenant_reaches_anothers_contacts(provider: Direct, tenant: UUID, world: World) -> None:
    """By no method; and what is tried leaves the contact as it was."""
    other = world.settle().tenant_id
    made = provider.create(tenant, FULL)
    assert everything(provider, other) == []
    assert provider.search(other, "ann", limit=10, after=None).items == []
    for attempt in (
        lambda: provider.get(other, made.id),
        lambda: provider.update(other, made.id, {"company": "x"}),
        lambda: provider.delete(other, made.id),
    ):
        with pytest.raises(ProviderError) as refusal:
            attempt()
        assert (refusal.value.permanent, refusal.value.status) == (True, 404)
    assert provider.get(tenant, made.id) == made


def test_calls_at_once_do_not_mix(provider: Direct, world: World) -> None:
    """Threads of one process, each for a tenant of its own."""
    tenants = [world.settle().tenant_id for _ in range(4)]

    def work(tenant: UUID) -> set[str]:
        for number in range(10):
            provider.create(tenant, {"email": f"p{number}@{tenant.hex}.example.com"})
        return {contact.email.partition("@")[2] for contact in everything(provider, tenant)}

    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(work, tenants))
    assert seen == [{f"{tenant.hex}.example.com"} for tenant in tenants]


def test_a_provider_that_is_away_is_a_transient_error(
    settings: Settings, maintenance: Database, world: World
) -> None:
    """503, and no answer is mistaken for an absence; it works again as soon as it is back."""
    tenant = world.settle().tenant_id
    line = Line(settings.database_url)
    database = Database.connect(line.url)
    impatient = replace(settings, provider_backoff_s=0.001, provider_failures_max=1_000)
    sandbox = Direct(Providers(database, impatient), CRM, "crm_get")
    made = sandbox.create(tenant, FULL)
    line.cut()
    for attempt in (
        lambda: sandbox.create(tenant, FULL),
        lambda: sandbox.get(tenant, made.id),
        lambda: sandbox.list(tenant, limit=3, after=None),
    ):
        with pytest.raises(ProviderError) as refusal:
            attempt()
        assert (refusal.value.permanent, refusal.value.status) == (False, 503)
    line.mend()
    assert everything(sandbox, tenant) == [made]
    database.close()
    line.close()


def test_an_unknown_provider_is_refused_with_those_there_are(settings: Settings) -> None:
    """At the start of the service, and not at the first call."""
    database = Database.connect(settings.database_url)
    for given in ("crm=siebel", "sales=sandbox", "crm=local", "crm"):
        chosen = replace(settings, default_providers=given)
        with pytest.raises(InvalidSetting, match=r"OPSLEDGER_DEFAULT_PROVIDERS.*one of"):
            Providers(database, chosen)
    database.close()
