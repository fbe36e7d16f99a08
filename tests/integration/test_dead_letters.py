"""Dead letters: a record that cannot be stored is kept with its reason, and can be tried again."""

from collections.abc import Collection, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from click.testing import Result
from sqlalchemy import text
from uuid_utils.compat import uuid7

from app.domain.access import OPERATOR_TENANT_ID
from app.domain.codec import COLUMNS, encode
from app.domain.records import Kind
from app.pipeline.persist import Outcome, Persister
from app.store import tenants as store
from app.store.session import Database
from tests.support.ledger import batches, check_batches, letters, rows
from tests.support.world import World, action

SHIPMENT_ROWS = 500


@pytest.fixture
def persister(world: World) -> Iterator[Persister]:
    """What a worker commits with."""
    database = Database.connect(world.opsledger.settings.url_of("worker"))
    yield Persister(database)
    database.close()


def line_of(tenant_id: UUID, /, **cells: str) -> bytes:
    """A record's line with some of its cells overwritten, as no encoder of ours writes it."""
    letter, *written = encode(action(tenant_id)).decode().split("\t")
    values = {**dict(zip(COLUMNS[Kind.ACTION], written, strict=True)), **cells}
    return "\t".join([letter, *values.values()]).encode()


def flask(world: World, *arguments: str) -> Result:
    """Run a command as an operator does."""
    with world.app.app_context():
        return world.app.test_cli_runner().invoke(args=arguments)


def poison(tenant_id: UUID, stranger: UUID, new_type: str) -> dict[str, bytes]:
    """Lines that Postgres cannot take, by what their reason has to name."""
    return {
        f"tenant_id: no tenant {stranger}": line_of(stranger),
        "action_type_enum": line_of(tenant_id, action_type=new_type),
        "execution_time_ms: must be from 0 to 2147483647": line_of(
            tenant_id, execution_time_ms="99999999999"
        ),
        "provider_name: must have 1 to 100 characters, not 300": line_of(
            tenant_id, provider_name="x" * 300
        ),
        "request_payload: Expecting": line_of(tenant_id, request_payload='{"a":'),
        "response_data: unsupported Unicode escape sequence": line_of(
            tenant_id, response_data='{"a":"\\\\u0000"}'
        ),
        "id: not-a-uuid is not a UUIDv7": line_of(tenant_id, id="not-a-uuid"),
        "status: 'done'": line_of(tenant_id, status="done"),
        "is not a UUIDv7 of yesterday": line_of(tenant_id, created_at="yesterday"),
        "tenant_id: badly formed": line_of(tenant_id, tenant_id="a\x00b"),
        "execution_time_ms: invalid literal": line_of(tenant_id, execution_time_ms="0x1F"),
        "not a record": b"x\tbroken",
        "not UTF-8": line_of(tenant_id).replace(b"hubspot", b"hub\xffspot"),
    }


def reasons(world: World, shipment_id: UUID) -> list[str]:
    """Why the letters of a shipment are dead."""
    return [letter.reason for letter in letters(world.maintenance, shipment_id)]


def deliver(persister: Persister, tenant_id: UUID, bad: list[bytes]) -> tuple[UUID, Outcome]:
    """A full shipment, the bad lines strewn among good ones."""
    lines = [encode(action(tenant_id)) for _ in range(SHIPMENT_ROWS - len(bad))]
    for number, line in enumerate(bad):
        lines.insert(number * 31, line)
    shipment_id = uuid4()
    return shipment_id, persister.persist(shipment_id, b"\n".join(lines))


