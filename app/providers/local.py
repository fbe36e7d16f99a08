"""The knowledge provider `local`: documents in the tenant's own tables, versioned, and searched by
Postgres' full-text search.

Like the sandbox it is a server inside this process, and spoken to in the same words.
"""

import json
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

from uuid_utils.compat import uuid4

from ..domain.codec import dump_json
from ..domain.resources import Document
from ..errors import ProviderAway, ProviderTimeout, QueryTimeout, StoreUnavailable
from ..store.documents import DocumentRepository
from ..store.session import Database
from .messages import Request, Response
from .sandbox.clients import SandboxKnowledge
from .sandbox.collections import NEXT_HEADER, new_item_id

SKIP_MAX = 10_000  # results of one search; whoever needs more needs a better query


class LocalKnowledge(SandboxKnowledge):
    """A KnowledgeProvider."""


class LocalServer:
    """The server as one tenant reaches it: a Transport."""

    def __init__(self, database: Database, tenant_id: UUID) -> None:
        self._database = database
        self._tenant_id = tenant_id

    def send(self, request: Request, *, timeout_s: float) -> Response:  # noqa: ARG002
        """Answer one request; the database's own statement timeout bounds it."""
        try:
            with self._database.tenant(self._tenant_id) as session:
                return _serve(DocumentRepository(session, self._tenant_id), request)
        except StoreUnavailable as error:
            raise ProviderAway("The documents cannot be reached") from error
        except QueryTimeout as error:
            raise ProviderTimeout("The documents were not found in time") from error


def _serve(documents: DocumentRepository, request: Request) -> Response:
    document_id = _document_id(request.url)
    body: dict[str, Any] = json.loads(request.body) if request.body else {}
    if request.method == "POST":
        made = documents.add(new_item_id(request.headers.get("Idempotency-Key")), body)
        return _response(201, made.as_json())
    if document_id is None:
        return _list(documents, request.query)
    found = _uuid(document_id)
    if request.method == "DELETE":
        gone = found is not None and documents.delete(found)
        return _response(204, None) if gone else _unknown(document_id)
    document: Document | None = None
    if found is not None:
        document = (
            documents.update(found, body) if request.method == "PATCH" else documents.get(found)
        )
    return _response(200, document.as_json()) if document else _unknown(document_id)


def _list(documents: DocumentRepository, query: Any) -> Response:
    limit, after = query["limit"], query.get("after")
    place = _place(after, numbered="q" in query)
    if after is not None and place is None:
        rule = "is not a cursor of these documents; take it from the Link header"
        return _response(400, {"code": "invalid", "message": rule, "field": "after"})
    if "q" in query:
        skip = place if isinstance(place, int) else 0
        found = documents.search(query["q"], limit=limit + 1, skip=skip)
        following = str(skip + limit)
    else:
        past = place if isinstance(place, UUID) else None
        found = documents.list(limit=limit + 1, after=past)
        following = found[limit - 1].id if len(found) > limit else ""
    shown = [document.as_json() for document in found[:limit]]
    return _response(200, shown, following if len(found) > limit else None)


def _place(after: str | None, *, numbered: bool) -> UUID | int | None:
    """Where a page starts: past an id in lists, at a number in what was ranked."""
    if after is None or not numbered:
        return _uuid(after) if after is not None else None
    skip = int(after) if after.isascii() and after.isdigit() and len(after) < 8 else -1
    return skip if 0 <= skip <= SKIP_MAX else None


def _document_id(url: str) -> str | None:
    parts = urlsplit(url).path.split("/", 3)
    return unquote(parts[3]) if len(parts) > 3 else None


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _unknown(document_id: str) -> Response:
    message = f"There is no document {document_id}"
    return _response(404, {"code": "not_found", "message": message})


def _response(status: int, shown: Any, following: str | None = None) -> Response:
    headers = {"content-type": "application/json", "x-request-id": uuid4().hex}
    if following is not None:
        headers[NEXT_HEADER] = following
    return Response(status=status, headers=headers, body=b"" if shown is None else dump_json(shown))
