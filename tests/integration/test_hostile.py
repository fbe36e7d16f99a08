"""Hostile payloads, by ingest and by log_action, through spool, broker, worker and Postgres and
back by HTTP: each is stored as it is, altered as documented and noted, or refused by name, and no
neighbour suffers.

`make fuzz` runs it with 10,000 payloads.
"""

import json
import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from app.capture import AuditService, log_action
from tests.support.difference import differences
from tests.support.hostile import FOREIGN, Altered, Case, corpus
from tests.support.ingest import ACTIONS, AUDITS, call, change
from tests.support.samples import metric
from tests.support.world import Inhabitant, World, problem_of

PAYLOADS = int(os.environ.get("HOSTILE_PAYLOADS", "300"))
SEED = int(os.environ.get("HOSTILE_SEED", "7"))
AT_ONCE = 250  # payloads between two looks at what arrived
ARRIVE_S = 120.0
NEIGHBOUR = {"neighbour": True}
PLACES = ("request_payload", "response_data", "metadata", "changes")
WRAPPED = {"metadata": ("value",), "changes": ("after", "value")}  # those that have to be objects
FREE_TEXT_CHARS = 100_000  # of those that are sent in both places
FREE_TEXT = {"actions": "error_message", "audits": "user_agent"}


@dataclass
class Run:
    """What was sent, and what became of it."""

    who: Inhabitant
    expected: dict[str, tuple[str, str, Any]] = field(default_factory=dict)  # kind, place, value
    counts: Counter[str] = field(default_factory=Counter)

    def expect(self, record_id: UUID | str, place: str, value: Any) -> None:
        kind = "audits" if place == "changes" else "actions"
        self.expected[str(record_id)] = (kind, place, value)


def fields_of(place: str, value: Any) -> dict[str, Any]:
    """The fields of a record with a value in one place, and in its free text if it is a text."""
    given = value
    for name in reversed(WRAPPED.get(place, ())):
        given = {name: given}
    free = FREE_TEXT["audits" if place == "changes" else "actions"]
    return {place: given, **({free: value} if in_free_text(value) else {})}


def in_free_text(value: Any) -> bool:
    """Whether a value goes into a field that is a text, too."""
    return isinstance(value, str) and len(value) < FREE_TEXT_CHARS


def ingest(run: Run, case: Case, place: str) -> None:
    """A request of three, of which the middle one is hostile."""
    make, path = (change, AUDITS) if place == "changes" else (call, ACTIONS)
    usual = "changes" if place == "changes" else "request_payload"
    value = None if case.refused else json.loads(case.text)
    extra = {} if case.refused else fields_of(place, value)
    here = {**extra, place: fields_of(place, "HERE")[place]}
    item = json.dumps(make(**here)).replace('"HERE"', case.text)
    neighbour = json.dumps(make(**fields_of(usual, NEIGHBOUR)))
    body = f"[{neighbour},{item},{neighbour}]".encode("utf-8", "surrogatepass")
    raw_surrogates = any("\ud800" <= char <= "\udfff" for char in case.text)  # no UTF-8
    answer = run.who.post(path, data=body, content_type="application/json")
    if case.refused or raw_surrogates:
        assert answer.status_code == (413 if len(body) > 5_000_000 else 400), case.text[:200]
        if answer.status_code == 400:
            assert problem_of(answer, 400)["errors"][0]["field"] == "body"
        run.counts["refused by name"] += 1
        return
    assert answer.status_code == 202, case.text[:200]
    assert answer.json["rejected"] == [], case.text[:200]
    first, hostile, last = answer.json["ids"]
    run.expect(hostile, place, value)
    for record_id in (first, last):
        run.expect(record_id, usual, NEIGHBOUR)
        run.counts["neighbours"] += 1


def capture(run: Run, value: Any, place: str) -> None:
    """The same by the Python interface."""
    values = {"tenant_id": run.who.tenant_id, **fields_of(place, value)}
    if place == "changes":
        changes = values.pop("changes")
        record_id = AuditService().log_create(
            data=changes["after"], resource_type="contact", resource_id="7", **values
        )
    else:
        record_id = log_action(
            action_type="crm_get",
            provider_name="hubspot",
            status="success",
            execution_time_ms=1,
            **values,
        )
    run.expect(record_id, place, value)


def check(run: Run) -> None:
    """Everything that was accepted is there, and says what was altered; nothing else was."""
    for record_id, (kind, place, value) in run.expected.items():
        answer = run.who.get(f"/api/v1/logs/{kind}/{record_id}")
        assert answer.status_code == 200, (record_id, repr(value)[:200])
        shown = json.loads(answer.get_data())
        expected = Altered(value, WRAPPED.get(place, ()))
        free = FREE_TEXT[kind]
        if in_free_text(value):
            assert shown[free] == expected.cut_text(value), repr(value)[:200]
        notes = shown["metadata"].pop("cleaned", {})
        for ours in ("ingest", "changed_fields"):
            shown["metadata"].pop(ours, None)
        model = {} if expected.value is None and place == "request_payload" else expected.value
        assert list(differences(model, shown[place])) == [], repr(value)[:200]
        assert set(notes) == expected.reasons, repr(value)[:200]
        if value is not NEIGHBOUR:
            outcome = "cut" if "truncated" in notes else "altered" if notes else "stored as it was"
            run.counts[outcome] += 1
    run.expected.clear()


@pytest.mark.timeout(3_000)
def test_hostile_payloads_are_stored_altered_with_a_note_or_refused_by_name(live: World) -> None:
    """HOSTILE_PAYLOADS of them, each by both ways; nothing is lost and nothing becomes a letter."""
    run = Run(live.settle())
    lost = [metric("opsledger_lost_total", kind=kind, reason="capture_failed") for kind in KINDS]
    sent = 0
    with live.app.app_context():
        for value in (*FOREIGN, nested(10_000)):
            for place in PLACES:
                capture(run, value, place)
        for index, case in enumerate(corpus(PAYLOADS, SEED)):
            place = PLACES[index % len(PLACES)]
            ingest(run, case, place)
            sent += 1
            if not case.refused:
                capture(run, json.loads(case.text), place)
            if index % AT_ONCE == AT_ONCE - 1:
                assert live.opsledger.shipper.flush(ARRIVE_S)
                check(run)
    assert live.opsledger.shipper.flush(ARRIVE_S)
    check(run)
    assert sent == PAYLOADS
    assert lost == [
        metric("opsledger_lost_total", kind=kind, reason="capture_failed") for kind in KINDS
    ]
    with live.maintenance.unrestricted_unsafe() as session:
        letters = session.execute(
            text("SELECT count(*) FROM dead_letters WHERE tenant_id = :id"),
            {"id": run.who.tenant_id},
        ).scalar_one()
    assert letters == 0
    print(f"\n{sent} payloads by two ways: {dict(run.counts)}")
    assert min(run.counts.values()) > 0
    assert len(run.counts) == 5


KINDS = ("action", "audit")


def nested(depth: int) -> Any:
    """Lists in lists."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value
