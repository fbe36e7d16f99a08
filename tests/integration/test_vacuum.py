"""What besides records has its time goes after it, and nothing before."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from uuid_utils.compat import uuid7

from app.pipeline import vacuuming
from app.pipeline.vacuuming import days_of, vacuum
from app.store.session import Database
from app.store.vacuum import THINGS
from tests.support.archive import Archive

PUT = {
    "receipts": "INSERT INTO shipments (id, committed_at) VALUES (:id, {at})",
    "dead letters": "INSERT INTO dead_letters (tenant_id, payload, reason, shipment_id, created_at)"
    " VALUES (:tenant_id, 'x', 'x', :id, {at})",
    "exports": "INSERT INTO exports (tenant_id, id, kind, format, filters, include_archived,"
    " withhold, requested_by, secret, state, requested_at) VALUES"
    " (:tenant_id, :id, 'audit', 'csv', '{{}}', false, false, 'x', 'x', 'expired', {at})",
    "alerts": 'INSERT INTO alerts (tenant_id, id, rule_id, rule_name, severity, "group", state,'
    " value, threshold, window_s, pending_at, resolved_at) VALUES"
    " (:tenant_id, :id, :id, 'x', 'info', :id, 'resolved', 1, 1, 60, {at}, {at});"
    " INSERT INTO alert_events (tenant_id, id, alert_id, event, at)"
    " VALUES (:tenant_id, :id, :id, 'fired', {at})",
    "messages": "INSERT INTO alert_deliveries (tenant_id, id, channel_id, event, payload, state,"
    " created_at) VALUES (:tenant_id, :id, :id, 'fired', '{{}}', 'sent', {at})",
    "sandbox": "INSERT INTO sandbox_contacts (tenant_id, id, email, updated_at)"
    " VALUES (:tenant_id, :id, 'x', {at}); INSERT INTO sandbox_items"
    " (tenant_id, collection, id, fields, updated_at) VALUES (:tenant_id, 'x', :id, '{{}}', {at})",
}
LEFT = {
    "receipts": "SELECT id FROM shipments WHERE id = ANY(:ids)",
    "dead letters": "SELECT shipment_id FROM dead_letters WHERE shipment_id = ANY(:ids)",
    "exports": "SELECT id FROM exports WHERE id = ANY(:ids)",
    "alerts": "SELECT id FROM alerts WHERE id = ANY(:ids)"
    " UNION SELECT alert_id FROM alert_events WHERE alert_id = ANY(:ids)",
    "messages": "SELECT id FROM alert_deliveries WHERE id = ANY(:ids)",
    "sandbox": "SELECT id FROM sandbox_contacts WHERE id = ANY(:ids)"
    " UNION SELECT id FROM sandbox_items WHERE id = ANY(:ids)",
}


@pytest.fixture
def owner(archive: Archive) -> Any:
    """Writes what only time would make."""
    database = Database.connect(archive.world.opsledger.settings.url_of("owner"))
    yield database
    database.close()


def put(owner: Database, thing: str, tenant_id: UUID, age_days: float) -> UUID:
    """One of a thing, made some days ago; its id."""
    made = uuid7()
    at = f"now() - make_interval(secs => {age_days * 86400})"
    with owner.unrestricted_unsafe() as session:
        for statement in PUT[thing].format(at=at).split("; "):
            session.execute(text(statement), {"id": made, "tenant_id": tenant_id})
    return made


def left(owner: Database, thing: str, ids: list[UUID]) -> set[UUID]:
    """Those that are there, in whole or in part."""
    with owner.unrestricted_unsafe() as session:
        return set(session.execute(text(LEFT[thing]), {"ids": ids}).scalars())


@pytest.mark.parametrize("thing", THINGS)
def test_each_thing_goes_after_its_days_and_stays_for_ever_with_none(
    archive: Archive, owner: Database, thing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some at once, whatever the number."""
    monkeypatch.setattr(vacuuming, "ROWS_MAX", 2)
    settings, who = archive.world.opsledger.settings, archive.settle()
    days = days_of(settings)[thing]
    assert days > 0
    old = [put(owner, thing, who.tenant_id, days + 0.01) for _ in range(5)]
    young = put(owner, thing, who.tenant_id, days - 0.01)
    names = {
        **{name: f"{name.removesuffix('s')}_days" for name in ("receipts", "exports", "alerts")},
        "dead letters": "dead_letter_days",
        "messages": "message_days",
        "sandbox": "sandbox_days",
    }
    if thing != "receipts":  # which are of no use to anybody for ever
        vacuum(archive.maintenance, replace(settings, **{names[thing]: 0}))
        assert left(owner, thing, [*old, young]) == {*old, young}
    assert vacuum(archive.maintenance, settings)[thing] >= 5
    assert left(owner, thing, [*old, young]) == {young}
    assert vacuum(archive.maintenance, settings, run_s_max=0)[thing] == 0


def test_what_is_open_stays_however_old_it_is(archive: Archive, owner: Database) -> None:
    """An alert that fires, a message to be sent, an export to be made; dead letters under hold."""
    settings, who = archive.world.opsledger.settings, archive.settle()
    made = {thing: put(owner, thing, who.tenant_id, 1000) for thing in THINGS}
    with owner.unrestricted_unsafe() as session:
        for table, state in (
            ("alerts", "firing"),
            ("alert_deliveries", "queued"),
            ("exports", "pending"),
        ):
            statement = f"UPDATE {table} SET state = :state WHERE tenant_id = :id"
            session.execute(text(statement), {"state": state, "id": who.tenant_id})
    hold = {"tenant_id": str(who.tenant_id), "reason": "x"}
    archive.world.operator().post("/api/v1/admin/legal-holds", json=hold)
    vacuum(archive.maintenance, settings)
    for thing in ("alerts", "messages", "exports", "dead letters"):
        assert left(owner, thing, [made[thing]]) == {made[thing]}, thing
    with owner.unrestricted_unsafe() as session:
        session.execute(text("DELETE FROM exports"))
        session.execute(text("DELETE FROM dead_letters"))
