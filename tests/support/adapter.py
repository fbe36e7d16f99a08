"""The adapter's 26 operations as tests call them, over HTTP and by the providers themselves."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from app.providers import Providers
from app.providers.protocols import Capability
from tests.support.world import Inhabitant

BASE = "/api/v1"
UNKNOWN_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
EVENT = {"title": "Review", "start": "2026-03-01T10:00:00.000Z", "end": "2026-03-01T11:00:00.000Z"}
BODIES: dict[str, dict[str, Any]] = {
    "crm": {"email": "ann@example.com", "first_name": "Ann", "properties": {"tier": "gold"}},
    "helpdesk": {"subject": "It broke", "description": "It broke at noon.", "tags": ["urgent"]},
    "calendar": {**EVENT, "location": "Room 1", "attendees": ["ann@example.com"]},
    "email": {"to": ["ann@example.com"], "subject": "Hello", "text": "Hello Ann"},
    "knowledge": {"title": "How to mend it", "text": "Turn it off and on again."},
}
COLLECTIONS = {
    "crm": "crm/contacts",
    "helpdesk": "helpdesk/tickets",
    "calendar": "calendar/events",
    "email": "email/messages",
    "knowledge": "knowledge/documents",
}
CHANGES: dict[str, dict[str, Any]] = {
    "crm": {"company": "New"},
    "helpdesk": {"status": "solved"},
    "calendar": {"title": "Moved"},
    "knowledge": {"title": "How to mend this"},
}


@dataclass(frozen=True)
class Call:
    """One of the 26, as a request: {id} in the path stands for a thing that is there.

    Args:
        invalid: what to send so that it is refused at the door.
    """

    action_type: str
    method: str
    path: str
    status: int
    body: dict[str, Any] | None = None
    query: dict[str, str] = field(default_factory=dict)
    invalid: dict[str, Any] = field(default_factory=dict)

    @property
    def capability(self) -> str:
        """The family of the operation."""
        return self.action_type.partition("_")[0]

    def make(self, who: Inhabitant, item_id: str = "", **headers: str) -> Any:
        """Make the call."""
        return who.client.open(
            self.path.format(id=item_id),
            method=self.method,
            json=self.body,
            query_string=self.query,
            headers={**who.headers, **headers},
        )


def _calls() -> list[Call]:
    found: list[Call] = []
    names = {
        "crm": ("create", "list", "get", "update", "delete", "search"),
        "helpdesk": ("create_ticket", "list_tickets", "get_ticket", "update_ticket", "", ""),
        "calendar": (
            *("create_event", "list_events", "get_event", "update_event", "delete_event", ""),
        ),
        "email": ("send", "list", "get", "", "", "search"),
        "knowledge": ("store", "list", "get", "update", "delete", "search"),
    }
    for family, kinds in names.items():
        at = f"{BASE}/{COLLECTIONS[family]}"
        rows: list[tuple[str, str, int, dict[str, Any]]] = [
            ("POST", at, 201, {"body": BODIES[family], "invalid": {"json": {"zzz": 1}}}),
            ("GET", at, 200, {"invalid": {"query_string": {"limit": "0"}}}),
            ("GET", f"{at}/{{id}}", 200, {"invalid": {"query_string": {"zzz": "1"}}}),
            ("PATCH", f"{at}/{{id}}", 200, {"body": CHANGES.get(family), "invalid": {"json": {}}}),
            ("DELETE", f"{at}/{{id}}", 204, {"invalid": {"query_string": {"zzz": "1"}}}),
            ("GET", f"{at}/search", 200, {"query": {"q": "e"}, "invalid": {"query_string": {}}}),
        ]
        found += [
            Call(f"{family}_{kind}", method, path, status, **more)
            for kind, (method, path, status, more) in zip(kinds, rows, strict=True)
            if kind
        ]
    comment = f"{BASE}/helpdesk/tickets/{{id}}/comments"
    refused = {"json": {"body": ""}}
    found.append(
        Call("helpdesk_add_comment", "POST", comment, 201, {"body": "Looking"}, invalid=refused)
    )
    return found


CALLS = {call.action_type: call for call in _calls()}


def make_item(who: Inhabitant, family: str, **values: Any) -> dict[str, Any]:
    """A thing of the family, as the API shows it."""
    response = who.post(f"{BASE}/{COLLECTIONS[family]}", json={**BODIES[family], **values})
    assert response.status_code == 201, response.json
    made: dict[str, Any] = response.json
    return made


class Direct:
    """Calls the methods of a tenant's provider, each as an operation of its own."""

    def __init__(self, providers: Providers, capability: Capability[Any], action_type: str) -> None:
        self._providers = providers
        self._capability = capability
        self._action_type = action_type

    def __getattr__(self, name: str) -> Any:
        def call(tenant_id: UUID, *args: Any, **kwargs: Any) -> Any:
            with self._providers.operate(
                self._capability, tenant_id, self._action_type, operation_id=str(uuid7())
            ) as provider:
                return getattr(provider, name)(*args, **kwargs)

        return call
