"""Erasing a person: gone wherever records are, the facts stay, and nobody else is touched."""

import json
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pyarrow.parquet as pq
import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from uuid_utils.compat import uuid7

from app.config import Settings
from app.domain.codec import encode
from app.domain.erasure import ERASED
from app.pipeline import erasing
from app.pipeline.erasures import Erasures
from app.pipeline.exporting import run_exports
from app.pipeline.persist import Persister
from app.store import erase as erase_store
from app.store.archives import sole_runner
from app.store.session import Database
from tests.support.archive import Archive
from tests.support.dying import Step, erases, nursery
from tests.support.world import (
    Inhabitant,
    World,
    action,
    audit,
    eventually,
    problem_of,
    refused_fields,
    worker_database,
)

LOGS = "/api/v1/logs"
ERASURES = "/api/v1/admin/erasures"
JANE, JOHN = "jane.doe@example.org", "john.jane.doe@example.org"
FACTS = ("id", "tenant_id", "created_at", "action_type", "provider_name", "status")
AUDIT_FACTS = ("id", "tenant_id", "created_at", "action", "resource_type")
HOUR = timedelta(hours=1)


@pytest.fixture
def erasures_of(archive: Archive) -> Callable[[], Erasures]:
    """What previews and carries out, as a worker has it."""
    return lambda: made(archive.maintenance, archive.world.opsledger.settings)


def made(maintenance: Database, settings: Settings) -> Erasures:
    return Erasures(maintenance, settings, Persister(worker_database(settings.url_of("worker"))))


