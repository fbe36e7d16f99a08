"""The admin endpoints of legal holds, for keys of the operator tenant alone."""

from typing import Any

import flask
import marshmallow as ma

from ..auth import requires
from ..domain.access import Scope
from ..domain.filters import CURSOR_CHARS_MAX, PAGE_ROWS_MAX
from ..domain.holds import REASON_CHARS_MAX, Hold, HoldScope
from ..domain.records import IDENTIFIER_CHARS_MAX, NAME_CHARS_MAX
from .admin import LOOKING, Listed, page_of, place_in
from .declared import path_uuid_parameter
from .fields import Timestamp, Uuid, text, whole_number
from .identifiers import path_uuid
from .parsing import Blueprint
from .schemas import described
from .service import current_service

IN_FORCE, ALL = "in_force", "all"
OF_HOLD = [path_uuid_parameter("hold_id")]

blueprint = Blueprint("admin_holds", __name__, description="Legal holds, for the operator.")


class HoldListQuery(ma.Schema):
    """A page of holds."""

    tenant_id = Uuid()
    state = described(
        ma.fields.String(load_default=IN_FORCE, validate=ma.validate.OneOf([IN_FORCE, ALL])),
        "all: those that were released, too.",
    )
    limit = whole_number(1, PAGE_ROWS_MAX, load_default=100)
    after = described(text(1, CURSOR_CHARS_MAX), "Cursor from the Link header.")


class NewHoldSchema(ma.Schema):
    """A hold to be placed: of a resource, of a user, or of all the tenant has."""

    tenant_id = Uuid(required=True)
    reason = described(
        text(1, REASON_CHARS_MAX, required=True),
        "Why, as it is put on record: the case, the order.",
    )
    resource_type = text(1, NAME_CHARS_MAX)
    resource_id = text(1, IDENTIFIER_CHARS_MAX)
    user_id = described(
        text(1, IDENTIFIER_CHARS_MAX), "Keeps every record that has this id anywhere in it."
    )


class HoldSchema(ma.Schema):
    """A legal hold."""

    id = ma.fields.UUID(required=True)
    tenant_id = ma.fields.UUID(required=True)
    scope = ma.fields.String(
        required=True,
        attribute="target.scope",
        validate=ma.validate.OneOf([scope.value for scope in HoldScope]),
    )
    resource_type = ma.fields.String(
        required=True, allow_none=True, attribute="target.resource_type"
    )
    resource_id = ma.fields.String(required=True, allow_none=True, attribute="target.resource_id")
    user_id = ma.fields.String(required=True, allow_none=True, attribute="target.user_id")
    reason = ma.fields.String(required=True)
    placed_by = ma.fields.String(required=True)
    placed_at = Timestamp(required=True)
    released_by = ma.fields.String(required=True, allow_none=True)
    released_at = described(
        Timestamp(required=True, allow_none=True), "Null as long as it is in force."
    )


@blueprint.route("/admin/legal-holds")
@requires(Scope.ADMIN, leaves_nothing=LOOKING)
@blueprint.arguments(HoldListQuery, location="query")
@blueprint.response(200, HoldSchema(many=True))
def list_holds(query: dict[str, Any]) -> Listed[Hold]:
    """List legal holds in the order they were placed. The Link header leads on."""
    tenant_id = str(query["tenant_id"]) if "tenant_id" in query else None
    scope = f"holds {tenant_id} {query['state']}"
    found = current_service().custody.holds(
        tenant_id,
        released=query["state"] == ALL,
        after=place_in(query, scope),
        limit=query["limit"] + 1,
    )
    return page_of(found, query["limit"], scope)


@blueprint.route("/admin/legal-holds", methods=["POST"])
@requires(Scope.ADMIN, leaves="place legal_hold")
@blueprint.no_query()
@blueprint.arguments(NewHoldSchema)
@blueprint.response(201, HoldSchema)
def place_hold(values: dict[str, Any]) -> tuple[Hold, int, dict[str, str]]:
    """Keep records from being purged and erased, from this answer on."""
    tenant_id, reason = str(values.pop("tenant_id")), values.pop("reason")
    hold = current_service().custody.place_hold(tenant_id, reason, **values)
    return hold, 201, {"Location": flask.url_for("admin_holds.get_hold", hold_id=str(hold.id))}


@blueprint.route("/admin/legal-holds/<hold_id>", parameters=OF_HOLD)
@requires(Scope.ADMIN, leaves_nothing=LOOKING)
@blueprint.no_query()
@blueprint.response(200, HoldSchema)
def get_hold(hold_id: str) -> Hold:
    """Get a legal hold, in force or not."""
    return current_service().custody.hold(str(path_uuid("hold_id", hold_id)))


@blueprint.route("/admin/legal-holds/<hold_id>/release", methods=["POST"], parameters=OF_HOLD)
@requires(Scope.ADMIN, leaves="release legal_hold")
@blueprint.no_query()
@blueprint.response(200, HoldSchema)
def release_hold(hold_id: str) -> Hold:
    """End a legal hold: what it alone kept goes with the next purge."""
    return current_service().custody.release_hold(str(path_uuid("hold_id", hold_id)))
