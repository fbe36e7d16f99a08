"""Claims: what a caller may say of a record's identity, and what is refused by name."""

import hashlib
import hmac
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest
from uuid_utils.compat import uuid7

from app.domain.claims import Claim
from app.domain.identity import created_at_of, derived_id, is_record_id, redated
from app.domain.records import Kind
from app.errors import InvalidRecord
from tests.support.samples import TENANT

KEY = b"k" * 32
NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
THEN = NOW - timedelta(days=3)
FRESH = UUID("019b7d2b-65ce-7abc-8123-456789abcdef")
OTHER_TENANT = UUID("0198c0de-0000-7000-8000-000000000002")


def resolve(
    key: bytes = KEY, tenant_id: UUID = TENANT, kind: Kind = Kind.ACTION, **claim: Any
) -> UUID:
    """The id that follows from a claim made now."""
    return Claim(**claim).resolve(tenant_id=tenant_id, kind=kind, key=key, now=NOW, fresh=FRESH)


def refusal(**claim: Any) -> tuple[str, str]:
    """The field and the rule by which a claim is refused."""
    with pytest.raises(InvalidRecord) as caught:
        resolve(**claim)
    return caught.value.field, caught.value.rule


def at(moment: datetime) -> UUID:
    """Some id of a moment."""
    return redated(uuid7(), moment)


def test_without_a_claim_the_id_is_made_at_capture() -> None:
    """The fresh one stands."""
    assert resolve() == FRESH


def test_a_given_id_stands_whatever_its_age() -> None:
    """With or without the time it holds."""
    given = at(THEN)
    assert resolve(id=given) == resolve(id=given, created_at=THEN) == given
    assert resolve(id=at(datetime(1970, 1, 1, tzinfo=UTC))).int >> 80 == 0


@pytest.mark.parametrize("given", [uuid4(), UUID(int=0), UUID(int=2**128 - 1)])
def test_a_given_id_has_to_be_a_record_id(given: UUID) -> None:
    """No other version has a time."""
    field, rule = refusal(id=given)
    assert field == "id"
    assert "UUIDv7" in rule


@pytest.mark.parametrize("micros", [0, 1, 999])
def test_id_and_created_at_agree_to_the_millisecond(micros: int) -> None:
    """What a caller knows more finely is cut, in any zone."""
    given = at(THEN)
    moment = (THEN + timedelta(microseconds=micros)).astimezone(timezone(timedelta(hours=9)))
    assert resolve(id=given, created_at=moment) == given


@pytest.mark.parametrize("micros", [-1, 1000, -1000, 10**9])
def test_id_and_created_at_that_disagree_are_refused(micros: int) -> None:
    """The answer gives the millisecond of the id."""
    field, rule = refusal(id=at(THEN), created_at=THEN + timedelta(microseconds=micros))
    assert field == "created_at"
    assert "2025-12-30T03:04:05.678Z" in rule


def test_created_at_alone_makes_an_id_of_its_millisecond() -> None:
    """With the random bits of a fresh one, so that two such records are two."""
    made = resolve(created_at=THEN + timedelta(microseconds=999))
    assert is_record_id(made)
    assert created_at_of(made) == THEN
    assert made.int % 2**62 == FRESH.int % 2**62


def test_an_external_id_leads_to_the_same_id_however_often() -> None:
    """On any host that has the key: nothing else goes in."""
    made = resolve(created_at=THEN, external_id="order/7")
    assert is_record_id(made)
    assert created_at_of(made) == THEN
    assert made == resolve(created_at=THEN + timedelta(microseconds=900), external_id="order/7")
    assert made == derived_id(
        KEY, tenant_id=TENANT, kind="action", external_id="order/7", moment=THEN
    )


def test_an_external_id_is_bound_to_tenant_kind_time_and_key() -> None:
    """None of them may be exchanged without another id coming out."""
    usual: dict[str, Any] = {"created_at": THEN, "external_id": "7"}
    made = {
        resolve(**usual),
        resolve(**usual, tenant_id=OTHER_TENANT),
        resolve(**usual, kind=Kind.AUDIT),
        resolve(**usual, key=b"l" * 32),
        resolve(**{**usual, "external_id": "8"}),
        resolve(**{**usual, "created_at": THEN + timedelta(milliseconds=1)}),
    }
    assert len(made) == 6
    assert len({made_id.int % 2**62 for made_id in made}) == 5  # time alone changes time alone


def test_the_derivation_never_changes() -> None:
    """Written out: ids of other hosts, and of yesterday's release, have to come out again."""
    message = TENANT.bytes + b"\0action\0" + "bestellung-é".encode()
    digest = int.from_bytes(hmac.new(KEY, message, hashlib.sha256).digest()[:10], "big")
    made = resolve(created_at=THEN, external_id="bestellung-é")
    assert made.int >> 80 == int(THEN.timestamp() * 1000)
    assert made.version == 7
    assert made.int >> 64 & 0xFFF == digest >> 64 & 0xFFF
    assert made.int & (2**62 - 1) == digest & (2**62 - 1)


@pytest.mark.parametrize("text", ["", "x" * 256, "a\0b", "\ud800", 7, ["a"]])
def test_an_external_id_that_is_no_identifier_is_refused(text: Any) -> None:
    """1 to 255 characters that Postgres can hold."""
    assert refusal(created_at=THEN, external_id=text)[0] == "external_id"


@pytest.mark.parametrize(
    ("claim", "field"),
    [
        ({"id": FRESH, "external_id": "7"}, "external_id"),
        ({"id": FRESH, "created_at": NOW, "external_id": "7"}, "external_id"),
        ({"external_id": "7"}, "external_id"),
        ({"created_at": datetime(1969, 12, 31, 23, 59, 59, 999999, UTC)}, "created_at"),
        ({"created_at": datetime.min.replace(tzinfo=UTC), "external_id": "7"}, "created_at"),
        ({"created_at": datetime.max.replace(tzinfo=UTC)}, "created_at"),
    ],
)
def test_what_does_not_go_together_is_refused_by_name(claim: dict[str, Any], field: str) -> None:
    """Two names for one record, half a name, times that no id can hold."""
    assert refusal(**claim)[0] == field


def test_without_a_key_external_ids_are_refused_and_nothing_else_is() -> None:
    """An id derived without a secret would tell the external id to whoever guesses it."""
    field, rule = refusal(created_at=THEN, external_id="7", key=b"")
    assert field == "external_id"
    assert "OPSLEDGER_EXTERNAL_ID_KEY" in rule
    assert created_at_of(resolve(created_at=THEN, key=b"")) == THEN
    assert resolve(key=b"") == FRESH


@pytest.mark.parametrize("claim", ["id", "created_at", "external_id"])
def test_five_minutes_ahead_is_the_limit(claim: str) -> None:
    """Clocks differ a little; more is a mistake, and is named by what was given."""

    def claimed(moment: datetime) -> dict[str, Any]:
        if claim == "id":
            return {"id": at(moment)}
        return {"created_at": moment} | ({"external_id": "7"} if claim == "external_id" else {})

    limit = NOW + timedelta(minutes=5)
    assert created_at_of(resolve(**claimed(limit))) == limit
    field, rule = refusal(**claimed(limit + timedelta(milliseconds=1)))
    assert field == ("id" if claim == "id" else "created_at")
    assert "5 minutes ahead; it is 2026-01-02T03:04:05.678Z" in rule
