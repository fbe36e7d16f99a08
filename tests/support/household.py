"""A tenant with one of everything, to see what others can find of it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from uuid_utils.compat import uuid7

from app.domain.forwarding import DestinationState, Format, new_destination
from app.domain.records import Kind
from app.store.forward_progress import bury
from app.store.forwarding import add_destination, set_state
from app.store.provider_accounts import put_account
from tests.support.adapter import make_item
from tests.support.watching import Watch
from tests.support.world import Inhabitant, World, action, audit

START = datetime.now(UTC).replace(microsecond=0) - timedelta(days=2)


@dataclass(frozen=True)
class Household:
    """A tenant with one of everything, each marked with a text that no other tenant has."""

    who: Inhabitant
    operator: Inhabitant
    marker: str
    action_id: UUID
    audit_id: UUID
    items: dict[str, str]
    key_id: UUID
    export_id: str
    view_id: str
    watched: dict[str, str]
    hold_id: str
    erasure_id: str
    destination_id: str

    def asker(self, path: str) -> Inhabitant:
        """Whose key opens a path: the tenant's, or the operator's that administers it."""
        return self.operator if path.startswith("/api/v1/admin") else self.who

    def needed(self, path: str) -> dict[str, str]:
        """The query parameters that a path cannot do without, in this tenant's words."""
        if path.endswith("/search"):
            return {"q": self.marker}
        if path.endswith("/ingest/receipts"):
            return {"action": str(self.action_id)}
        return {"tenant_id": str(self.who.tenant_id)} if path.endswith("/admin/keys") else {}

    @property
    def path_values(self) -> dict[str, str]:
        """What names something of this tenant in a path."""
        return {
            "action_id": str(self.action_id),
            "audit_id": str(self.audit_id),
            **self.items,
            "export_id": self.export_id,
            "view_id": self.view_id,
            **self.watched,
            "destination_id": self.destination_id,
            "operation_id": f"operation {self.marker}",
            "resource_type": "contact",
            "resource_id": f"resource/{self.marker}",
            "tenant_id": str(self.who.tenant_id),
            "key_id": str(self.key_id),
            "hold_id": self.hold_id,
            "erasure_id": self.erasure_id,
        }


def furnish(world: World) -> Household:
    """A new tenant with 30 action logs, 30 audit logs and one thing of each family."""
    who = world.settle()
    key = world.give_key(who.tenant_id, f"ops_{marker_of(who)}", (), name=marker_of(who))
    marker = marker_of(who)
    actions = [
        action(
            who.tenant_id,
            at=START + timedelta(minutes=number),
            provider_name=marker,
            request_payload={"of": marker},
            response_data=[marker],
            status=("success", "failure")[number % 2],
            error_message=f"error {marker}",
            operation_id=f"operation {marker}",
            metadata={"of": marker},
        )
        for number in range(29)
    ]
    actions.append(action(who.tenant_id, provider_name=marker, status="failure"))
    audits = [
        audit(
            who.tenant_id,
            at=START + timedelta(minutes=number),
            action=f"act {marker[:20]}",
            user_id=f"user {marker}",
            resource_id=f"resource/{marker}",
            changes={"after": {"of": marker}},
            operation_id=f"operation {marker}",
        )
        for number in range(30)
    ]
    world.put(*actions, *audits)
    operator = world.operator()
    with world.maintenance.unrestricted_unsafe() as session:
        put_account(
            session, who.tenant_id, "knowledge", provider="local", options={}, credentials=None
        )
    items = _kept_by_providers(who, marker)
    watched = _watched(world, who, marker)
    ids = (actions[0].id, audits[0].id)
    wanted = {"kind": "action", "filters": {"provider_name": [marker]}}
    export_id = who.post("/api/v1/exports", json=wanted).json["id"]
    view = {"name": marker, "log": "actions", "query": f"provider_name={marker}", "shared": True}
    view_id = who.post("/api/v1/views", json=view).json["id"]
    hold = {"tenant_id": str(who.tenant_id), "user_id": marker, "reason": marker}
    hold_id = operator.post("/api/v1/admin/legal-holds", json=hold).json["id"]
    erased = {"tenant_id": str(who.tenant_id), "user_id": f"nobody {marker}"}
    erasure_id = operator.post("/api/v1/admin/erasures", json=erased).json["id"]
    made = (hold_id, erasure_id, forwarded(world, who, marker, ids[0]))
    return Household(who, operator, marker, *ids, items, key.id, export_id, view_id, watched, *made)


def forwarded(world: World, who: Inhabitant, marker: str, record_id: UUID) -> str:
    """A destination to which nothing is sent, and a dead letter of it."""
    destination = new_destination(
        tenant_id=who.tenant_id,
        id=uuid7(),
        name=marker,
        sink="webhook",
        format=Format.NATIVE,
        settings={"url": "https://example.com/"},
        now=datetime.now(UTC),
    )
    with world.maintenance.unrestricted_unsafe() as session:
        add_destination(session, destination, None)
        set_state(session, who.tenant_id, destination.id, DestinationState.PAUSED)
        letter = (who.tenant_id, Kind.ACTION, record_id, f"no place for {marker}")
        bury(session, destination, [letter])
    return str(destination.id)


def _watched(world: World, who: Inhabitant, marker: str) -> dict[str, str]:
    """A channel, a rule that fires, and its alert, by the names that paths have for their ids."""
    alerts = "/api/v1/alerts"
    channel = {"name": marker, "kind": "webhook", "target": "https://example.com/"}
    rule = {"name": marker, "kind": "action", "figure": "count", "threshold": 0, "window_s": 300}
    made = {
        "channel_id": who.post(f"{alerts}/channels", json=channel).json["id"],
        "rule_id": who.post(f"{alerts}/rules", json=rule).json["id"],
    }
    (alert,) = Watch(world.maintenance, who.tenant_id).look(datetime.now(UTC))
    return {**made, "alert_id": str(alert.id)}


def _kept_by_providers(who: Inhabitant, marker: str) -> dict[str, str]:
    """One thing of each family at the providers, by the name that paths have for its id."""
    marked = {
        "contact_id": ("crm", {"email": f"{marker}@example.com", "company": marker}),
        "ticket_id": ("helpdesk", {"subject": marker}),
        "event_id": ("calendar", {"title": marker}),
        "message_id": ("email", {"subject": marker}),
        "document_id": ("knowledge", {"title": marker}),
    }
    return {
        name: make_item(who, family, **values)["id"] for name, (family, values) in marked.items()
    }


def marker_of(who: Inhabitant) -> str:
    """A text that only this tenant has."""
    return f"mark{who.tenant_id.hex}"
