"""Capture in an app without a broker: its spool is shipped to another Opsledger by HTTP, and
forgotten when the Postgres behind that has the records.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import flask
import pytest
from sqlalchemy import text
from werkzeug.serving import WSGIRequestHandler, make_server

from app import AuditService, Opsledger, RecordRefused, log_action
from app.api.service import SERVICE
from app.config import Settings
from app.domain.shipped import BYTES_MAX, item_of
from app.errors import NotYetCommitted
from app.pipeline.remote import RemoteLedger
from tests.support.host import CALL, NOWHERE
from tests.support.samples import action, audit, metric
from tests.support.world import (
    Inhabitant,
    World,
    eventually,
    lines_of,
    problem_of,
)

SHIPMENTS = "/api/v1/ingest/shipments"
RECEIPTS = "/api/v1/ingest/receipts"


class Quiet(WSGIRequestHandler):
    """Says nothing of requests."""

    def log(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def served(app: flask.Flask, port: int = 0) -> Iterator[int]:
    """The app on a port of this machine."""
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Host:
    """Somebody else's app, which reaches nothing but the ledger's HTTP."""

    app: flask.Flask
    opsledger: Opsledger
    settings: Settings

    def log(self, tenant_id: UUID, **values: Any) -> UUID:
        """An action record."""
        with self.app.app_context():
            made: UUID = log_action(tenant_id=tenant_id, **{**CALL, **values})
            return made

    def emptied(self) -> bool:
        """Whether its spool has forgotten all there was."""
        return not self.opsledger.shipper._spool.pending


@pytest.fixture
def host_at(settings: Settings, tmp_path: Path) -> Iterator[Callable[..., Host]]:
    """Makes such an app for a port and a key."""
    with ExitStack() as closing:

        def make(port: int, key: str, **changes: Any) -> Host:
            values: dict[str, Any] = {
                **NOWHERE,
                "data_dir": tmp_path / f"host-{uuid4()}",
                "ship_url": f"http://127.0.0.1:{port}",
                "ship_key": key,
                **changes,
            }
            own = replace(settings, **values)
            app, opsledger = flask.Flask("host"), Opsledger(settings=own)
            opsledger.init_app(app)
            closing.callback(opsledger.close, grace_s=0)
            return Host(app, opsledger, own)

        yield make


def rows(world: World, table: str, tenant_id: UUID) -> list[dict[str, Any]]:
    """A tenant's rows, without what differs from run to run."""
    statement = text(f"SELECT * FROM {table} WHERE tenant_id = :tenant ORDER BY id")
    with world.maintenance.unrestricted_unsafe() as session:
        found = session.execute(statement, {"tenant": tenant_id}).mappings()
        return [
            {n: v for n, v in row.items() if n not in ("batch_id", "updated_at")} for row in found
        ]


def test_what_is_captured_arrives_as_if_by_a_broker(
    live: World, host_at: Callable[..., Host]
) -> None:
    """Both kinds, with their requests, secrets masked, ids their own; then the spool is empty."""
    who = live.settle(["logs:write"])
    with served(live.app) as port:
        host = host_at(port, who.secret)

        @host.app.route("/work", methods=["POST"])
        def work() -> str:
            log_action(
                tenant_id=who.tenant_id,
                **{**CALL, "request_payload": {"password": "hunter2", "n": 2**70, "ü": "\t\\n"}},
            )
            AuditService().log_update(
                tenant_id=who.tenant_id,
                resource_type="contact",
                resource_id="7/ä",
                before={"a": 1},
                after={"a": None},
            )
            return "done"

        client = host.app.test_client()
        assert client.post("/work", headers={"X-Request-ID": "mine"}).status_code == 200
        eventually(lambda: len(rows(live, "audit_logs", who.tenant_id)) == 1)
        eventually(host.emptied)
    (action_row,) = rows(live, "action_logs", who.tenant_id)
    (audit_row,) = rows(live, "audit_logs", who.tenant_id)
    payload = action_row["request_payload"]
    assert payload == {"password": "[redacted: password]", "n": 2**70, "ü": "\t\\n"}
    assert action_row["metadata"]["http"]["request_id"] == "mine"
    assert action_row["metadata"]["cleaned"] == {"redacted": ["request_payload.password"]}
    assert action_row["metadata"]["ingest"]["ip_address"] == "127.0.0.1"
    assert audit_row["resource_id"] == "7/ä"
    assert audit_row["changes"] == {"before": {"a": 1}, "after": {"a": None}}