def old_week() -> datetime:
    """A Monday some months ago: statistics are held against the records day by day from then on."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=140 + today.weekday() + 7 * next(_WEEKS))


_WEEKS: Iterator[int] = iter(range(0, 40, 2))


def records_of(who: Inhabitant, at: datetime, person: str) -> list[Any]:
    """Four records that name a person, and one that does not."""
    return [
        audit(
            who.tenant_id,
            at=at,
            user_id=person,
            ip_address="192.0.2.9",
            user_agent="Firefox",
            changes={"after": {"email": person, "name": "Some One", "n": 1.5}},
            metadata={"http": {"ip_address": "192.0.2.9", "route": "/x"}},
        ),
        audit(who.tenant_id, at=at + HOUR, user_id="admin", resource_id=person, changes={}),
        action(who.tenant_id, at=at, request_payload={"to": [f"Some One <{person}>"], "k": 10**20}),
        action(
            who.tenant_id,
            at=at + HOUR,
            error_message=f"no mailbox {person}",
            response_data={"by": {"mail": person.upper(), "phone": "123"}},
            status="failure",
        ),
        action(who.tenant_id, at=at + 2 * HOUR, request_payload={"a": 1}, execution_time_ms=7),
    ]


def shown(who: Inhabitant) -> dict[str, dict[str, Any]]:
    """Every record of a tenant in full, hot and archived, by id; but for when it was changed."""
    found: dict[str, dict[str, Any]] = {}
    for kind in ("actions", "audits"):
        rows = who.get(f"{LOGS}/{kind}?limit=1000&include=archived").json
        for row in rows:
            full = who.get(f"{LOGS}/{kind}/{row['id']}?include=archived").json
            full.pop("updated_at")
            found[row["id"]] = full
    return found


def check_statistics(archive: Archive, who: Inhabitant) -> None:
    """Rollups are what the records add up to, in every cell, and for users."""
    args = ["rollups", "verify", "--tenant", str(who.tenant_id)]
    said = archive.world.app.test_cli_runner().invoke(args=args)
    assert said.exit_code == 0, said.output


def settle(archive: Archive) -> tuple[Inhabitant, Inhabitant, list[Any]]:
    """Two tenants, each with Jane's and John's records, hot, archived and late; those of Jane."""
    week, hot = old_week(), datetime.now(UTC) - timedelta(days=2)
    who, other = archive.settle(), archive.settle()
    janes = [*records_of(who, week, JANE), *records_of(who, hot, JANE)]
    archive.world.put(
        *janes,
        *records_of(who, week + 5 * HOUR, JOHN),
        *records_of(who, hot + 5 * HOUR, JOHN),
        *records_of(other, week, JANE),
        *records_of(other, hot, JANE),
    )
    assert archive.run().finished
    for person in (who, other):  # they come when their week is archived
        late = [audit(person.tenant_id, at=week + 9 * HOUR, user_id=JANE)]
        assert archive.world.put(*late).late == 1
    return who, other, janes


def everything(archive: Archive, who: Inhabitant) -> str:
    """All that Postgres and the archive's files keep of a tenant's records, as text."""
    found: list[str] = []
    for table in ("action_logs", "audit_logs", "user_rollups", "log_batches", "exports"):
        rows = archive.ask(f"SELECT t::text FROM {table} t WHERE tenant_id = :id", id=who.tenant_id)
        found += [row[0] for row in rows]
    for table in ("late_records", "dead_letters"):
        asked = f"SELECT convert_from(payload, 'UTF8') FROM {table} WHERE tenant_id = :id"
        found += [row[0] for row in archive.ask(asked, id=who.tenant_id)]
    for path in archive.files(who.tenant_id):
        found += [json.dumps(row, default=str) for row in pq.read_table(path).to_pylist()]
    return "\n".join(found)


def by_command(archive: Archive, who: Inhabitant, *options: str) -> str:
    """What `flask erase` prints."""
    args = ["erase", "--tenant", who.slug, "--subject", f"email={JANE}", *options]
    said = archive.world.app.test_cli_runner().invoke(args=args)
    assert said.exit_code == 0, said.output
    return said.output


def test_a_person_is_gone_everywhere_and_the_facts_stay(archive: Archive) -> None:
    """Hot, archived, late, in statistics and exports; other persons and tenants are as before."""
    who, other, janes = settle(archive)
    settings = archive.world.opsledger.settings
    asked = {"kind": "audit", "filters": {"user_id": JANE}}
    export = who.post("/api/v1/exports", json=asked).json
    run_exports(archive.maintenance, settings)
    url = who.get(f"/api/v1/exports/{export['id']}").json["url"]
    archive.world.app.test_cli_runner().invoke(args=["rollups", "fold"])
    unfolded = audit(who.tenant_id, user_id=JANE)
    archive.world.put(unfolded)
    before, before_other = shown(who), shown(other)
    said = by_command(archive, who, "--dry-run")
    assert [line.split() for line in said.splitlines()[1:6]] == [
        ["archived", "actions", "2", "0"],
        ["archived", "audits", "2", "0"],
        ["hot", "actions", "2", "0"],
        ["hot", "audits", "3", "0"],
        ["late", "audits", "1", "0"],
    ]
    assert "bytes wait in the spool of" in said  # what capture noted of this very test
    assert shown(who) == before
    done = by_command(archive, who, "--yes")
    assert "is done" in done
    kept = everything(archive, who)
    assert "<jane" not in kept.lower()
    assert f'"{JANE}"' not in kept.lower()
    after = {id_: row for id_, row in shown(who).items() if id_ in before}
    assert set(after) == set(before)
    touched = {str(one.id) for one in (*janes[:4], *janes[5:9], unfolded)}
    for id_, row in after.items():
        if id_ not in touched:
            assert row == before[id_]
        names = FACTS if "action_type" in row else AUDIT_FACTS
        assert {name: row[name] for name in names} == {name: before[id_][name] for name in names}
    for first in (janes[0], janes[5]):
        row = after[str(first.id)]
        assert (row["user_id"], row["ip_address"], row["user_agent"]) == (ERASED,) * 3
        assert row["changes"] == {"after": {"email": ERASED, "name": ERASED, "n": 1.5}}
        assert row["metadata"] == {"http": {"ip_address": ERASED, "route": "/x"}}
    assert after[str(janes[2].id)]["request_payload"] == {"to": [ERASED], "k": 10**20}
    assert after[str(janes[8].id)]["error_message"] == ERASED
    assert after[str(janes[8].id)]["response_data"] == {"by": {"mail": ERASED, "phone": ERASED}}
    assert shown(other) == before_other
    assert who.client.get(url).status_code == 404
    users = who.get(f"{LOGS}/analytics/user-activity?since=2020-01-01T00:00:00Z").json
    assert {row["user_id"] for row in users} >= {ERASED, JOHN, "admin"}
    assert JANE not in {row["user_id"] for row in users}
    check_statistics(archive, who)
    archive.world.app.test_cli_runner().invoke(args=["rollups", "fold"])
    assert archive.run().finished  # the late ones become a segment
    check_statistics(archive, who)
    check_statistics(archive, other)
    assert JANE not in everything(archive, who).replace(JOHN, "")
    again = by_command(archive, who, "--dry-run")
    assert "hot" not in again
    assert "archived" not in again


def test_what_a_hold_covers_is_kept_and_reported(archive: Archive) -> None:
    """By the database for hot rows, by us for archived ones; after its release it goes."""
    who, _, janes = settle(archive)
    before = shown(who)
    operator = archive.world.operator()
    hold = {"tenant_id": str(who.tenant_id), "user_id": JANE, "reason": "Case 1"}
    hold_id = operator.post("/api/v1/admin/legal-holds", json=hold).json["id"]
    said = by_command(archive, who, "--yes")
    held = [line.split()[-3:] for line in said.split("is done")[0].splitlines() if "hot a" in line]
    assert held[-2:] == [["2", "0", "2"], ["2", "0", "2"]]
    now = shown(who)
    assert {id_: now[id_] for id_ in before} == before
    operator.post(f"/api/v1/admin/legal-holds/{hold_id}/release")
    hold = {"tenant_id": str(who.tenant_id), "reason": "x", "resource_type": "contact"}
    operator.post("/api/v1/admin/legal-holds", json={**hold, "resource_id": JANE})
    by_command(archive, who, "--yes")
    now = shown(who)
    assert now[str(janes[1].id)] == before[str(janes[1].id)]
    assert now[str(janes[6].id)] == before[str(janes[6].id)]
    assert now[str(janes[0].id)]["user_id"] == now[str(janes[5].id)]["user_id"] == ERASED
    check_statistics(archive, who)


def test_views_that_name_the_person_do_so_no_more(archive: Archive) -> None:
    """Of every key, in their filters and names; others, and another tenant's, are as before."""
    who, other = archive.settle(), archive.settle()
    archive.world.give_key(who.tenant_id, f"{who.secret}_2", ["logs:read"])
    colleague = Inhabitant(who.tenant_id, who.slug, f"{who.secret}_2", who.client)
    janes = "user_id=jane.doe%40example.org&resource_type=contact&period="
    for keeper, name, query in (
        (who, "contacts", janes),
        (colleague, f"what {JANE} did", "status=failure"),
        (colleague, "by path", f"metadata.by={JANE}&status=failure"),
        (colleague, "John", f"user_id={JOHN}&q=100%"),
        (other, "contacts", janes),
    ):
        view = {"name": name, "log": "audits", "query": query, "shared": True}
        assert keeper.post("/api/v1/views", json=view).status_code == 201
    before = other.get("/api/v1/views").json
    rows = [line.split() for line in by_command(archive, who, "--dry-run").splitlines()]
    assert ["views", "3", "0"] in rows
    by_command(archive, who, "--yes")
    assert {view["name"]: view["query"] for view in who.get("/api/v1/views").json} == {
        "contacts": "user_id=%5Berased%5D&resource_type=contact&period=",
        ERASED: "status=failure",
        "by path": "metadata.by=%5Berased%5D&status=failure",
        "John": f"user_id={JOHN}&q=100%",
    }
    assert other.get("/api/v1/views").json == before
    assert "views" not in by_command(archive, who, "--dry-run")


