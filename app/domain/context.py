"""Where a record came from: the request that captured it."""

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from .records import IP_CHARS_MAX, TEXT_CHARS_MAX, AuditRecord, Record
from .secret_values import IDENTIFIER_RULES, masked

REQUEST_ID_FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=-]{0,127}")


@dataclass(slots=True, kw_only=True)
class RequestContext:
    """What the hooks know of a request; `http_status` only once it was answered.

    Args:
        duration_ms: since the request came, until its records were completed.
    """

    request_id: str
    method: str
    route: str
    ip_address: str | None
    user_agent: str | None
    user_id: str | None = None
    tenant_id: UUID | None = None
    http_status: int | None = None
    duration_ms: float | None = None

    def as_metadata(self) -> dict[str, Any]:
        """The part that is kept in a record's metadata, under the key `http`."""
        return {
            "request_id": self.request_id,
            "method": self.method,
            "route": self.route,
            "status": self.http_status,
            "ip_address": self.ip_address,
            "duration_ms": None if self.duration_ms is None else round(self.duration_ms, 1),
        }


def is_sane_request_id(value: str) -> bool:
    """Whether a caller's X-Request-ID may be taken over: 1 to 128 sane characters, no secret."""
    return REQUEST_ID_FORM.fullmatch(value) is not None and masked(value, IDENTIFIER_RULES) == value


def complete(record: Record, context: RequestContext) -> None:
    """Put the request into the record that it captured; what the caller gave is kept."""
    record.metadata = {"http": context.as_metadata(), **record.metadata}
    if isinstance(record, AuditRecord):
        agent = context.user_agent
        record.user_id = record.user_id or context.user_id
        record.ip_address = record.ip_address or (context.ip_address or "")[:IP_CHARS_MAX] or None
        record.user_agent = record.user_agent or (masked(agent[:TEXT_CHARS_MAX]) if agent else None)