def test_a_caller_that_waits_is_told_what_became_of_its_record(
    live: World, host_at: Callable[..., Host]
) -> None:
    """It is there when the call returns; what Postgres refused is a dead letter there."""
    who = live.settle(["logs:write"])
    with served(live.app) as port:
        host = host_at(port, who.secret, wait_timeout_s=20.0)
        made = host.log(who.tenant_id, wait=True)
        assert [row["id"] for row in rows(live, "action_logs", who.tenant_id)] == [made]
        with pytest.raises(RecordRefused):
            host.log(who.tenant_id, action_type="crm_dance", wait=True)
    statement = text("SELECT reason FROM dead_letters WHERE tenant_id = :tenant")
    with live.maintenance.unrestricted_unsafe() as session:
        (reason,) = session.execute(statement, {"tenant": who.tenant_id}).scalars()
    assert "action_type" in reason


def test_records_wait_on_disk_while_the_ledger_is_away(
    live: World, host_at: Callable[..., Host]
) -> None:
    """Nobody answers; then one does; each record is there once."""
    who = live.settle(["logs:write"])
    with served(live.app) as port:
        pass
    host = host_at(port, who.secret)
    made = [host.log(who.tenant_id) for _ in range(20)]
    with pytest.raises(NotYetCommitted):
        host.log(who.tenant_id, wait=True, timeout_s=0.2)
    assert not host.emptied()
    with served(live.app, port):
        eventually(host.emptied)
    kept = [row["id"] for row in rows(live, "action_logs", who.tenant_id)]
    assert set(made) <= set(kept)
    assert len(kept) == 21


def test_a_spool_forgets_nothing_before_postgres_has_it(
    live: World, host_at: Callable[..., Host]
) -> None:
    """A shipment that the ledger's broker took and lost is sent again, under the same id."""
    who = live.settle(["logs:write"])
    taken: list[UUID] = []
    relay = current_relay(live)
    honest = relay.hand_on

    def lose_first(sender: UUID, shipment_id: UUID, lines: Any) -> Any:
        taken.append(shipment_id)
        return "epoch" if len(taken) == 1 else honest(sender, shipment_id, lines)

    relay.hand_on = lose_first
    with served(live.app) as port:
        host = host_at(port, who.secret, confirm_timeout_s=1.0)
        made = host.log(who.tenant_id)
        eventually(lambda: len(taken) == 1)
        assert not host.emptied()
        eventually(host.emptied)
    assert len(taken) > 1
    assert len(set(taken)) == 1
    assert [row["id"] for row in rows(live, "action_logs", who.tenant_id)] == [made]


def current_relay(world: World) -> Any:
    """What takes shipments in the world's app."""
    return world.app.extensions[SERVICE].relay


def test_a_key_that_is_not_taken_loses_nothing(live: World, host_at: Callable[..., Host]) -> None:
    """The records wait on disk until the key is good."""
    who = live.settle()
    secret = f"ops_test_{uuid4().hex}"
    with served(live.app) as port:
        host = host_at(port, secret)
        made = host.log(who.tenant_id)
        assert not host.opsledger.shipper.flush(0.5)
        live.give_key(who.tenant_id, secret, ["logs:write"])
        eventually(host.emptied)
    assert [row["id"] for row in rows(live, "action_logs", who.tenant_id)] == [made]


def test_a_ledger_without_its_broker_takes_nothing(alone: World) -> None:
    """503, so that the sender's disk keeps it; nothing is on the disk of the ledger."""
    who = alone.settle(["logs:write"])
    refused = send(who, action(tenant_id=who.tenant_id))
    assert problem_of(refused, 503)["type"].endswith("broker-away")
    assert refused.headers["Retry-After"]
    assert alone.opsledger.shipper._spool.status().bytes == 0