def test_dead_letters_lose_the_person_and_what_is_no_record_goes(archive: Archive) -> None:
    """Those of the tenant; of a letter of no tenant it is said that somebody has to look."""
    who, other = archive.settle(), archive.settle()
    database = worker_database(archive.world.opsledger.settings.url_of("worker"))
    line = encode(action(who.tenant_id, request_payload={"to": JANE}, error_message="\u20ac\t"))
    rows = [
        (who.tenant_id, line, "provider_name: too long"),
        (who.tenant_id, f"a\tbroken {JANE}".encode(), f"not a record: {JANE}"),
        (who.tenant_id, b"a\tbroken", "not a record"),
        (other.tenant_id, f"a\tbroken {JANE}".encode(), "not a record"),
        (None, f"a\tstray {JANE}".encode(), "no such tenant"),
    ]
    with database.unrestricted_unsafe() as session:
        for tenant_id, payload, reason in rows:
            session.execute(
                text(
                    "INSERT INTO dead_letters (tenant_id, payload, reason, shipment_id)"
                    " VALUES (:tenant_id, :payload, :reason, :shipment_id)"
                ),
                {
                    "tenant_id": tenant_id,
                    "payload": payload,
                    "reason": reason,
                    "shipment_id": uuid4(),
                },
            )
    said = by_command(archive, who, "--yes")
    assert "dead letters of no known tenant name the person" in said
    asked = "SELECT payload, reason FROM dead_letters WHERE tenant_id = :id ORDER BY id"
    found = [(bytes(row.payload), row.reason) for row in archive.ask(asked, id=who.tenant_id)]
    erased = line.replace(b'{"to":"jane.doe@example.org"}', b'{"to": "[erased]"}')
    assert found == [
        (erased, "provider_name: too long"),
        (ERASED.encode(), ERASED),
        (b"a\tbroken", "not a record"),
    ]
    (kept,) = archive.ask(asked, id=other.tenant_id)
    assert JANE.encode() in bytes(kept.payload)
    with archive.maintenance.unrestricted_unsafe() as session:
        session.execute(text("DELETE FROM dead_letters"))


