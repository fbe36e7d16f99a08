"""Whoever's records wait too long for a destination is told, by the channels of alerts; and again
when they arrive.
"""

from datetime import datetime, timedelta
from typing import Any

from ..domain.alert_life import Event, State
from ..domain.alert_rules import Severity
from ..store.alert_rules import list_channels
from ..store.deliveries import queue_delivery
from ..store.forwarding import Late, note_told, read_late
from ..store.session import Database
from ..telemetry import get_logger

log = get_logger(__name__)


def watch_forwarding(database: Database, *, now: datetime, late_s: float) -> int:
    """Tell of destinations that are late or no longer so; returns of how many.

    Args:
        late_s: how long a record may wait, in seconds.
    """
    told = 0
    with database.unrestricted_unsafe() as session:
        for one in read_late(session):
            since = one.waiting_since
            late = one.active and since is not None and since < now - timedelta(seconds=late_s)
            if late == (one.told_at is not None):
                continue
            _tell(session, one, now, late_s, late=late)
            note_told(session, one, now if late else None)
            told += 1
    return told


def _tell(session: Any, one: Late, now: datetime, late_s: float, *, late: bool) -> None:
    """Queue a message for each channel of the tenant, in the form of an alert's."""
    waited = (now - one.waiting_since).total_seconds() if one.waiting_since else 0.0
    alert = {
        "id": str(one.id),
        "event": (Event.FIRED if late else Event.RESOLVED).value,
        "state": (State.FIRING if late else State.RESOLVED).value,
        "rule_id": str(one.id),
        "rule": f"Records wait for the destination {one.name}",
        "severity": Severity.WARNING.value,
        "group": (one.last_error or "") if late else "",
        "value": round(waited, 1),
        "threshold": late_s,
        "window_s": round(late_s),
        "fired_at": (one.told_at or now).isoformat(),
        "resolved_at": None if late else now.isoformat(),
        "record_ids": [],
    }
    for channel in list_channels(session, one.tenant_id):
        queue_delivery(session, one.tenant_id, channel.id, "alerts", {"alerts": [alert]})
    say = log.warning if late else log.info
    say(
        "records wait for a destination" if late else "a destination has caught up",
        destination=str(one.id),
        waited_s=round(waited, 1),
    )
