"""Views: lists with their filters, kept by a name for a key, or shared with its tenant."""

from datetime import UTC, datetime
from typing import Any

import marshmallow as ma
from uuid_utils.compat import uuid7

from ..auth import current_principal, requires
from ..capture import AuditService
from ..domain.access import Principal, Scope
from ..domain.views import QUERY_CHARS_MAX, VIEW_NAME_CHARS_MAX, VIEWS_MAX, View
from ..errors import Conflict, NotFound, Unauthenticated
from ..store.views import add_view, list_views, remove_view
from .declared import path_uuid_parameter
from .fields import Flag, Timestamp, text
from .identifiers import path_uuid
from .parsing import Blueprint
from .schemas import described
from .service import current_service

READING = "a view holds filters, and no record"
LOGS = ("actions", "audits")

blueprint = Blueprint("views", __name__, description="Lists with their filters, by a name.")


class NewViewSchema(ma.Schema):
    """A view to keep."""

    name = text(1, VIEW_NAME_CHARS_MAX, required=True)
    log = ma.fields.String(
        required=True,
        validate=ma.validate.OneOf(LOGS, error=f"Must be one of: {', '.join(LOGS)}."),
    )
    query = described(text(0, QUERY_CHARS_MAX, load_default=""), "Of the list's URL.")
    shared = described(Flag(load_default=False), "Whether all keys of the tenant see it.")


class ViewSchema(NewViewSchema):
    """A view."""

    id = ma.fields.UUID(required=True)
    made_by = ma.fields.String(required=True)
    own = ma.fields.Boolean(required=True)
    created_at = Timestamp(required=True)


@blueprint.route("/views")
@requires(Scope.LOGS_READ, leaves_nothing=READING)
@blueprint.no_query()
@blueprint.response(200, ViewSchema(many=True))
def list_all() -> list[dict[str, Any]]:
    """List this key's views and the shared ones, by name."""
    principal = _principal()
    with current_service().database.tenant(principal.tenant_id) as session:
        found = list_views(session, principal.tenant_id, principal.key_id)
    return [_shown(view, principal) for view in found]


@blueprint.route("/views", methods=["POST"])
@requires(Scope.LOGS_READ, leaves="one audit log")
@blueprint.no_query()
@blueprint.arguments(NewViewSchema)
@blueprint.response(201, ViewSchema)
@blueprint.alt_response(409, response="CONFLICT")
def save_view(values: dict[str, Any]) -> dict[str, Any]:
    """Keep a view. A key that replaces this one is another key: share what it is to see."""
    principal = _principal()
    made_by = f"key:{principal.prefix}"
    now = datetime.now(UTC)
    view = View(id=uuid7(), key_id=principal.key_id, made_by=made_by, created_at=now, **values)
    with current_service().database.tenant(principal.tenant_id) as session:
        seen = list_views(session, principal.tenant_id, principal.key_id)
        own = [one for one in seen if one.key_id == principal.key_id]
        if any(one.name == view.name and one.log == view.log for one in own):
            raise Conflict(f"You have a view {view.name!r} already")
        if len(own) >= VIEWS_MAX:
            raise Conflict(f"A key has at most {VIEWS_MAX} views")
        add_view(session, principal.tenant_id, view)
    AuditService().log_create(resource_type="view", resource_id=str(view.id), data=values)
    return _shown(view, principal)


@blueprint.route(
    "/views/<view_id>", methods=["DELETE"], parameters=[path_uuid_parameter("view_id")]
)
@requires(Scope.LOGS_READ, leaves="one audit log")
@blueprint.no_query()
@blueprint.response(204)
def delete_view(view_id: str) -> None:
    """Delete a view of this key."""
    principal, wanted = _principal(), path_uuid("view_id", view_id)
    with current_service().database.tenant(principal.tenant_id) as session:
        if not remove_view(session, principal.tenant_id, principal.key_id, wanted):
            raise NotFound
    AuditService().log_change(action="delete", resource_type="view", resource_id=str(wanted))


def _principal() -> Principal:
    principal = current_principal()
    if principal is None:
        raise Unauthenticated
    return principal


def _shown(view: View, principal: Principal) -> dict[str, Any]:
    shown = {name: getattr(view, name) for name in View.__slots__}
    return {**shown, "own": view.key_id == principal.key_id}