STEPS = [
    Step("app.store.erase", "erase_rows", "after"),
    Step("app.store.erase", "move_users", "before"),
    Step("app.pipeline.erasing", "rewrite", "after"),
    Step("app.pipeline.erasing", "replace_segment", "before", 1),
    Step("app.pipeline.rewriting", "note_deleted", "before"),
    Step("app.store.erase", "forget_verified", "before"),
    Step("app.pipeline.persist:Persister", "persist", "after"),
    Step("app.pipeline.erasures", "note_erasure", "before"),
]


@pytest.fixture(scope="module")
def killed() -> Iterator[Any]:
    """Runs children that die."""
    with nursery() as run:
        yield run


@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step.when}-{step.name}")
def test_an_erasure_killed_between_two_steps_is_finished_by_the_next(
    archive: Archive, erasures_of: Callable[[], Erasures], killed: Any, step: Step
) -> None:
    """Whatever was done; the result is that of one that was never killed, on record once."""
    who = archive.settle()
    hot, cold = datetime.now(UTC) - timedelta(days=2), old_week()
    archive.world.put(*records_of(who, cold, JANE), *records_of(who, hot, JANE))
    assert archive.run().finished
    archive.world.put(audit(who.tenant_id, at=cold + 9 * HOUR, user_id=JANE))
    before = shown(who)
    erasure_id = requested(archive.world, who)
    erasures_of().run()
    operator = archive.world.operator()
    assert operator.post(f"{ERASURES}/{erasure_id}/confirm").status_code == 202
    assert killed(step, erases, archive.world.opsledger.settings) == signal.SIGKILL

    def finished() -> bool:  # once Postgres has noticed that the child is gone
        erasures_of().run()
        return bool(operator.get(f"{ERASURES}/{erasure_id}").json["state"] == "done")

    eventually(finished)
    assert operator.get(f"{ERASURES}/{erasure_id}").json["subject"] is None
    after = shown(who)
    logged = [row for row in after.values() if row.get("resource_type") == "person"]
    assert len(logged) == 1
    assert set(after) - {logged[0]["id"]} >= set(before)
    assert JANE not in everything(archive, who)
    left = {archive.root / row.object_key for row in archive.segments(who.tenant_id)}
    assert set(archive.files(who.tenant_id)) == left
    check_statistics(archive, who)