def seven(tenant_id: UUID, nobody: UUID, new_type: str, second: bool) -> dict[str, bytes]:
    """One line of each kind of poison, by its reason; `second` for the other face of each."""
    pairs = [
        ((f"tenant_id: no tenant {nobody}", line_of(nobody)),) * 2,
        (
            (
                "request_payload: unsupported Unicode escape sequence",
                line_of(tenant_id, request_payload=r'{"a":"\\u0000"}'),
            ),
            (
                "response_data: invalid input syntax for type json",
                line_of(tenant_id, response_data=r'["\\ud800"]'),
            ),
        ),
        (
            ("request_payload: invalid input", line_of(tenant_id, request_payload='{"a":NaN}')),
            ("response_data: invalid input", line_of(tenant_id, response_data="[-Infinity]")),
        ),
        (
            ("execution_time_ms: must be", line_of(tenant_id, execution_time_ms=str(2**31))),
            ("execution_time_ms: must be", line_of(tenant_id, execution_time_ms="-1")),
        ),
        (
            (
                "provider_name: must have 1 to 100 characters, not 101",
                line_of(tenant_id, provider_name="x" * 101),
            ),
            (
                "operation_id: must have 1 to 255 characters, not 256",
                line_of(tenant_id, operation_id="x" * 256),
            ),
        ),
        (
            ("action_type_enum", line_of(tenant_id, action_type=new_type)),
            ("status: 'done'", line_of(tenant_id, status="done")),
        ),
        (
            ("request_payload: Expecting", line_of(tenant_id, request_payload='{"a":')),
            ("not a record", b"x\tbroken"),
        ),
    ]
    return dict(pair[second] for pair in pairs)


def reach(world: World, lines: list[bytes]) -> None:
    """Lines as capture could have left them on disk, taken to Postgres by broker and worker."""
    for line in lines:
        world.opsledger.recorder.spool.append(line)
    world.arrive()


@pytest.mark.parametrize("second", [False, True], ids=["one face", "the other"])
def test_of_500_records_7_of_poison_become_dead_letters_and_493_rows(
    live: World, environment: dict[str, str], second: bool
) -> None:
    """Each names its reason and keeps its bytes; what could be mended is stored by a retry."""
    tenant_id, nobody, new_type = live.settle().tenant_id, uuid7(), f"new_type_{uuid4().hex[:8]}"
    if second:
        nobody = live.settle().tenant_id
        forget_tenant(environment, nobody)
    bad = seven(tenant_id, nobody, new_type, second)
    lines = [encode(action(tenant_id)) for _ in range(SHIPMENT_ROWS - len(bad))]
    for number, line in enumerate(bad.values()):
        lines.insert(number * 31, line)
    reach(live, lines)
    assert len(rows(live.maintenance, "action_logs", tenant_id)) == 493
    (batch,) = batches(live.maintenance, tenant_id)
    assert batch.row_count == 493
    found = letters_of(live, bad.values())
    assert len(found) == 7
    for reason, line in bad.items():
        assert reason in found[line].reason

    with live.maintenance.unrestricted_unsafe() as session:
        store.add_tenant(session, tenant_id=nobody, name="B", slug=f"s-{nobody.hex}")
    assert flask(live, "action-types", "add", new_type).exit_code == 0
    ids = [str(letter.id) for letter in found.values()]
    retried = flask(live, "dead-letters", "retry", *ids)
    mended = 1 if second else 2
    assert (retried.exit_code, retried.output.count(": stored")) == (1, mended)
    assert retried.output.count("still refused") == 7 - mended
    assert len(letters_of(live, bad.values())) == 7 - mended
    assert len(rows(live.maintenance, "action_logs", nobody)) == 1
    assert len(rows(live.maintenance, "action_logs", tenant_id)) == 493 + mended - 1


def forget_tenant(environment: dict[str, str], tenant_id: UUID) -> None:
    """Delete a tenant as only the owner of the tables can."""
    owner = Database.connect(environment["OWNER_DATABASE_URL"])
    with owner.unrestricted_unsafe() as session:
        for statement in (
            "DELETE FROM api_keys WHERE tenant_id = :tenant",
            "DELETE FROM tenants WHERE id = :tenant",
        ):
            session.execute(text(statement), {"tenant": tenant_id})
    owner.close()


def letters_of(world: World, payloads: Collection[bytes]) -> dict[bytes, Any]:
    """The dead letters of these lines."""
    with world.maintenance.unrestricted_unsafe() as session:
        statement = text("SELECT * FROM dead_letters WHERE payload = ANY(:lines) ORDER BY id")
        return {
            bytes(row.payload): row for row in session.execute(statement, {"lines": list(payloads)})
        }


