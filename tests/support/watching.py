"""Evaluations at chosen moments, and what they left."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from uuid_utils.compat import uuid7

from app.domain.alert_life import Alert
from app.domain.alert_rules import Comparison, Figure, Rule
from app.domain.records import Kind
from app.pipeline.alerting import evaluate_alerts
from app.store.alert_rules import add_rule, ensure_rules
from app.store.alerts import list_alerts, list_events
from app.store.session import Database

ERROR_RATE, LATENCY, FAILURES, CHANGES = (
    "Error rate above 5 % in the last hour",
    "Average latency of a provider above 2,000 ms",
    "More than 10 failed actions in 5 minutes",
    "More than 50 audited changes in 1 minute",
)


class Watch:
    """The alerts of one tenant."""

    def __init__(self, database: Database, tenant_id: UUID) -> None:
        self._database = database
        self.tenant_id = tenant_id

    def look(self, now: datetime) -> list[Alert]:
        """Evaluate everybody's rules at a moment; the tenant's alerts."""
        evaluate_alerts(self._database, now=now)
        return self.alerts()

    def alerts(self) -> list[Alert]:
        """The tenant's alerts, newest first."""
        with self._database.unrestricted_unsafe() as session:
            return list_alerts(session, self.tenant_id, limit=1000)

    def states(self) -> dict[tuple[str, str], str]:
        """The state of the newest alert of each rule and group."""
        return {(one.rule_name, one.group): one.state.value for one in reversed(self.alerts())}

    def events(self, alert: Alert) -> list[str]:
        """What happened to an alert."""
        with self._database.unrestricted_unsafe() as session:
            return [one.event for one in list_events(session, self.tenant_id, alert.id)]

    def add(self, **values: Any) -> Rule:
        """A rule beside the default ones."""
        usual: dict[str, Any] = {
            "id": uuid7(),
            "name": f"rule {uuid7()}",
            "kind": Kind.ACTION,
            "figure": Figure.COUNT,
            "threshold": 1e9,
            "window_s": 60,
            "comparison": Comparison.ABOVE,
        }
        rule = Rule(**{**usual, **values})
        with self._database.unrestricted_unsafe() as session:
            ensure_rules(session, self.tenant_id)
            add_rule(session, self.tenant_id, rule)
        return rule

    def rows(self, table: str) -> list[Any]:
        """The tenant's rows of a table."""
        with self._database.unrestricted_unsafe() as session:
            statement = text(f"SELECT * FROM {table} WHERE tenant_id = :tenant")
            return list(session.execute(statement, {"tenant": self.tenant_id}))