def send(who: Inhabitant, *records: Any, shipment_id: UUID | None = None) -> Any:
    """One shipment, as a host sends it."""
    body = b"[" + b",".join(item_of(line) for line in lines_of(*records).split(b"\n")) + b"]"
    path = f"{SHIPMENTS}?id={shipment_id or uuid4()}"
    headers = {**who.headers, "Content-Type": "application/json"}
    return who.client.post(path, data=body, headers=headers)


def receipts(who: Inhabitant, **wanted: Any) -> dict[str, list[str]]:
    """What the ledger says it has."""
    answer = who.get(RECEIPTS, query_string=wanted)
    assert answer.status_code == 200, answer.text
    found: dict[str, list[str]] = answer.json
    return found


def test_a_shipment_is_its_senders_own(live: World) -> None:
    """Another tenant's shipment of the same id is another; neither sees the other's receipt."""
    ann, bob = live.settle(), live.settle()
    shipment_id = uuid4()
    records = {who.tenant_id: audit(tenant_id=who.tenant_id) for who in (ann, bob)}
    assert send(ann, records[ann.tenant_id], shipment_id=shipment_id).json["accepted"] == 1
    eventually(lambda: bool(receipts(ann, shipment=str(shipment_id))["shipments"]))
    assert receipts(bob, shipment=str(shipment_id))["shipments"] == []
    assert receipts(bob, audit=str(records[ann.tenant_id].id))["audits"] == []
    assert send(bob, records[bob.tenant_id], shipment_id=shipment_id).status_code == 202
    eventually(lambda: len(rows(live, "audit_logs", bob.tenant_id)) == 1)
    found = receipts(ann, audit=str(records[ann.tenant_id].id), action=str(uuid4()))
    assert found == {"shipments": [], "actions": [], "audits": [str(records[ann.tenant_id].id)]}


def test_only_the_operators_key_ships_for_any_tenant(live: World) -> None:
    """With another's the whole shipment is refused, so that it waits for the right key."""
    ann, bob, operator = live.settle(), live.settle(), live.operator()
    records = [action(tenant_id=who.tenant_id) for who in (ann, bob)]
    assert "operator" in problem_of(send(ann, *records), 403)["detail"]
    denied = ann.get(RECEIPTS, query_string={"tenant_id": str(bob.tenant_id)})
    assert problem_of(denied, 403)
    answer = send(operator, *records).json
    assert answer.pop("epoch")
    assert answer == {"accepted": 2, "rejected": []}
    for who, record in zip((ann, bob), records, strict=True):
        wanted = {"tenant_id": str(who.tenant_id), "action": str(record.id)}
        eventually(partial(has_action, operator, wanted))


def has_action(who: Inhabitant, wanted: dict[str, str]) -> bool:
    """Whether the ledger has the action."""
    return bool(receipts(who, **wanted)["actions"])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": "note"}, "kind"),
        ({"id": "7"}, "id"),
        ({"id": str(uuid4())}, "id"),
        ({"action_type": "Dance!"}, "action_type"),
        ({"status": "done"}, "status"),
        ({"tenant_id": "me"}, "tenant_id"),
        ({"extra": 1}, "extra"),
    ],
    ids=lambda value: str(next(iter(value))) if isinstance(value, dict) else "",
)
def test_what_is_no_record_is_rejected_by_name(
    alone: World, change: dict[str, Any], field: str
) -> None:
    """Each by its place and its field."""
    who = alone.settle(["logs:write"])
    record = action(tenant_id=who.tenant_id)
    item = {**json.loads(item_of(lines_of(record))), **change}
    answer = who.post(SHIPMENTS, query_string={"id": str(uuid4())}, json=[item])
    assert answer.status_code == 202
    assert answer.json["accepted"] == 0
    (rejected,) = answer.json["rejected"]
    assert rejected["index"] == 0
    assert field in {error["field"] for error in rejected["errors"]}