def test_every_kind_of_poison_is_set_aside_alone(world: World, persister: Persister) -> None:
    """One by one with a good neighbour: nothing keeps that one from its row."""
    tenant_id = world.settle().tenant_id
    lines = poison(tenant_id, uuid7(), "not_yet_known")
    for number, (word, line) in enumerate(lines.items(), start=1):
        shipment_id = uuid4()
        body = b"\n".join([line, encode(action(tenant_id))])
        outcome = persister.persist(shipment_id, body)
        assert (outcome.inserted, outcome.dead) == (1, 1), word
        (letter,) = letters(world.maintenance, shipment_id)
        assert word in letter.reason
        assert bytes(letter.payload) == line
        assert len(rows(world.maintenance, "action_logs", tenant_id)) == number


def test_a_letter_is_stored_by_a_retry_once_its_cause_is_mended(
    world: World, persister: Persister
) -> None:
    """The tenant is created, the type is added; what is as bad as before stays, with its reason."""
    tenant_id, stranger, new_type = world.settle().tenant_id, uuid7(), f"new_type_{uuid4().hex[:8]}"
    bad = list(poison(tenant_id, stranger, new_type).values())[:3]
    shipment_id, _ = deliver(persister, tenant_id, bad)
    ids = [str(letter.id) for letter in letters(world.maintenance, shipment_id)]
    assert flask(world, "dead-letters", "retry", *ids).exit_code == 1
    assert len(reasons(world, shipment_id)) == 3

    with world.maintenance.unrestricted_unsafe() as session:
        store.add_tenant(session, tenant_id=stranger, name="B", slug=f"s-{stranger.hex}")
    assert flask(world, "action-types", "add", new_type).exit_code == 0
    result = flask(world, "dead-letters", "retry", *ids)
    assert result.exit_code == 1
    assert result.output.count("stored") == 2
    (reason,) = reasons(world, shipment_id)
    assert reason.startswith("execution_time_ms")
    (row,) = rows(world.maintenance, "action_logs", stranger)
    assert row.action_type == "crm_create"
    mended = [row.action_type for row in rows(world.maintenance, "action_logs", tenant_id)]
    assert mended.count(new_type) == 1
    check_batches(world.maintenance, stranger)
    check_batches(world.maintenance, tenant_id)


def test_a_reason_that_changed_is_the_one_that_is_kept(world: World, persister: Persister) -> None:
    """First the tenant was missing; now it is there, and the status is wrong."""
    stranger, shipment_id = uuid7(), uuid4()
    persister.persist(shipment_id, line_of(stranger, status="done"))
    (letter,) = letters(world.maintenance, shipment_id)
    assert letter.reason.startswith("tenant_id: no tenant")
    with world.maintenance.unrestricted_unsafe() as session:
        store.add_tenant(session, tenant_id=stranger, name="B", slug=f"s-{stranger.hex}")
    result = flask(world, "dead-letters", "retry", str(letter.id))
    assert result.exit_code == 1
    assert "status" in result.output
    (kept,) = letters(world.maintenance, shipment_id)
    assert kept.id == letter.id
    assert kept.reason.startswith("status: 'done'")


def test_a_letter_whose_record_is_in_the_ledger_goes_without_a_second_row(
    world: World, persister: Persister
) -> None:
    """It was mended and sent again by somebody else."""
    tenant_id, shipment_id = uuid7(), uuid4()
    line = line_of(tenant_id)
    persister.persist(shipment_id, line)
    with world.maintenance.unrestricted_unsafe() as session:
        store.add_tenant(session, tenant_id=tenant_id, name="B", slug=f"s-{tenant_id.hex}")
    persister.persist(uuid4(), line)
    (letter,) = letters(world.maintenance, shipment_id)
    result = flask(world, "dead-letters", "retry", str(letter.id))
    assert (result.exit_code, "already" in result.output) == (0, True)
    assert letters(world.maintenance, shipment_id) == []
    assert len(rows(world.maintenance, "action_logs", tenant_id)) == 1
    assert len(batches(world.maintenance, tenant_id)) == 1


def test_a_letter_that_is_gone_is_not_stored_twice(world: World, persister: Persister) -> None:
    """Two operators retry the same letter; the second finds nothing and changes nothing."""
    tenant_id, shipment_id = uuid7(), uuid4()
    line = line_of(tenant_id)
    persister.persist(shipment_id, line)
    (letter,) = letters(world.maintenance, shipment_id)
    with world.maintenance.unrestricted_unsafe() as session:
        store.add_tenant(session, tenant_id=tenant_id, name="B", slug=f"s-{tenant_id.hex}")
    assert persister.retry(letter.id, line).inserted == 1
    with pytest.raises(LookupError):
        persister.retry(letter.id, line_of(tenant_id))
    assert len(rows(world.maintenance, "action_logs", tenant_id)) == 1
    assert flask(world, "dead-letters", "retry", str(letter.id)).exit_code == 1


