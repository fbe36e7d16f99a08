"""What besides records has its time: each thing with the statement that removes what is past it."""

from sqlalchemy import text
from sqlalchemy.orm import Session

_OLD = "{column} < now() - make_interval(days => :days)"
# A hold of a tenant keeps all its dead letters: they are not looked through one by one.
_DEAD = f"""
    {_OLD.format(column="t.created_at")} AND NOT EXISTS (
        SELECT FROM legal_holds h WHERE h.tenant_id = t.tenant_id AND h.released_at IS NULL
    )
"""
_OVER = f"t.state IN ('failed', 'expired') AND {_OLD.format(column='t.requested_at')}"
_OF_RESOLVED = f"""
    EXISTS (
        SELECT FROM alerts a WHERE (a.tenant_id, a.id) = (t.tenant_id, t.alert_id)
        AND a.state = 'resolved' AND {_OLD.format(column="a.resolved_at")}
    )
"""
_RESOLVED = f"""
    t.state = 'resolved' AND {_OLD.format(column="t.resolved_at")} AND NOT EXISTS (
        SELECT FROM alert_events e WHERE (e.tenant_id, e.alert_id) = (t.tenant_id, t.id)
    )
"""
_SENT = f"t.state <> 'queued' AND {_OLD.format(column='t.created_at')}"
_UNUSED = _OLD.format(column="t.updated_at")
_DELETE = """
    DELETE FROM {table} WHERE ({key}) IN (
        SELECT {key} FROM {table} t WHERE {past} ORDER BY {key} LIMIT :limit
    )
"""
_TENANTS = "tenant_id, id"
# By what it is called: table, key, and when it is past its time.
_THINGS: dict[str, list[tuple[str, str, str]]] = {
    "receipts": [("shipments", "id", _OLD.format(column="t.committed_at"))],
    "dead letters": [("dead_letters", "id", _DEAD)],
    "exports": [("exports", _TENANTS, _OVER)],
    # Events first, so that none is left without its alert.
    "alerts": [("alert_events", _TENANTS, _OF_RESOLVED), ("alerts", _TENANTS, _RESOLVED)],
    "messages": [("alert_deliveries", _TENANTS, _SENT)],
    "sandbox": [("sandbox_contacts", _TENANTS, _UNUSED), ("sandbox_items", _TENANTS, _UNUSED)],
}
THINGS = tuple(_THINGS)


def steps_of(thing: str) -> int:
    """How many tables a thing is in."""
    return len(_THINGS[thing])


def remove_past(session: Session, thing: str, step: int, *, days: int, limit: int) -> int:
    """Remove so much of a thing, at most, as is older than some days; returns how many rows."""
    table, key, past = _THINGS[thing][step]
    statement = text(_DELETE.format(table=table, key=key, past=past))
    result = session.execute(statement, {"days": days, "limit": limit})
    return int(result.rowcount)  # type: ignore[attr-defined]