def test_a_receipt_is_asked_for_with_sense(alone: World) -> None:
    """So many at once, by ids; and only with the scope."""
    who, reader = alone.settle(["logs:write"]), alone.settle(["logs:read"])
    problem_of(reader.get(RECEIPTS), 403)
    many = [("action", str(uuid4())) for _ in range(101)]
    problem_of(who.get(RECEIPTS, query_string=many), 400)
    problem_of(who.get(RECEIPTS, query_string={"shipment": "7"}), 400)
    assert receipts(who) == {"shipments": [], "actions": [], "audits": []}


def test_what_the_ledger_refuses_is_counted_and_set_aside(
    live: World, host_at: Callable[..., Host]
) -> None:
    """As of a newer version here: it would be refused again, and must not hold up the others."""
    who = live.settle(["logs:write"])
    lost = metric("opsledger_lost_total", kind="action", reason="refused")
    with served(live.app) as port:
        host = host_at(port, who.secret)
        odd = lines_of(action(tenant_id=who.tenant_id)).replace(b"\tsuccess\t", b"\tsplendid\t")
        host.opsledger.shipper._spool.append(odd)
        made = host.log(who.tenant_id)
        eventually(host.emptied)
    assert [row["id"] for row in rows(live, "action_logs", who.tenant_id)] == [made]
    assert metric("opsledger_lost_total", kind="action", reason="refused") == lost + 1
    (kept,) = host.settings.spool_dir.glob("refused-*")
    assert b'"status":"splendid"' in kept.read_bytes()


def test_bytes_that_are_no_record_hold_nothing_up(
    live: World, host_at: Callable[..., Host]
) -> None:
    """They are set aside as they are, and counted; the records around them arrive."""
    who = live.settle(["logs:write"])
    lost = metric("opsledger_lost_total", kind="unknown", reason="refused")
    with served(live.app) as port:
        host = host_at(port, who.secret)
        host.opsledger.shipper._spool.append(b"no\trecord")
        made = host.log(who.tenant_id)
        eventually(host.emptied)
    assert [row["id"] for row in rows(live, "action_logs", who.tenant_id)] == [made]
    assert metric("opsledger_lost_total", kind="unknown", reason="refused") == lost + 1
    (kept,) = host.settings.spool_dir.glob("refused-*")
    assert kept.read_bytes() == b"no\trecord"


def test_what_is_sent_again_is_counted_once(live: World, host_at: Callable[..., Host]) -> None:
    """As lost, if the ledger refuses it each time."""
    who = live.settle(["logs:write"])
    good = action(tenant_id=who.tenant_id)
    odd = lines_of(action(tenant_id=who.tenant_id)).replace(b"\tsuccess\t", b"\tsplendid\t")
    reasons = [("action", "refused"), ("unknown", "refused")]

    def lost() -> list[float]:
        return [metric("opsledger_lost_total", kind=kind, reason=why) for kind, why in reasons]

    before = lost()
    with served(live.app) as port:
        settings = host_at(port, who.secret).settings
        settings.spool_dir.mkdir(parents=True, exist_ok=True)
        ledger, shipment_id = RemoteLedger(settings), uuid4()
        for _ in range(3):
            ledger.publish(shipment_id, (lines_of(good), odd, b"no record"))
        eventually(lambda: ledger.confirmed([shipment_id]) == {shipment_id})
        ledger.close()
    assert lost() == [count + 1 for count in before]


def test_a_large_shipment_goes_in_several_requests(
    live: World, host_at: Callable[..., Host]
) -> None:
    """More bytes than one request may have, confirmed when all of them are."""
    who = live.settle(["logs:write"])
    with served(live.app) as port:
        host = host_at(port, who.secret)
        large = {"text": "".join(chr(97 + n % 26) for n in range(60_000))}
        count = BYTES_MAX // 60_000 + 10
        with host.app.test_request_context():
            for _ in range(count):
                host.log(who.tenant_id, request_payload=large)
            host.app.preprocess_request()
        eventually(host.emptied)
    kept = rows(live, "action_logs", who.tenant_id)
    assert len(kept) == count
    assert all(row["request_payload"] == large for row in kept)
