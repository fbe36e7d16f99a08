"""The unified resources: what a contact, ticket, comment, event, message or document is, whichever
provider keeps it. `id` is the provider's own, `url` where a person opens it there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Generic, Self, TypeVar

from .identity import format_time

TICKET_STATUSES = ("new", "open", "pending", "hold", "solved", "closed")
TICKET_PRIORITIES = ("low", "normal", "high", "urgent")
EVENT_STATUSES = ("confirmed", "tentative", "cancelled")


class Resource:
    """Shown as JSON, and read back from what was shown."""

    __slots__ = ()
    id: str

    def as_json(self) -> dict[str, Any]:
        """The resource as the API and the log show it."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}  # type: ignore[arg-type]
        for name, value in values.items():
            if isinstance(value, datetime):
                values[name] = format_time(value)
        return values

    @classmethod
    def from_json(cls, shown: Mapping[str, Any]) -> Self:
        """The resource that was shown so.

        Raises:
            KeyError, TypeError, ValueError: it is no such resource.
        """
        values: dict[str, Any] = {}
        for item in fields(cls):  # type: ignore[arg-type]
            value = shown[item.name]
            values[item.name] = datetime.fromisoformat(value) if item.type is datetime else value
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact(Resource):
    """A person in a CRM; `properties` is what has no unified field."""

    id: str
    provider: str
    url: str | None = None
    email: str | None
    first_name: str | None
    last_name: str | None
    company: str | None
    phone: str | None
    properties: dict[str, Any] = field(default_factory=dict)
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket(Resource):
    """A request for help; `description` is what it was opened with."""

    id: str
    provider: str
    url: str | None = None
    subject: str
    description: str
    status: str
    priority: str | None
    requester_email: str | None
    tags: list[str] = field(default_factory=list)
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment(Resource):
    """What was said on a ticket; one that is not public is seen by agents alone."""

    id: str
    provider: str
    ticket_id: str
    body: str
    public: bool
    author: str | None = None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Resource):
    """A stretch of time in a calendar; an `all_day` one goes from midnight to midnight, UTC."""

    id: str
    provider: str
    url: str | None = None
    title: str
    description: str | None
    location: str | None
    start: datetime
    end: datetime
    all_day: bool
    attendees: list[str] = field(default_factory=list)
    status: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Message(Resource):
    """An email; in lists of some providers without its text."""

    id: str
    provider: str
    url: str | None = None
    thread_id: str
    sender: str
    to: list[str] = field(default_factory=list)
    cc: list[str] = field(default_factory=list)
    subject: str
    text: str | None
    html: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Document(Resource):
    """A piece of knowledge; what a search found says how well it fits (`score`) and where
    (`highlight`, the found words between ** and **).
    """

    id: str
    provider: str
    url: str | None = None
    title: str
    text: str
    tags: list[str] = field(default_factory=list)
    properties: dict[str, Any] = field(default_factory=dict)
    version: int
    score: float | None = None
    highlight: str | None = None
    created_at: datetime
    updated_at: datetime


R_co = TypeVar("R_co", bound=Resource, covariant=True)


@dataclass(frozen=True, slots=True)
class Found(Generic[R_co]):
    """A page of resources, and the provider's own cursor to the next one if there is any."""

    items: list[R_co]
    next: str | None = None
