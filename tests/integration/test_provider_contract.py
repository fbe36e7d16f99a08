"""What every provider does alike: one suite for each capability, run on each provider of it.

Those elsewhere are fakes on this host, held to what the providers publish of themselves.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from app.config import load_settings
from app.domain.resources import Resource
from app.errors import ProviderCode, ProviderError
from app.providers import google, hubspot
from app.providers.catalogue import KINDS, kinds_of
from app.providers.protocols import CAPABILITIES, Capability
from app.store.provider_accounts import delete_account, put_account
from app.store.session import Database
from app.vault import new_key
from tests.support import fake_google, fake_hubspot, fake_zendesk
from tests.support.adapter import Direct
from tests.support.fakes import LATE_S, Fake
from tests.support.peer import serving
from tests.support.world import World, opened

GOOGLE = {
    "client_id": "client",
    "client_secret": fake_google.SECRET,
    "refresh_token": fake_google.REFRESH,
}
FAKES: dict[str, tuple[type[Fake], dict[str, str], dict[str, str]]] = {
    # the fake, credentials, options
    "hubspot": (
        fake_hubspot.FakeHubSpot,
        {"access_token": fake_hubspot.TOKEN},
        {"properties": "tier", "portal_id": "77"},
    ),
    "zendesk": (
        fake_zendesk.FakeZendesk,
        {"email": fake_zendesk.EMAIL, "api_token": fake_zendesk.TOKEN},
        {"subdomain": "acme"},
    ),
    "google_calendar": (fake_google.FakeCalendar, GOOGLE, {}),
    "gmail": (fake_google.FakeGmail, GOOGLE, {"user": "ann@example.com"}),
}
SECRETS = [value for _, given, _ in FAKES.values() for value in given.values() if "secret" in value]
EVERY = [(name, provider) for name in CAPABILITIES for provider in kinds_of(name)]
TIMEOUT_S = 0.7  # a fake answers at once, unless the machine is busy
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NEW: dict[str, dict[str, Any]] = {
    "crm": {"email": "ann@example.com", "first_name": "Ann", "properties": {"tier": "gold"}},
    "helpdesk": {"subject": "It broke", "description": "It broke at noon.", "tags": ["a", "b"]},
    "calendar": {
        "title": "Review",
        "start": NOON,
        "end": NOON + timedelta(hours=1),
        "attendees": ["bob@example.com"],
    },
    "email": {"to": ["bob@example.com"], "subject": "Grüße", "text": "Hello Bob\n"},
    "knowledge": {"title": "How to mend it", "text": "Turn it off and on again."},
}
CHANGES: dict[str, dict[str, Any]] = {
    "crm": {"company": "Ä & Söhne", "first_name": None},
    "helpdesk": {"status": "solved", "priority": "high"},
    "calendar": {"title": "Moved", "location": "Room 1"},
    "knowledge": {"text": "Buy a new one."},
}
FIRST = {
    "crm": "crm_create",
    "helpdesk": "helpdesk_create_ticket",
    "calendar": "calendar_create_event",
    "email": "email_send",
    "knowledge": "knowledge_store",
}


@dataclass
class Desk:
    """A tenant's provider, and the fake behind it if it is elsewhere."""

    name: str
    provider: str
    call: Direct
    tenant: UUID
    fake: Fake | None
    world: World

    def make(self, **values: Any) -> Any:
        """A new thing; each contact has an address of its own."""
        given = {**NEW[self.name], **values}
        if self.name == "crm" and "email" not in values:
            self.made = getattr(self, "made", 0) + 1
            given["email"] = f"p{self.made}@example.com"
        method = "send" if self.name == "email" else "create"
        return getattr(self.call, method)(self.tenant, given)

    def page(self, limit: int = 100, after: str | None = None) -> Any:
        """A page of the list."""
        window = {"since": None, "until": None} if self.name == "calendar" else {}
        return self.call.list(self.tenant, limit=limit, after=after, **window)


