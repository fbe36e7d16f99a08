"""What a list is asked for: filters, the page, and the cursor that binds the two."""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from ..errors import FieldError, InvalidInput
from .identity import is_record_id
from .paths import PathFilter

PAGE_ROWS_MAX = 1000  # the contract's largest page
TRAIL_ROWS_MAX = 500  # likewise, for a resource's trail
SKIP_ROWS_MAX = 10_000  # an offset reads all it skips; a cursor does not
CURSOR_CHARS_MAX = 256
FINGERPRINT_BYTES = 8
SEARCH_CHARS_MAX = 200  # of q: a sentence of an error, an address, an id


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionFilter:
    """Which action logs: values of one field are alternatives, fields must all match."""

    action_type: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    provider_name: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    min_execution_time_ms: int | None = None
    operation_id: str | None = None
    q: str | None = None
    paths: tuple[PathFilter, ...] = ()

    @property
    def by_content(self) -> bool:
        """Whether records have to be looked into, which no index does."""
        return self.q is not None or bool(self.paths)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which audit logs: all given fields must match."""

    action: str | None = None
    resource_type: str | None = None
    resource_id: str | None = None
    user_id: str | None = None
    ip_address: str | None = None
    operation_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    q: str | None = None
    paths: tuple[PathFilter, ...] = ()

    @property
    def by_content(self) -> bool:
        """Whether records have to be looked into, which no index does."""
        return self.q is not None or bool(self.paths)


Filters = ActionFilter | AuditFilter
Place = TypeVar("Place")


@dataclass(frozen=True, slots=True)
class Page:
    """A stretch of a list, newest first: `limit` rows past `skip` rows or past the id `after`."""

    limit: int
    skip: int = 0
    after: UUID | None = None


def encode_cursor(last_id: UUID, filters: Filters, scope: str) -> str:
    """The opaque cursor that goes on after the row `last_id` of this very list.

    Args:
        last_id: the id of the last row shown.
        filters: what the list was asked for.
        scope: which list it is, and whose.
    """
    return seal_cursor(last_id.bytes, filters, scope)


def decode_cursor(cursor: str, filters: Filters, scope: str) -> UUID:
    """The id after which the list goes on.

    Raises:
        InvalidInput: the cursor is damaged, or was made for another list.
    """
    return open_cursor(cursor, filters, scope, _read_id)


def seal_cursor(place: bytes, filters: Filters | None, scope: str) -> str:
    """A cursor that holds a place and opens only for these filters and this scope."""
    return base64.urlsafe_b64encode(place + _fingerprint(filters, scope)).decode()


def open_cursor(
    cursor: str, filters: Filters | None, scope: str, read: Callable[[bytes], Place | None]
) -> Place:
    """The place in a cursor.

    Args:
        read: makes a place of its bytes; None if they are none.

    Raises:
        InvalidInput: the cursor is damaged, or was made for another list.
    """
    try:
        raw = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise _bad_cursor("is not a cursor of this API; take it from the Link header") from error
    place = read(raw[:-FINGERPRINT_BYTES])
    if place is None:
        raise _bad_cursor("is not a cursor of this API; take it from the Link header")
    if raw[-FINGERPRINT_BYTES:] != _fingerprint(filters, scope):
        raise _bad_cursor("was made for other filters; follow the Link header unchanged")
    return place


def _read_id(place: bytes) -> UUID | None:
    return UUID(bytes=place) if len(place) == 16 and is_record_id(UUID(bytes=place)) else None


def _bad_cursor(rule: str) -> InvalidInput:
    return InvalidInput(FieldError("after", rule))


def _fingerprint(filters: Filters | None, scope: str) -> bytes:
    """Only what is set counts: a tail's cursor lives long, and filters to come must not end it."""
    given = asdict(filters) if filters else {}
    unset = {item.name: item.default for item in fields(filters)} if filters else {}
    chosen = {name: value for name, value in given.items() if value != unset[name]}
    described = json.dumps([scope, type(filters).__name__, chosen], default=str)
    return hashlib.sha256(described.encode()).digest()[:FINGERPRINT_BYTES]
