"""The sandbox's server: answers requests as a provider does, from the tenant's tables.

It speaks the unified resources as JSON. A creation under an idempotency key that it has seen makes
nothing new. Nothing of another tenant exists for it, by row-level security.
"""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

from uuid_utils.compat import uuid4

from ...domain.codec import dump_json
from ...domain.identity import format_time
from ...domain.resources import Contact
from ...errors import ProviderAway, ProviderTimeout, QueryTimeout, StoreUnavailable
from ...store.contacts import ContactRepository
from ...store.sandbox import SandboxItem, SandboxRepository
from ...store.session import Database
from ..messages import Request, Response
from .collections import COLLECTIONS, NEXT_HEADER, Collection, Refused, new_item_id

PROVIDER = "sandbox"


class Unknown(Exception):
    """The sandbox has no such thing."""


class SandboxServer:
    """The server as one tenant reaches it: a Transport."""

    def __init__(self, database: Database, tenant_id: UUID) -> None:
        self._database = database
        self._tenant_id = tenant_id

    def send(self, request: Request, *, timeout_s: float) -> Response:  # noqa: ARG002
        """Answer one request; the database's own statement timeout bounds it."""
        try:
            with self._database.tenant(self._tenant_id) as session:
                return _answer(session, self._tenant_id, request)
        except StoreUnavailable as error:
            raise ProviderAway("The sandbox cannot be reached") from error
        except QueryTimeout as error:
            raise ProviderTimeout("The sandbox did not answer in time") from error


def _answer(session: Any, tenant_id: UUID, request: Request) -> Response:
    try:
        status, shown, following = _Desk(session, tenant_id, request).serve()
    except Unknown as error:
        return _response(404, {"code": "not_found", "message": str(error)})
    except Refused as error:
        refusal = {"code": "invalid", "message": str(error), "field": error.field}
        return _response(400, refusal)
    return _response(status, shown, following)


def _response(status: int, shown: Any, following: str | None = None) -> Response:
    headers = {"content-type": "application/json", "x-request-id": uuid4().hex}
    if following is not None:
        headers[NEXT_HEADER] = following
    body = b"" if shown is None else dump_json(shown)
    return Response(status=status, headers=headers, body=body)


class _Desk:
    """Serves one request inside one transaction."""

    def __init__(self, session: Any, tenant_id: UUID, request: Request) -> None:
        self._session = session
        self._tenant_id = tenant_id
        self._request = request
        parts = [unquote(part) for part in urlsplit(request.url).path[1:].split("/")]
        self._collection = COLLECTIONS[(*parts[:2], *parts[3:])]
        self._id = parts[2] if len(parts) > 2 else None
        self._body: dict[str, Any] = json.loads(request.body) if request.body else {}

    def serve(self) -> tuple[int, Any, str | None]:
        """Status, body and cursor of the answer."""
        method = self._request.method
        if method not in self._collection.methods:
            return 405, {"code": "invalid", "message": f"{method} is not served here"}, None
        if self._collection.name == "comments":
            return 201, self._comment(), None
        if method == "POST":
            return 201, self._create(self._body), None
        if method == "GET" and self._id is None:
            return self._list()
        if method == "GET":
            return 200, self._shown(self._found()), None
        if method == "PATCH":
            return 200, self._update(), None
        if not self._shelf.delete(self._own_id()):
            raise self._unknown()
        return 204, None, None

    @property
    def _shelf(self) -> ContactRepository | SandboxRepository:
        if self._collection.name == "contacts":
            return ContactRepository(self._session, self._tenant_id)
        return self._items(self._collection)

    def _items(self, collection: Collection) -> SandboxRepository:
        return SandboxRepository(self._session, self._tenant_id, collection.name)

    def _new_id(self) -> UUID:
        return new_item_id(self._request.headers.get("Idempotency-Key"))

    def _create(self, values: dict[str, Any]) -> dict[str, Any]:
        fields = {**self._collection.defaults, **values}
        self._collection.check(fields)
        item_id = self._new_id()
        if self._collection.name == "messages":
            fields["thread_id"] = str(item_id)
        return self._shown(self._shelf.add(item_id, fields))

    def _comment(self) -> dict[str, Any]:
        tickets = self._items(COLLECTIONS["helpdesk", "tickets"])
        parent = self._own_id("ticket")
        ticket = tickets.get(parent, locked=True)
        if ticket is None:
            raise self._unknown("ticket")
        tickets.replace(parent, ticket.fields)  # a ticket is as new as what was said last
        fields = {**self._collection.defaults, **self._body, "ticket_id": self._id}
        made = self._items(self._collection).add(self._new_id(), fields, parent)
        return self._shown(made)

    def _update(self) -> dict[str, Any]:
        shelf, item_id = self._shelf, self._own_id()
        if isinstance(shelf, ContactRepository):
            contact = shelf.update(item_id, self._body)
            if contact is None:
                raise self._unknown()
            return self._shown(contact)
        item = shelf.get(item_id, locked=True)
        if item is None:
            raise self._unknown()
        fields = {**item.fields, **self._body}
        self._collection.check(fields)
        if self._collection.versioned:
            fields["version"] = item.fields["version"] + 1
        return self._shown(shelf.replace(item_id, fields))

    def _list(self) -> tuple[int, Any, str | None]:
        query = self._request.query
        limit: int = query["limit"]
        shelf = self._shelf
        asked: dict[str, Any] = {"limit": limit + 1, "after": self._start(query)}
        asked["query"] = query.get("q")
        if isinstance(shelf, SandboxRepository):
            asked |= {"searched": self._collection.searched}
            asked |= {"since": query.get("since"), "until": query.get("until")}
        found = shelf.list(**asked)
        shown = [self._shown(item) for item in found[:limit]]
        return 200, shown, shown[-1]["id"] if len(found) > limit else None

    def _start(self, query: Mapping[str, Any]) -> UUID | None:
        after = query.get("after")
        try:
            return UUID(after) if after else None
        except ValueError as error:
            rule = "is not a cursor of the sandbox; take it from the Link header"
            raise Refused("after", rule) from error

    def _found(self) -> Contact | SandboxItem:
        found = self._shelf.get(self._own_id())
        if found is None:
            raise self._unknown()
        return found

    def _own_id(self, noun: str | None = None) -> UUID:
        try:
            return UUID(self._id or "")
        except ValueError as error:
            raise self._unknown(noun) from error

    def _unknown(self, noun: str | None = None) -> Unknown:
        return Unknown(f"There is no {noun or self._collection.noun} {self._id}")

    def _shown(self, item: Contact | SandboxItem) -> dict[str, Any]:
        if isinstance(item, Contact):
            return item.as_json()
        shown = {
            **item.fields,
            "id": str(item.id),
            "provider": PROVIDER,
            "url": None,
            "created_at": format_time(item.created_at),
            "updated_at": format_time(item.updated_at),
        }
        return self._collection.resource.from_json(shown).as_json()
