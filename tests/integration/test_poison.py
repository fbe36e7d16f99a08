"""Dead letters: a record that can never be stored is set aside with its reason, alone."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from app.domain.codec import COLUMNS, encode
from app.domain.records import Record
from app.pipeline.persist import Persister
from app.store.session import Database
from tests.support.ledger import check_batches, letters, received, rows
from tests.support.world import World, action, audit, lines_of


@pytest.fixture
def persister(environment: dict[str, str]) -> Iterator[Persister]:
    """A worker's persister, with connections of its own."""
    database = Database.connect(environment["WORKER_DATABASE_URL"])
    yield Persister(database)
    database.close()


def poisoned(record: Record, **cells: str) -> bytes:
    """The line of a record with some of its cells replaced, as capture never makes it."""
    letter, *values = encode(record).decode().split("\t")
    named = {**dict(zip(COLUMNS[record.kind], values, strict=True)), **cells}
    return "\t".join([letter, *named.values()]).encode()


POISON: dict[str, tuple[Callable[[UUID], bytes], str]] = {
    "NUL in a payload": (
        lambda t: poisoned(action(t), request_payload=r'{"a":"x\\u0000y"}'),
        "request_payload: unsupported Unicode escape sequence",
    ),
    "NUL in a text": (lambda t: poisoned(action(t), error_message="\x00"), "0x00"),
    "NUL in a name": (
        lambda t: poisoned(audit(t), user_id="a\x00"),
        "user_id: must not contain NUL",
    ),
    "lone surrogate in a payload": (
        lambda t: poisoned(action(t), response_data=r'["\\ud800"]'),
        "response_data: invalid input syntax for type json",
    ),
    "NaN": (lambda t: poisoned(action(t), request_payload='{"a":NaN}'), "request_payload"),
    "Infinity": (lambda t: poisoned(audit(t), changes='{"a":-Infinity}'), "json"),
    "half a payload": (lambda t: poisoned(action(t), request_payload='{"a"'), "request_payload"),
    "nesting beyond reason": (
        lambda t: poisoned(action(t), request_payload="[" * 100_000 + "]" * 100_000),
        "recursion",
    ),
    "an unknown action type": (
        lambda t: poisoned(action(t), action_type="crm_dance"),
        "action_type",
    ),
    "an unknown status": (lambda t: poisoned(action(t), status="won"), "status"),
    "a provider too long": (
        lambda t: poisoned(action(t), provider_name="x" * 101),
        "provider_name: must have 1 to 100 characters, not 101",
    ),
    "a negative time": (lambda t: poisoned(action(t), execution_time_ms="-1"), "execution_time_ms"),
    "a time too large": (
        lambda t: poisoned(action(t), execution_time_ms=str(2**31)),
        "execution_time_ms",
    ),
    "a time of another type": (lambda t: poisoned(action(t), execution_time_ms="soon"), "soon"),
    "no provider": (lambda t: poisoned(action(t), provider_name=r"\N"), "provider_name"),
    "a resource id too long": (lambda t: poisoned(audit(t), resource_id="x" * 256), "resource_id"),
    "an unknown tenant": (lambda _: poisoned(action(uuid4())), "tenant"),
    "a tenant that is no UUID": (lambda t: poisoned(action(t), tenant_id="acme"), "acme"),
    "an id that is no UUID": (lambda t: poisoned(action(t), id="x" * 14 + "7"), "id"),
    "an id of another version": (lambda t: poisoned(action(t), id=str(uuid4())), "UUIDv7"),
    "a day that is none": (
        lambda t: poisoned(action(t), created_at="2026-02-30 00:00"),
        "2026-02-30",
    ),
    "a time that is none": (lambda t: poisoned(action(t), created_at="2026-02-03 99:99"), "99:99"),
    "an unknown kind": (lambda t: b"x" + poisoned(action(t))[1:], "not a record"),
    "a cell too many": (lambda t: poisoned(action(t)) + b"\t1", "not as many cells"),
    "a cell too few": (lambda t: poisoned(action(t)).rpartition(b"\t")[0], "not as many cells"),
    "no record": (lambda _: b"{broken", "not a record"),
    "an empty line": (lambda _: b"", "not a record"),
    "bytes that are no UTF-8": (lambda t: poisoned(action(t)) + b"\xff", "not UTF-8"),
}


