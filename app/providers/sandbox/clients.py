"""The sandbox's side of the protocols: unified fields to requests, answers to unified resources."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar
from urllib.parse import quote

from ...domain.identity import format_time
from ...domain.resources import Comment, Contact, Document, Event, Found, Message, Resource, Ticket
from ...errors import ProviderError
from ..messages import Request, Response, json_request
from ..operation import Operation
from ..policy import refusal_of_status
from ..protocols import Values
from ..reading import reading
from .collections import NEXT_HEADER

BASE_URL = "https://sandbox.internal"  # nobody's: the server is inside this process

R = TypeVar("R", bound=Resource)


def sandbox_refusal(response: Response) -> ProviderError:
    """What an answer of 400 or more says."""
    said = response.json()
    return refusal_of_status(
        response.status,
        said["message"],
        provider_code=said["code"],
        retry_after=response.headers.get("retry-after"),
        field=said.get("field"),
    )


class _Collection(Generic[R]):
    """One collection of the sandbox, within one operation."""

    path: ClassVar[str]
    resource: ClassVar[type[Any]]

    def __init__(self, operation: Operation) -> None:
        self._operation = operation

    def create(self, values: Values) -> R:
        """Add one; the operation's id keeps a second attempt from adding another."""
        return self._one(self._asked("POST", content=_wire(values)))

    def get(self, item_id: str, /) -> R:
        """One by its id."""
        return self._one(self._asked("GET", item_id))

    def update(self, item_id: str, values: Values, /) -> R:
        """Change the given fields."""
        return self._one(self._asked("PATCH", item_id, content=_wire(values)))

    def delete(self, item_id: str, /) -> None:
        """Remove one."""
        self._operation.send(self._asked("DELETE", item_id, empty=True))

    def search(self, query: str, *, limit: int, after: str | None) -> Found[R]:
        """Those of which any text field holds `query`, whatever its case, newest first."""
        return self._page(q=query, limit=limit, after=after)

    def _page(self, **query: Any) -> Found[R]:
        given = {name: value for name, value in query.items() if value is not None}
        response = self._operation.send(self._asked("GET", query=given))
        with reading():
            items = [self.resource.from_json(shown) for shown in response.json()]
        return Found(items, response.headers.get(NEXT_HEADER))

    def _one(self, request: Request) -> R:
        response = self._operation.send(request)
        with reading():
            found: R = self.resource.from_json(response.json())
        return found

    def _asked(self, method: str, item_id: str | None = None, **more: Any) -> Request:
        url = f"{BASE_URL}{self.path}"
        if item_id is not None:
            url += f"/{quote(item_id, safe='')}"
            more["named"] = {"id": item_id}
        if method == "POST":
            more["headers"] = {"Idempotency-Key": self._operation.id}
        return json_request(method, url, repeatable=True, **more)


class _Listed(_Collection[R]):
    def list(self, *, limit: int, after: str | None) -> Found[R]:
        """All, newest first."""
        return self._page(limit=limit, after=after)


class SandboxCrm(_Listed[Contact]):
    """A CrmProvider."""

    path = "/crm/contacts"
    resource = Contact


class SandboxHelpdesk(_Listed[Ticket]):
    """A HelpdeskProvider."""

    path = "/helpdesk/tickets"
    resource = Ticket

    def comment(self, ticket_id: str, values: Values, /) -> Comment:
        """Say something on a ticket."""
        asked = json_request(
            "POST",
            f"{BASE_URL}{self.path}/{quote(ticket_id, safe='')}/comments",
            content=_wire(values),
            headers={"Idempotency-Key": self._operation.id},
            named={"ticket_id": ticket_id},
            repeatable=True,
        )
        response = self._operation.send(asked)
        with reading():
            return Comment.from_json(response.json())


class SandboxCalendar(_Collection[Event]):
    """A CalendarProvider."""

    path = "/calendar/events"
    resource = Event

    def list(
        self, *, limit: int, after: str | None, since: datetime | None, until: datetime | None
    ) -> Found[Event]:
        """The events of a window, newest first."""
        return self._page(
            limit=limit,
            after=after,
            since=format_time(since) if since else None,
            until=format_time(until) if until else None,
        )


class SandboxEmail(_Listed[Message]):
    """An EmailProvider; what is sent stays in the sandbox."""

    path = "/email/messages"
    resource = Message

    def send(self, values: Values) -> Message:
        """Send a message."""
        return self.create(values)


class SandboxKnowledge(_Listed[Document]):
    """A KnowledgeProvider."""

    path = "/knowledge/documents"
    resource = Document


def _wire(values: Mapping[str, Any]) -> dict[str, Any]:
    """Unified fields as JSON."""
    return {
        name: format_time(value) if isinstance(value, datetime) else value
        for name, value in values.items()
    }
