"""What a list is asked for: filters, the page, and the cursor that binds the two."""

import base64
import binascii
import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from ..errors import FieldError, InvalidInput
from .identity import is_record_id

PAGE_ROWS_MAX = 1000  # the contract's largest page
TRAIL_ROWS_MAX = 500  # likewise, for a resource's trail
SKIP_ROWS_MAX = 10_000  # an offset reads all it skips; a cursor does not
OPERATION_ROWS_MAX = 1000  # retries of one operation; more is a runaway loop
CURSOR_CHARS_MAX = 256


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


@dataclass(frozen=True, slots=True)
class Page:
    """A stretch of a list, newest first: `limit` rows past `skip` rows or past the id `after`."""

    limit: int
    skip: int = 0
    after: UUID | None = None


def encode_cursor(last_id: UUID, filters: ActionFilter | AuditFilter, scope: str) -> str:
    """The opaque cursor that goes on after the row `last_id` of this very list.

    Args:
        last_id: the id of the last row shown.
        filters: what the list was asked for.
        scope: which list it is, and whose.
    """
    raw = last_id.bytes + _fingerprint(filters, scope)
    return base64.urlsafe_b64encode(raw).decode()


def decode_cursor(cursor: str, filters: ActionFilter | AuditFilter, scope: str) -> UUID:
    """The id after which the list goes on.

    Raises:
        InvalidInput: the cursor is damaged, or was made for another list.
    """
    try:
        raw = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise _bad_cursor("is not a cursor of this API; take it from the Link header") from error
    if len(raw) != 24 or not is_record_id(UUID(bytes=raw[:16])):
        raise _bad_cursor("is not a cursor of this API; take it from the Link header")
    if raw[16:] != _fingerprint(filters, scope):
        raise _bad_cursor("was made for other filters; follow the Link header unchanged")
    return UUID(bytes=raw[:16])


def _bad_cursor(rule: str) -> InvalidInput:
    return InvalidInput(FieldError("after", rule))


def _fingerprint(filters: ActionFilter | AuditFilter, scope: str) -> bytes:
    described = json.dumps([scope, type(filters).__name__, asdict(filters)], default=str)
    return hashlib.sha256(described.encode()).digest()[:8]