@pytest.mark.parametrize("name", POISON)
def test_a_record_that_can_never_be_stored_is_a_dead_letter_and_its_neighbours_commit(
    world: World, maintenance: Database, persister: Persister, name: str
) -> None:
    """With its bytes and a reason that says what is wrong."""
    make, reason = POISON[name]
    tenant, shipment = world.settle().tenant_id, uuid4()
    before, poison, after = action(tenant), make(tenant), audit(tenant)
    lines = b"\n".join([lines_of(before), poison, lines_of(after)])
    outcome = persister.persist(shipment, lines)
    assert (outcome.inserted, outcome.duplicates, outcome.dead) == (2, 0, 1)
    (letter,) = letters(maintenance, shipment)
    assert reason in letter.reason
    assert len(letter.reason) <= 2000
    assert bytes(letter.payload) == poison
    assert [row.id for row in rows(maintenance, "action_logs", tenant)] == [before.id]
    assert [row.id for row in rows(maintenance, "audit_logs", tenant)] == [after.id]
    check_batches(maintenance, tenant)


def test_a_full_shipment_with_every_poison_keeps_all_its_good_records(
    world: World, maintenance: Database, persister: Persister
) -> None:
    """500 records, of which each kind of poison spoils one; delivered twice, buried once."""
    tenant, shipment = world.settle().tenant_id, uuid4()
    good = [action(tenant) if n % 3 else audit(tenant) for n in range(500 - len(POISON))]
    lines = [lines_of(record) for record in good]
    for number, (make, _) in enumerate(POISON.values()):
        lines.insert(number * 13, make(tenant))
    assert len(lines) == 500
    outcome = persister.persist(shipment, b"\n".join(lines))
    assert (outcome.inserted, outcome.dead) == (len(good), len(POISON))
    persister.persist(shipment, b"\n".join(lines))
    assert len(letters(maintenance, shipment)) == len(POISON)
    found = rows(maintenance, "action_logs", tenant) + rows(maintenance, "audit_logs", tenant)
    assert {row.id for row in found} == {record.id for record in good}
    check_batches(maintenance, tenant)


def test_a_dead_letter_says_whose_record_it_was(
    world: World, maintenance: Database, persister: Persister
) -> None:
    """Tenant, kind and id, where they could be read."""
    shipment, nobody = uuid4(), uuid4()
    record = audit(nobody)
    persister.persist(shipment, lines_of(record))
    (letter,) = letters(maintenance, shipment)
    assert (letter.tenant_id, letter.kind, letter.record_id) == (nobody, "audit", record.id)
    assert str(nobody) in letter.reason


def test_a_shipment_of_dead_letters_alone_has_its_receipt(
    world: World, maintenance: Database, persister: Persister
) -> None:
    """Or the spool would send it for ever."""
    shipment = uuid4()
    assert persister.persist(shipment, b"nonsense\n[]").dead == 2
    assert received(maintenance, shipment)


def test_a_new_action_type_is_stored_as_soon_as_it_is_known(
    world: World, maintenance: Database, persister: Persister
) -> None:
    """Before that it is a dead letter with its reason."""
    tenant, name = world.settle().tenant_id, f"persist_{uuid4().hex[:12]}"
    unknown = replace(action(tenant), action_type=name)
    assert persister.persist(uuid4(), lines_of(unknown)).dead == 1
    with maintenance.unrestricted_unsafe() as session:
        session.execute(text("SELECT add_action_type(:name)"), {"name": name})
    assert persister.persist(uuid4(), lines_of(unknown)).inserted == 1
