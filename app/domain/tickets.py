"""Tickets: what a browser shows once, and soon, in place of a key to open a stream.

A ticket names its tenant, in whose scope alone it is looked for; only its hash is kept.
"""

import base64
import binascii
import hashlib
from uuid import UUID

TICKET_S = 60  # how long one may wait to be used
SECRET_BYTES = 32
MARK = "st_"
TENANT_BYTES = 16
TICKET_CHARS = len(MARK) + (TENANT_BYTES + SECRET_BYTES) * 4 // 3  # base64, without padding


def write_ticket(tenant_id: UUID, secret: bytes) -> str:
    """The ticket of a tenant with a secret of SECRET_BYTES random bytes."""
    return MARK + base64.urlsafe_b64encode(tenant_id.bytes + secret).decode()


def tenant_of(ticket: str) -> UUID | None:
    """Whose ticket it says to be; None if it is none."""
    if len(ticket) != TICKET_CHARS or not ticket.startswith(MARK):
        return None
    try:
        raw = base64.b64decode(ticket[len(MARK) :], altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return UUID(bytes=raw[:TENANT_BYTES])


def hash_ticket(ticket: str) -> bytes:
    """What is kept of a ticket."""
    return hashlib.sha256(ticket.encode()).digest()
