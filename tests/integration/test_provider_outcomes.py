"""What comes of calls at providers elsewhere that fail: what the caller is told, how often a call
was made, and that each time is on record.
"""

import json
import sys

import pytest

from app.errors import ProviderCode, ProviderError
from app.providers import google, hubspot
from app.providers.catalogue import KINDS
from tests.support import fake_google
from tests.support.desks import ALL, CHANGES, EVERY, FAKES, SECRETS, TIMEOUT_S, Desk, of, records
from tests.support.fakes import LATE_S

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