def test_a_letter_is_shown_decoded_where_that_is_possible(
    world: World, persister: Persister
) -> None:
    """Else byte by byte, with nothing that could play tricks on a terminal."""
    shipment_id, stranger = uuid4(), uuid7()
    persister.persist(shipment_id, b"\n".join([line_of(stranger), b"\xff\x1b[2J"]))
    broken, whole = sorted(letters(world.maintenance, shipment_id), key=lambda row: row.kind or "")
    shown = flask(world, "dead-letters", "show", str(whole.id))
    assert shown.exit_code == 0
    assert f'"tenant_id": "{stranger}"' in shown.output
    assert "no tenant" in shown.output
    raw = flask(world, "dead-letters", "show", str(broken.id))
    assert r"\xff\x1b[2J" in raw.output
    assert "\x1b" not in raw.output
    assert flask(world, "dead-letters", "show", "999999999").exit_code == 1


def test_a_letter_is_dropped_only_when_confirmed(world: World, persister: Persister) -> None:
    """What is gone is gone: the command asks, or wants --yes."""
    shipment_id = uuid4()
    persister.persist(shipment_id, line_of(uuid7()))
    (letter,) = letters(world.maintenance, shipment_id)
    assert flask(world, "dead-letters", "drop", str(letter.id)).exit_code == 1
    assert len(reasons(world, shipment_id)) == 1
    assert flask(world, "dead-letters", "drop", str(letter.id), "--yes").exit_code == 0
    assert reasons(world, shipment_id) == []
    assert flask(world, "dead-letters", "drop", str(letter.id), "--yes").exit_code == 1


def test_retrying_and_dropping_are_on_record(live: World, persister: Persister) -> None:
    """With the tenant where there is one, else with the operator's; with who, which and why."""
    tenant_id, stranger, shipment_id = live.settle().tenant_id, uuid7(), uuid4()
    body = b"\n".join([line_of(tenant_id, status="done"), line_of(stranger)])
    persister.persist(shipment_id, body)
    ids = {letter.tenant_id: str(letter.id) for letter in letters(live.maintenance, shipment_id)}
    flask(live, "dead-letters", "retry", ids[tenant_id])
    flask(live, "dead-letters", "drop", ids[stranger], "--yes")
    live.arrive()
    (retried,) = rows(live.maintenance, "audit_logs", tenant_id)
    assert (retried.action, retried.resource_type, retried.resource_id) == (
        *("retry", "dead_letter", ids[tenant_id]),
    )
    assert retried.changes["after"]["outcome"].startswith("still refused: status")
    assert retried.user_id.startswith("cli:")
    of_operator = rows(live.maintenance, "audit_logs", OPERATOR_TENANT_ID)
    (dropped,) = [row for row in of_operator if row.resource_id == ids[stranger]]
    assert dropped.action == "drop"
    assert dropped.changes["before"]["reason"] == f"tenant_id: no tenant {stranger}"
    assert len(dropped.changes["before"]["sha256"]) == 64


def test_all_letters_are_retried_at_once(world: World, persister: Persister) -> None:
    """More than the command reads at a time; those of others do no harm."""
    stranger = uuid7()
    shipment_id = uuid4()
    persister.persist(shipment_id, b"\n".join(line_of(stranger) for _ in range(250)))
    with world.maintenance.unrestricted_unsafe() as session:
        store.add_tenant(session, tenant_id=stranger, name="B", slug=f"s-{stranger.hex}")
    flask(world, "dead-letters", "retry", "--all")
    assert reasons(world, shipment_id) == []
    assert len(rows(world.maintenance, "action_logs", stranger)) == 250


def test_retry_wants_ids_or_all(world: World) -> None:
    """Not both, not neither."""
    assert flask(world, "dead-letters", "retry").exit_code == 2
    assert flask(world, "dead-letters", "retry", "1", "--all").exit_code == 2
