"""A message about alerts, as every channel gets it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What to tell.

    Args:
        id: the same at every try, so that a receiver can tell what it has already.
        tenant: the tenant's slug.
        event: alerts, or test.
    """

    id: UUID
    tenant: str
    event: str
    created_at: datetime
    payload: dict[str, Any]

    @property
    def title(self) -> str:
        """One line."""
        alerts = self.payload.get("alerts", [])
        if not alerts:
            return f"Opsledger: a test message for {self.tenant}"
        first = f"[{alerts[0]['severity']}] {alerts[0]['rule']}: {alerts[0]['event']}"
        more = f" and {len(alerts) - 1} more" if len(alerts) > 1 else ""
        return f"{first}{more} ({self.tenant})"

    @property
    def text(self) -> str:
        """All of it, a line for each alert."""
        alerts = self.payload.get("alerts", [])
        return "\n".join(map(_line, alerts)) or "This channel works."


def _line(alert: dict[str, Any]) -> str:
    group = f" for {alert['group']}" if alert["group"] else ""
    figure = f"{alert['value']:g} against {alert['threshold']:g} in {alert['window_s']} s"
    return f"{alert['event']}: {alert['rule']}{group}: {figure} (alert {alert['id']})"
