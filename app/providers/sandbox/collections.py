"""What the sandbox's server has: its collections, their defaults and the rules it holds them to."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from ...domain.identity import created_at_of, redated
from ...domain.resources import Comment, Contact, Document, Event, Message, Resource, Ticket

NEXT_HEADER = "x-next-cursor"  # of an answer that is one page of several
SENDER = "you@sandbox.example"  # of every message; nothing leaves the sandbox


class Refused(Exception):
    """The sandbox refuses a value.

    Args:
        field: which.
    """

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """One kind of thing.

    Args:
        name: as it stands in the table; the contacts have a table of their own.
        noun: what one of them is called.
        resource: the unified resource it is shown as.
        defaults: fields that a new one has if they are not given.
        searched: the fields in which a search looks.
        check: refuses fields that contradict each other.
        methods: what it answers to.
        versioned: whether each change gives it the next version.
    """

    name: str
    noun: str
    resource: type[Resource]
    defaults: Mapping[str, Any]
    searched: tuple[str, ...] = ()
    check: Callable[[Mapping[str, Any]], None] = lambda _: None
    methods: frozenset[str]
    versioned: bool = False


def _check_event(fields: Mapping[str, Any]) -> None:
    if fields["end"] <= fields["start"]:
        raise Refused("end", "must be after start")


COLLECTIONS: dict[tuple[str, ...], Collection] = {
    ("crm", "contacts"): Collection(
        name="contacts",
        noun="contact",
        resource=Contact,
        defaults={},
        methods=frozenset({"POST", "GET", "PATCH", "DELETE"}),
    ),
    ("helpdesk", "tickets"): Collection(
        name="tickets",
        noun="ticket",
        resource=Ticket,
        defaults={"status": "open", "priority": None, "requester_email": None, "tags": []},
        methods=frozenset({"POST", "GET", "PATCH"}),
    ),
    ("helpdesk", "tickets", "comments"): Collection(
        name="comments",
        noun="comment",
        resource=Comment,
        defaults={"public": True, "author": None},
        methods=frozenset({"POST"}),
    ),
    ("calendar", "events"): Collection(
        name="events",
        noun="event",
        resource=Event,
        defaults={
            "description": None,
            "location": None,
            "all_day": False,
            "attendees": [],
            "status": "confirmed",
        },
        check=_check_event,
        methods=frozenset({"POST", "GET", "PATCH", "DELETE"}),
    ),
    ("email", "messages"): Collection(
        name="messages",
        noun="message",
        resource=Message,
        defaults={"sender": SENDER, "cc": [], "html": None},
        searched=("subject", "text", "sender", "to"),
        methods=frozenset({"POST", "GET"}),
    ),
    ("knowledge", "documents"): Collection(
        name="documents",
        noun="document",
        resource=Document,
        defaults={"tags": [], "properties": {}, "version": 1, "score": None, "highlight": None},
        searched=("title", "text"),
        methods=frozenset({"POST", "GET", "PATCH", "DELETE"}),
        versioned=True,
    ),
}


def new_item_id(key: str | None) -> UUID:
    """The id of a new thing; under one idempotency key, a UUIDv7, it is the same each time."""
    if key is None:
        return uuid7()
    digest = hashlib.sha256(key.encode()).digest()
    return redated(UUID(bytes=digest[:16]), created_at_of(UUID(key)))
