"""Pages of a list: arguments in, a Link header out."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, urlencode
from uuid import UUID

import flask
from werkzeug.urls import iri_to_uri

from ..domain.filters import Filters, Page, decode_cursor, encode_cursor


class HasId(Protocol):
    """A row that a cursor can name."""

    @property
    def id(self) -> UUID:
        """The record's id."""
        ...


Row = TypeVar("Row", bound=HasId)


class Paging:
    """One request's page of one list.

    Args:
        query: the parsed parameters, with limit, skip and after.
        filters: what the list was asked for; a cursor is bound to it.
        scope: names the list and the tenant.
    """

    def __init__(self, query: dict[str, Any], filters: Filters, scope: str) -> None:
        self._limit: int = query["limit"]
        self._filters = filters
        self._scope = scope
        after = query.get("after")
        cursor = None if after is None else decode_cursor(after, filters, scope)
        # One row more than shown says whether there is a next page.
        self.page = Page(limit=self._limit + 1, skip=query.get("skip", 0), after=cursor)

    def respond(
        self, rows: Sequence[Row], reached: UUID | None = None
    ) -> tuple[Sequence[Row], dict[str, str]]:
        """The rows to show, and the Link header if there are more, or may be.

        Args:
            reached: the last row looked at, if what is behind it was not.
        """
        shown, last = rows, reached
        if len(rows) > self._limit:
            shown = rows[: self._limit]
            last = shown[-1].id
        if last is None:
            return shown, {}
        return shown, {"Link": next_link(encode_cursor(last, self._filters, self._scope))}


def next_link(cursor: str) -> str:
    """A Link header (RFC 8288) to this very list, going on at the cursor."""
    request = flask.request
    kept = [(k, v) for k, v in request.args.items(multi=True) if k not in ("after", "skip")]
    # request.base_url is for display: it is decoded in part, so it may lead elsewhere.
    url = iri_to_uri(request.root_url.rstrip("/")) + quote(request.path)
    return f'<{url}?{urlencode([*kept, ("after", cursor)])}>; rel="next"'