def requested(world: World, who: Inhabitant, **subject: str) -> str:
    """An erasure asked for over HTTP; its id."""
    body = {"tenant_id": str(who.tenant_id), **(subject or {"email": JANE})}
    answer = world.operator().post(ERASURES, json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json["id"])


def test_over_http_a_preview_comes_first_and_each_step_is_on_record(
    archive: Archive, erasures_of: Callable[[], Erasures]
) -> None:
    """Nothing is erased before it is confirmed; the log does not name the person."""
    who = archive.settle()
    archive.world.put(*records_of(who, datetime.now(UTC) - timedelta(days=2), JANE))
    operator, before = archive.world.operator(), shown(who)
    erasure_id = requested(archive.world, who)
    path = f"{ERASURES}/{erasure_id}"
    asked = operator.get(path).json
    assert (asked["state"], asked["subject"], asked["report"]) == ("requested", JANE, None)
    problem_of(operator.post(f"{path}/confirm"), 409)
    erasures_of().run()
    previewed = operator.get(path).json
    assert previewed["state"] == "previewed"
    assert previewed["report"]["found"] == {"hot actions": 2, "hot audits": 2}
    assert shown(who) == before
    erasures_of().run()
    assert shown(who) == before
    assert operator.post(f"{path}/confirm").json["state"] == "confirmed"
    problem_of(operator.post(f"{path}/confirm"), 409)
    with sole_runner(archive.maintenance):
        erasures_of().run()
    assert operator.get(path).json["state"] == "confirmed"
    erasures_of().run()
    done = operator.get(path).json
    assert (done["state"], done["subject"]) == ("done", None)
    assert done["report"]["erased"] == {"hot actions": 2, "hot audits": 2}
    (log,) = who.get(f"{LOGS}/audits?resource_type=person").json
    assert (log["action"], log["resource_id"]) == ("erase", erasure_id)
    assert log["user_id"] == previewed["requested_by"][:4] + done["confirmed_by"][4:]
    assert log["changes"]["after"]["erased"] == done["report"]["erased"]
    assert JANE not in everything(archive, who)
    listed = operator.get(f"{ERASURES}?tenant_id={who.tenant_id}").json
    assert [one["id"] for one in listed] == [erasure_id]


