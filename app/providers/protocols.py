"""What a provider of each capability can do; every provider passes its capability's contract suite.

A provider object serves one operation of one tenant. Its methods take unified fields, checked at
the door, and raise ProviderError alone. `list` and `search` give a page past the cursor `after`,
each resource once over all pages, in the order of the provider.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from ..domain.resources import Comment, Contact, Document, Event, Found, Message, Ticket

Values = Mapping[str, Any]


class CrmProvider(Protocol):
    """Contacts of one tenant."""

    def create(self, values: Values) -> Contact:
        """Add a contact."""
        ...

    def get(self, contact_id: str, /) -> Contact:
        """One contact."""
        ...

    def update(self, contact_id: str, values: Values, /) -> Contact:
        """Change the given fields, leave the others."""
        ...

    def delete(self, contact_id: str, /) -> None:
        """Remove a contact."""
        ...

    def list(self, *, limit: int, after: str | None) -> Found[Contact]:
        """A page of all contacts."""
        ...

    def search(self, query: str, *, limit: int, after: str | None) -> Found[Contact]:
        """A page of the contacts that hold a text."""
        ...


class HelpdeskProvider(Protocol):
    """Tickets of one tenant."""

    def create(self, values: Values) -> Ticket:
        """Open a ticket."""
        ...

    def get(self, ticket_id: str, /) -> Ticket:
        """One ticket."""
        ...

    def update(self, ticket_id: str, values: Values, /) -> Ticket:
        """Change the given fields, leave the others."""
        ...

    def list(self, *, limit: int, after: str | None) -> Found[Ticket]:
        """A page of all tickets."""
        ...

    def comment(self, ticket_id: str, values: Values, /) -> Comment:
        """Say something on a ticket."""
        ...


class CalendarProvider(Protocol):
    """Events of one tenant's calendar."""

    def create(self, values: Values) -> Event:
        """Add an event."""
        ...

    def get(self, event_id: str, /) -> Event:
        """One event."""
        ...

    def update(self, event_id: str, values: Values, /) -> Event:
        """Change the given fields, leave the others."""
        ...

    def delete(self, event_id: str, /) -> None:
        """Remove an event."""
        ...

    def list(
        self, *, limit: int, after: str | None, since: datetime | None, until: datetime | None
    ) -> Found[Event]:
        """A page of the events that end after `since` and start before `until`."""
        ...


class EmailProvider(Protocol):
    """Messages of one tenant's mailbox."""

    def send(self, values: Values) -> Message:
        """Send a message."""
        ...

    def get(self, message_id: str, /) -> Message:
        """One message."""
        ...

    def list(self, *, limit: int, after: str | None) -> Found[Message]:
        """A page of all messages."""
        ...

    def search(self, query: str, *, limit: int, after: str | None) -> Found[Message]:
        """A page of the messages that hold a text."""
        ...


class KnowledgeProvider(Protocol):
    """Documents of one tenant."""

    def create(self, values: Values) -> Document:
        """Store a document."""
        ...

    def get(self, document_id: str, /) -> Document:
        """One document, as it is now."""
        ...

    def update(self, document_id: str, values: Values, /) -> Document:
        """Change the given fields, leave the others; makes a new version."""
        ...

    def delete(self, document_id: str, /) -> None:
        """Remove a document."""
        ...

    def list(self, *, limit: int, after: str | None) -> Found[Document]:
        """A page of all documents."""
        ...

    def search(self, query: str, *, limit: int, after: str | None) -> Found[Document]:
        """A page of the documents that hold a text."""
        ...


P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Capability(Generic[P]):
    """A family of operations, and what its providers can do."""

    name: str


CRM: Capability[CrmProvider] = Capability("crm")
HELPDESK: Capability[HelpdeskProvider] = Capability("helpdesk")
CALENDAR: Capability[CalendarProvider] = Capability("calendar")
EMAIL: Capability[EmailProvider] = Capability("email")
KNOWLEDGE: Capability[KnowledgeProvider] = Capability("knowledge")
CAPABILITIES: tuple[str, ...] = tuple(
    capability.name for capability in (CRM, HELPDESK, CALENDAR, EMAIL, KNOWLEDGE)
)