@pytest.fixture(scope="module")
def world(
    environment: dict[str, str],
    maintenance: Database,
    worker: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    """A live app that may call this host, and waits for nobody long."""
    settings = replace(
        load_settings(environment),
        data_dir=tmp_path_factory.mktemp("contract"),
        flush_interval_ms=5,
        flush_pause_ms=5,
        private_destinations=("127.0.0.1/32",),
        provider_backoff_s=0.001,
        provider_attempts_max=2,
        provider_failures_max=1_000,
        credential_keys=new_key(),
    )
    with opened(settings, maintenance) as made:
        yield made


@pytest.fixture
def desk(request: pytest.FixtureRequest, world: World) -> Iterator[Desk]:
    """The desk of a capability and provider, of a new tenant."""
    name, provider = request.param
    tenant, fake = world.settle().tenant_id, None
    google._logins.clear()
    providers = world.app.extensions["opsledger-providers"]
    with ExitStack() as stack:
        options: dict[str, Any] = {"timeout_s": TIMEOUT_S}
        credentials: dict[str, str] = {}
        if provider in FAKES:
            kind, credentials, more = FAKES[provider]
            fake = kind()
            peer = stack.enter_context(serving(fake.answer))
            options |= {**more, "base_url": peer.url}
            if credentials is GOOGLE:
                options["token_url"] = f"{peer.url}/token"
        assert KINDS[provider].parted({**options, **credentials}) == (options, credentials)
        locked = providers.vault.lock(tenant, name, credentials) if credentials else None
        with world.maintenance.unrestricted_unsafe() as session:
            put_account(
                session, tenant, name, provider=provider, options=options, credentials=locked
            )
        action_type = FIRST.get(
            name, f"{name}_create_{'ticket' if name == 'helpdesk' else 'event'}"
        )
        call = Direct(providers, Capability(name), action_type)
        yield Desk(name, provider, call, tenant, fake, world)
        with world.maintenance.unrestricted_unsafe() as session:
            delete_account(session, tenant, name)
        if fake is not None:
            assert fake.mistakes == []


def records(desk: Desk) -> list[dict[str, Any]]:
    """The tenant's action logs, oldest first, as Postgres has them."""
    desk.world.arrive()
    with desk.world.maintenance.unrestricted_unsafe() as session:
        statement = text("SELECT * FROM action_logs WHERE tenant_id = :tenant ORDER BY id")
        found = session.execute(statement, {"tenant": desk.tenant}).mappings()
        return [dict(row) for row in found]


def of(*names: str, but: tuple[str, ...] = ()) -> pytest.MarkDecorator:
    """Run on every provider of these capabilities."""
    chosen = [one for one in EVERY if one[0] in names and one[1] not in but]
    return pytest.mark.parametrize("desk", chosen, indirect=True, ids="-".join)


ALL = tuple(CAPABILITIES)
CHANGED = ("crm", "helpdesk", "calendar", "knowledge")


def shown_alike(made: Resource, given: dict[str, Any]) -> None:
    """A resource has what it was given."""
    for field, value in given.items():
        assert getattr(made, field) == value, field


@of(*ALL)
def test_what_was_made_can_be_read_back(desk: Desk) -> None:
    """All unified fields, with the provider's name, an id of its own and times with a zone."""
    made = desk.make()
    assert made.provider == desk.provider
    assert made.id
    assert made.created_at.utcoffset() == timedelta(0)
    got = desk.call.get(desk.tenant, made.id)
    given = {name: value for name, value in NEW[desk.name].items() if name != "email"}
    shown_alike(made, given)
    shown_alike(got, given)
    assert got.id == made.id
    if desk.fake is not None:
        assert got.url.startswith(("https://", "http://127.0.0.1"))


@of(*CHANGED)
def test_a_change_is_of_the_given_fields_alone(desk: Desk) -> None:
    """Null empties one; the others stay."""
    made = desk.make()
    changed = desk.call.update(desk.tenant, made.id, CHANGES[desk.name])
    shown_alike(changed, CHANGES[desk.name])
    kept = set(NEW[desk.name]) - set(CHANGES[desk.name]) - {"email"}
    for one in (changed, desk.call.get(desk.tenant, made.id)):
        shown_alike(one, {name: NEW[desk.name][name] for name in kept})


@of("crm", "calendar", "knowledge")
def test_what_was_deleted_is_gone(desk: Desk) -> None:
    """From lists too; others stay."""
    made, other = desk.make(), desk.make()
    desk.call.delete(desk.tenant, made.id)
    assert [one.id for one in desk.page().items] == [other.id]
    with pytest.raises(ProviderError) as refusal:
        desk.call.get(desk.tenant, made.id)
    assert refusal.value.code is ProviderCode.NOT_FOUND


@of(*ALL)
def test_what_is_unknown_is_not_found(desk: Desk) -> None:
    """Permanently, whatever its id looks like; and on record."""
    calls = [lambda item_id: desk.call.get(desk.tenant, item_id)]
    if desk.name in CHANGED:
        calls.append(lambda item_id: desk.call.update(desk.tenant, item_id, CHANGES[desk.name]))
    if desk.name == "helpdesk":
        calls.append(lambda item_id: desk.call.comment(desk.tenant, item_id, {"body": "x"}))
    for call in calls:
        for item_id in ("01890a5d-ac96-774b-bcce-b302099a8057", "0", "ü/..?&#%"):
            with pytest.raises(ProviderError) as refusal:
                call(item_id)
            assert refusal.value.code is ProviderCode.NOT_FOUND
    kept = records(desk)
    assert len(kept) == 3 * len(calls)
    assert {record["status"] for record in kept} == {"failure"}
    assert all("ü/..?&#%" in str(record["request_payload"]) for record in kept[2::3])


@of(*ALL)
def test_a_list_shows_each_once(desk: Desk) -> None:
    """Page by page, by the provider's own cursor; a place that is none is the caller's mistake."""
    made = {desk.make().id for _ in range(5)}
    shown, after = [], None
    for _ in range(4):
        page = desk.page(2, after)
        shown += [one.id for one in page.items]
        after = page.next
        if after is None:
            break
    assert after is None
    assert sorted(shown) == sorted(made)
    with pytest.raises(ProviderError) as refusal:
        desk.page(2, "nonsense")
    assert refusal.value.code is ProviderCode.INVALID


@of("crm", "email", "knowledge")
def test_a_search_finds_a_word_in_any_case(desk: Desk) -> None:
    """And not what has none."""
    words = {"crm": "company", "email": "subject", "knowledge": "title"}
    wanted = desk.make(**{words[desk.name]: "Zebra crossing"})
    desk.make()
    for query, found in (("ZEBRA", [wanted.id]), ("giraffe", [])):
        page = desk.call.search(desk.tenant, query, limit=10, after=None)
        assert [one.id for one in page.items] == found


@of("helpdesk")
def test_a_comment_is_public_unless_it_says_otherwise(desk: Desk) -> None:
    """And names its ticket."""
    ticket = desk.make()
    for given, public in (({"body": "A"}, True), ({"body": "B", "public": False}, False)):
        said = desk.call.comment(desk.tenant, ticket.id, given)
        assert (said.ticket_id, said.body, said.public) == (ticket.id, given["body"], public)


@of("calendar")
def test_events_are_listed_by_window_and_may_be_whole_days(desk: Desk) -> None:
    """From midnight to midnight; a change makes a day of an hour, and back."""
    midnight = NOON.replace(hour=0)
    day = {"start": midnight, "end": midnight + timedelta(days=1), "all_day": True}
    hour = {"start": NOON, "end": NOON + timedelta(hours=1), "all_day": False}
    event = desk.make(**day)
    shown_alike(event, day)
    for given in (hour, day):
        shown_alike(desk.call.update(desk.tenant, event.id, given), given)
    later = desk.make(start=NOON + timedelta(days=9), end=NOON + timedelta(days=9, hours=1))
    window = {"since": NOON + timedelta(days=5), "until": NOON + timedelta(days=20)}
    page = desk.call.list(desk.tenant, limit=9, after=None, **window)
    assert [one.id for one in page.items] == [later.id]


@of("email")
def test_a_message_may_have_html_and_copies(desk: Desk) -> None:
    """Beside its text."""
    given = {"cc": ["cy@example.com", "di@example.com"], "html": "<p>Hello</p>\n"}
    got = desk.call.get(desk.tenant, desk.make(**given).id)
    shown_alike(got, given)


OUTCOMES = {
    # faults, what it comes to, how often a read is tried
    "500": (["500"] * 9, ProviderCode.UNAVAILABLE, 2),
    "500 once": (["500"], None, 2),
    "429 with Retry-After": (["429=9"] * 9, ProviderCode.RATE_LIMITED, 1),
    "429, soon over": (["429=0"], None, 2),
    "timeout": (["timeout"] * 9, ProviderCode.TIMEOUT, 2),
    "malformed": (["malformed"] * 9, ProviderCode.UNAVAILABLE, 2),
    "unauthorized": (["401"], ProviderCode.UNAUTHORIZED, 1),
    "invalid": (["400"], ProviderCode.INVALID, 1),
}
ELSEWHERE = tuple(name for name in KINDS if name not in FAKES)


@of(*ALL, but=ELSEWHERE)
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_outcome_of_a_read_is_told_and_on_record(desk: Desk, outcome: str) -> None:
    """Each attempt, with what was sent and received, and no secret in any of it."""
    assert desk.fake is not None
    item_id = desk.make().id
    faults, code, tries = OUTCOMES[outcome]
    desk.fake.faults = list(faults)
    before, seen = len(records(desk)), len(desk.fake.seen)
    if code is None:
        assert desk.call.get(desk.tenant, item_id).id == item_id
    else:
        with pytest.raises(ProviderError) as refusal:
            desk.call.get(desk.tenant, item_id)
        assert refusal.value.code is code
        if outcome == "429 with Retry-After":
            assert refusal.value.retry_after_s == 9
    kept = records(desk)[before:]
    assert len(desk.fake.seen) - seen == len(kept) == tries
    last = {None: "success", ProviderCode.TIMEOUT: "timeout"}.get(code, "failure")
    assert [record["status"] for record in kept] == ["retry"] * (tries - 1) + [last]
    assert len({record["operation_id"] for record in kept}) == 1
    for asked, record in zip(desk.fake.seen[seen:], kept, strict=True):
        assert record["request_payload"]["id"] == item_id
        exchange = record["metadata"]["provider"]
        assert exchange["method"] == asked.method == "GET"
        assert exchange["url"].endswith(asked.path.partition("?")[0])
    assert not any(secret in json.dumps(kept, default=str) for secret in SECRETS)


def written(desk: Desk, item_id: str, act: str) -> None:
    """Change, delete or comment on a thing."""
    if act == "update":
        desk.call.update(desk.tenant, item_id, CHANGES[desk.name])
    elif act == "comment":
        desk.call.comment(desk.tenant, item_id, {"body": "Looking", "public": True})
    else:
        desk.call.delete(desk.tenant, item_id)


WRITES = [
    (name, provider, act)
    for name, provider in EVERY
    if provider in FAKES
    for act in {
        "crm": ("update", "delete"),
        "calendar": ("update", "delete"),
        "helpdesk": ("update", "comment"),
    }.get(name, ())
]


@pytest.mark.parametrize(
    ("desk", "act"),
    [((name, provider), act) for name, provider, act in WRITES],
    indirect=["desk"],
    ids=["-".join(each) for each in WRITES],
)
def test_every_outcome_of_a_write_is_told_and_on_record(desk: Desk, act: str) -> None:
    """A change and a deletion are the same twice, so they are tried again; a comment is tried
    again only if the provider certainly did nothing (429).
    """
    assert desk.fake is not None
    for outcome, (faults, read_code, read_tries) in OUTCOMES.items():
        item_id, code, tries = desk.make().id, read_code, read_tries
        if act == "comment" and not outcome.startswith("429"):
            code, tries = code or ProviderCode.UNAVAILABLE, 1
        desk.fake.faults = list(faults)
        before, seen = len(records(desk)), len(desk.fake.seen)
        if code is None:
            written(desk, item_id, act)
        else:
            with pytest.raises(ProviderError) as refusal:
                written(desk, item_id, act)
            assert refusal.value.code is code, outcome
        desk.fake.faults = []
        kept = records(desk)[before:]
        calls = len(desk.fake.seen) - seen - len(kept)
        assert calls == (1 if code is None and desk.name == "crm" and act == "update" else 0)
        assert len(kept) == tries, outcome
        last = {None: "success", ProviderCode.TIMEOUT: "timeout"}.get(code, "failure")
        assert [record["status"] for record in kept] == ["retry"] * (tries - 1) + [last], outcome
        assert all(item_id in record["request_payload"].values() for record in kept)
        assert not any(secret in json.dumps(kept, default=str) for secret in SECRETS)


@of(*ALL, but=ELSEWHERE)
@pytest.mark.parametrize("outcome", ["429=9", "429=0", "400", "401", "malformed"])
def test_every_outcome_of_a_creation_is_told_and_on_record(desk: Desk, outcome: str) -> None:
    """What a provider refused is made again where it says so; what it answered in a form that
    nobody can read may have been made.
    """
    assert desk.fake is not None
    keyed = desk.provider in ("zendesk", "google_calendar")
    tries = 2 if outcome == "429=0" or (outcome == "malformed" and keyed) else 1
    desk.fake.faults = [outcome]
    if tries == 2:
        desk.make()
        statuses = ["retry", "success"]
    else:
        with pytest.raises(ProviderError) as refusal:
            desk.make()
        code = {"429=9": "rate_limited", "400": "invalid", "401": "unauthorized"}
        assert refusal.value.code == code.get(outcome, "unavailable")
        statuses = ["failure"]
    assert [record["status"] for record in records(desk)] == statuses
    desk.fake.faults = []
    made = tries == 2 or outcome == "malformed"
    assert len(desk.page().items) == (1 if made else 0)


@of("crm", "calendar", "email", but=("sandbox",))
def test_a_client_that_is_not_installed_is_named(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 and one record, not a mistake of ours."""
    package = "hubspot" if desk.provider == "hubspot" else "googleapiclient"
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    missing = Missing(package)
    monkeypatch.setattr(sys, "meta_path", [missing, *sys.meta_path])
    for cached in (hubspot._sdk, google._service):
        cached.cache_clear()
    with pytest.raises(ProviderError, match=f"{desk.provider} needs .* {package}") as refusal:
        desk.page()
    assert refusal.value.status == 503
    (record,) = records(desk)
    assert record["status"] == "failure"
    assert "requirements/providers.txt" in record["error_message"]
    monkeypatch.undo()
    assert desk.page().items == []


class Missing:
    """Finds no module of a package, as where it is not installed."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, name: str, *_: object) -> None:
        """Say so for the package, and leave the others to those who know them."""
        if name.partition(".")[0] == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=self.package)


@of(*ALL, but=ELSEWHERE)
@pytest.mark.parametrize("fault", ["lost", "500"])
def test_a_creation_in_doubt_is_repeated_only_where_the_provider_knows_keys(
    desk: Desk, fault: str
) -> None:
    """Zendesk and Google Calendar do; at HubSpot and Gmail our caller is told."""
    assert desk.fake is not None
    keyed = desk.provider in ("zendesk", "google_calendar")
    desk.fake.faults = ["timeout" if fault == "lost" else fault]
    if keyed:
        desk.make()
        statuses = ["retry", "success"]
    else:
        with pytest.raises(ProviderError):
            desk.make()
        statuses = ["timeout" if fault == "lost" else "failure"]
    assert [record["status"] for record in records(desk)] == statuses
    desk.fake.faults = []
    assert len(desk.page().items) == (1 if keyed or fault == "lost" else 0)


@of("crm", but=("sandbox",))
def test_what_hubspot_refuses_is_told_in_its_own_words(desk: Desk) -> None:
    """A contact that there is, a property that there is not, a value that is no text."""
    desk.make(email="one@example.com")
    for values, provider_code in (
        ({"email": "one@example.com"}, "CONFLICT"),
        ({"email": "two@example.com", "properties": {"zzz": "1"}}, "VALIDATION_ERROR"),
        ({"email": "two@example.com", "properties": {"tier": {"a": 1}}}, None),
    ):
        with pytest.raises(ProviderError) as refusal:
            desk.call.create(desk.tenant, values)
        assert (refusal.value.code, refusal.value.provider_code) == ("invalid", provider_code)


@of("calendar", "email", but=("sandbox",))
def test_a_token_is_asked_for_once_and_again_when_it_is_refused(desk: Desk) -> None:
    """And wrong credentials are the tenant's, told without a word of them."""
    fake = desk.fake
    assert isinstance(fake, fake_google.FakeGoogle)
    item_id = desk.make().id
    for _ in range(3):
        desk.call.get(desk.tenant, item_id)
    assert fake.tokens == 1
    fake.tokens = 7  # the one we have is none any more
    with pytest.raises(ProviderError) as refusal:
        desk.call.get(desk.tenant, item_id)
    assert refusal.value.code is ProviderCode.UNAUTHORIZED
    assert desk.call.get(desk.tenant, item_id).id == item_id
    assert fake.tokens == 8
    google._logins.clear()
    fake_google.REFRESH, right = "another", fake_google.REFRESH
    try:
        with pytest.raises(ProviderError, match="no access token") as refusal:
            desk.call.get(desk.tenant, item_id)
    finally:
        fake_google.REFRESH = right
    assert refusal.value.code is ProviderCode.UNAUTHORIZED
    assert right not in refusal.value.detail


@of("email", but=("sandbox",))
def test_a_page_of_gmail_is_two_calls_and_one_record(desk: Desk) -> None:
    """The list, and one batch for all its messages."""
    made = [desk.make().id for _ in range(3)]
    before = len(records(desk))
    assert [one.id for one in desk.page().items] == made[::-1]
    (record,) = records(desk)[before:]
    assert [call["method"] for call in record["metadata"]["calls"]] == ["GET", "POST"]
    assert LATE_S > TIMEOUT_S
