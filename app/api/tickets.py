"""Tickets for streams: a browser cannot send a key with one, and a URL must not hold a key."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, TypeVar, cast

import flask
import marshmallow as ma

from ..auth import DOOR, KEY_DIGEST, Door, key_digest, requires
from ..capture import AuditService
from ..domain.access import Scope
from ..domain.tickets import (
    SECRET_BYTES,
    TICKET_S,
    hash_ticket,
    tenant_of,
    write_ticket,
)
from ..errors import Unauthenticated
from ..store.tickets import add_ticket, take_ticket
from .fields import Timestamp
from .parsing import Blueprint
from .service import current_service, current_tenant

SHOWN_CHARS = 16  # of a ticket's hash, on record

blueprint = Blueprint("tickets", __name__, description="Opening a stream in a browser.")

View = TypeVar("View", bound=Callable[..., Any])


class UselessTicket(Unauthenticated):
    """This ticket is unknown, used or expired; ask for a new one."""


class StreamTicketSchema(ma.Schema):
    """A ticket."""

    ticket = ma.fields.String(required=True)
    expires_at = Timestamp(required=True)


@blueprint.route("/stream/ticket", methods=["POST"])
@requires(Scope.LOGS_READ, leaves="one audit log: who gets a ticket")
@blueprint.no_query()
@blueprint.response(201, StreamTicketSchema)
def issue_ticket() -> dict[str, Any]:
    """Get a ticket: /logs/stream takes it once, within a minute, as `ticket` in place of the key.

    What it opens is what the key that asked may see, and ends when the key does.
    """
    tenant_id = current_tenant()
    ticket = write_ticket(tenant_id, secrets.token_bytes(SECRET_BYTES))
    expires_at = datetime.now(UTC) + timedelta(seconds=TICKET_S)
    digest = hash_ticket(ticket)
    with current_service().database.tenant(tenant_id) as session:
        add_ticket(session, tenant_id, digest, key_digest(), expires_at)
    AuditService().log_change(
        action="issue", resource_type="stream_ticket", resource_id=digest.hex()[:SHOWN_CHARS]
    )
    return {"ticket": ticket, "expires_at": expires_at}


def admits_ticket(view: View) -> View:
    """Let a view that requires a key be called with a ticket, which is used up by that."""

    @wraps(view)
    def admitted(*args: Any, **kwargs: Any) -> Any:
        ticket = flask.request.args.get("ticket")
        if ticket is not None:
            flask.request.environ[KEY_DIGEST] = _redeem(ticket)
        return view(*args, **kwargs)

    return cast("View", admitted)


def _redeem(ticket: str) -> bytes:
    """The digest of the key that a ticket stands for.

    Raises:
        UselessTicket: it stands for none, or no more.
    """
    tenant_id = tenant_of(ticket)
    found = None
    if tenant_id is not None:
        with current_service().database.tenant(tenant_id) as session:
            found = take_ticket(session, tenant_id, hash_ticket(ticket))
    if found is None:
        door: Door = flask.current_app.extensions[DOOR]
        door.refused("unknown", None, door.address(), "")
        raise UselessTicket
    return found