def test_records_that_come_meanwhile_are_kept_as_they_come(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An erasure is of what was there when it looked; writers do not wait for it, nor lose any."""
    monkeypatch.setattr(erasing, "PAGE_ROWS", 3)
    who = archive.settle()
    at = datetime.now(UTC) - timedelta(days=2)
    made = [audit(who.tenant_id, at=at + timedelta(seconds=n), user_id=JANE) for n in range(10)]
    archive.world.put(*made)
    came: list[Any] = []
    original = erase_store.erase_rows

    def meanwhile(*args: Any) -> Any:
        new = [audit(who.tenant_id, user_id=name) for name in (JANE, JOHN)]
        archive.world.put(*new)
        came.extend(new)
        return original(*args)

    monkeypatch.setattr(erase_store, "erase_rows", meanwhile)
    by_command(archive, who, "--yes")
    monkeypatch.undo()
    rows = shown(who)
    assert {str(one.id) for one in (*made, *came)} <= set(rows)
    assert all(rows[str(one.id)]["user_id"] == ERASED for one in made)
    assert all(rows[str(one.id)]["user_id"] == JOHN for one in came[1::2])
    check_statistics(archive, who)
    by_command(archive, who, "--yes")
    assert JANE not in everything(archive, who).replace(JOHN, "")
    check_statistics(archive, who)


def test_the_database_changes_no_row_without_a_confirmed_erasure(archive: Archive) -> None:
    """Of that very tenant; nor does the door stay open behind one."""
    who, other = archive.settle(), archive.settle()
    record = action(who.tenant_id, error_message=JANE)
    archive.world.put(record)
    new = [{"id": str(record.id), "created_at": record.created_at.isoformat(), "new": {}}]
    asked = "SELECT erase_rows('action', :tenant, :erasure, CAST(:rows AS jsonb))"
    mine, theirs = requested(archive.world, who), requested(archive.world, other)
    for tenant, erasure in (
        (who.tenant_id, uuid7()),
        (who.tenant_id, mine),
        (who.tenant_id, theirs),
        (other.tenant_id, mine),
    ):
        with pytest.raises(ProgrammingError, match="nobody confirmed"):
            archive.ask(asked, tenant=tenant, erasure=str(erasure), rows=json.dumps(new))
    with archive.maintenance.unrestricted_unsafe() as session:
        session.execute(
            text("UPDATE erasures SET state = 'confirmed' WHERE id = :id"), {"id": mine}
        )
    assert archive.ask(asked, tenant=who.tenant_id, erasure=mine, rows=json.dumps(new)) == [
        (record.id,)
    ]
    owner = Database.connect(archive.world.opsledger.settings.url_of("owner"))
    values = {"tenant": who.tenant_id, "erasure": mine, "rows": json.dumps(new)}
    with owner.unrestricted_unsafe() as session:
        session.execute(text(asked), values)
        with pytest.raises(ProgrammingError, match="never updated"):
            session.execute(text("UPDATE action_logs SET error_message = 'x'"))
        session.rollback()
    owner.close()
    with archive.maintenance.unrestricted_unsafe() as session:
        session.execute(text("UPDATE erasures SET state = 'expired', subject = NULL"))


@pytest.mark.parametrize(
    ("subject", "field"),
    [
        ({}, "user_id"),
        ({"user_id": "a", "email": JANE}, "user_id"),
        ({"email": "jane"}, "email"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": " a"}, "user_id"),
        ({"user_id": ERASED}, "user_id"),
        ({"user_id": "a\x00"}, "user_id"),
    ],
)
def test_what_is_no_subject_is_refused(world: World, subject: dict[str, str], field: str) -> None:
    """By the name of the field; by command in a sentence."""
    who = world.settle()
    body = {"tenant_id": str(who.tenant_id), **subject}
    assert field in refused_fields(world.operator().post(ERASURES, json=body))
    args = ["erase", "--tenant", who.slug, "--subject", "phone=1"]
    assert world.app.test_cli_runner().invoke(args=args).exit_code == 2


def test_nobody_keeps_the_name_of_a_person_whose_erasure_nobody_confirmed(
    archive: Archive, erasures_of: Callable[[], Erasures]
) -> None:
    """After a week it is forgotten."""
    who = archive.settle()
    erasure_id = requested(archive.world, who, user_id="u-1")
    with archive.maintenance.unrestricted_unsafe() as session:
        old = "UPDATE erasures SET requested_at = now() - interval '8 days' WHERE id = :id"
        session.execute(text(old), {"id": UUID(erasure_id)})
    erasures_of().run()
    found = archive.world.operator().get(f"{ERASURES}/{erasure_id}").json
    assert (found["state"], found["subject"]) == ("expired", None)
