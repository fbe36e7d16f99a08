"""The admin endpoints of erasure: asked for, previewed by a worker, confirmed, carried out."""

from typing import Any

import flask
import marshmallow as ma

from ..auth import requires
from ..domain.access import Scope
from ..domain.erasure import Erasure, ErasureState, SubjectKind
from ..domain.filters import CURSOR_CHARS_MAX, PAGE_ROWS_MAX
from ..domain.records import IDENTIFIER_CHARS_MAX
from .admin import LOOKING, Listed, page_of, place_in
from .declared import path_uuid_parameter
from .fields import Timestamp, Uuid, text, whole_number
from .identifiers import path_uuid
from .parsing import Blueprint
from .schemas import described
from .service import current_service

OF_ERASURE = [path_uuid_parameter("erasure_id")]
Answer = tuple[Erasure, int, dict[str, str]]

blueprint = Blueprint("admin_erasures", __name__, description="Erasure, for the operator.")


class ErasureListQuery(ma.Schema):
    """A page of erasures."""

    tenant_id = Uuid()
    limit = whole_number(1, PAGE_ROWS_MAX, load_default=100)
    after = described(text(1, CURSOR_CHARS_MAX), "Cursor from the Link header.")


class NewErasureSchema(ma.Schema):
    """Whom to erase: by one of the two."""

    tenant_id = Uuid(required=True)
    user_id = text(1, IDENTIFIER_CHARS_MAX)
    email = text(1, IDENTIFIER_CHARS_MAX)

    @ma.validates_schema
    def check_one(self, data: dict[str, Any], **_: Any) -> None:
        """Refuse none and both."""
        if ("user_id" in data) == ("email" in data):
            raise ma.ValidationError("Must have either user_id or email.", "user_id")


class ErasureReportSchema(ma.Schema):
    """How many records named the person, by where they are."""

    found = ma.fields.Dict(required=True)
    erased = ma.fields.Dict(required=True)
    held = described(ma.fields.Dict(required=True), "Of those found: kept by legal holds.")
    unsearched = described(
        ma.fields.List(ma.fields.String(), required=True), "What was not looked through, and why."
    )


class ErasureSchema(ma.Schema):
    """An erasure, and how it stands."""

    id = ma.fields.UUID(required=True)
    tenant_id = ma.fields.UUID(required=True)
    subject_kind = ma.fields.String(
        required=True, validate=ma.validate.OneOf([kind.value for kind in SubjectKind])
    )
    subject = described(
        ma.fields.String(required=True, allow_none=True, attribute="subject.value"),
        "Null once it is over.",
    )
    state = ma.fields.String(
        required=True, validate=ma.validate.OneOf([state.value for state in ErasureState])
    )
    requested_by = ma.fields.String(required=True)
    requested_at = Timestamp(required=True)
    confirmed_by = ma.fields.String(required=True, allow_none=True)
    confirmed_at = Timestamp(required=True, allow_none=True)
    finished_at = Timestamp(required=True, allow_none=True)
    report = ma.fields.Nested(ErasureReportSchema, required=True, allow_none=True)

    @ma.post_dump
    def name_nobody(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """An erasure that is over has no subject."""
        return {**data, "subject": data.get("subject")}


@blueprint.route("/admin/erasures")
@requires(Scope.ADMIN, leaves_nothing=LOOKING)
@blueprint.arguments(ErasureListQuery, location="query")
@blueprint.response(200, ErasureSchema(many=True))
def list_erasures(query: dict[str, Any]) -> Listed[Erasure]:
    """List erasures in the order they were asked for. The Link header leads on."""
    tenant_id = str(query["tenant_id"]) if "tenant_id" in query else None
    scope = f"erasures {tenant_id}"
    found = current_service().custody.erasures(
        tenant_id, after=place_in(query, scope), limit=query["limit"] + 1
    )
    return page_of(found, query["limit"], scope)


@blueprint.route("/admin/erasures", methods=["POST"])
@requires(Scope.ADMIN, leaves="request erasure")
@blueprint.no_query()
@blueprint.arguments(NewErasureSchema)
@blueprint.response(202, ErasureSchema)
def request_erasure(values: dict[str, Any]) -> Answer:
    """Ask for an erasure: a worker looks what it would find, and nothing is erased yet."""
    tenant_id = str(values.pop("tenant_id"))
    ((kind, value),) = values.items()
    return _accepted(current_service().custody.request_erasure(tenant_id, kind, value))


@blueprint.route("/admin/erasures/<erasure_id>", parameters=OF_ERASURE)
@requires(Scope.ADMIN, leaves_nothing=LOOKING)
@blueprint.no_query()
@blueprint.response(200, ErasureSchema)
def get_erasure(erasure_id: str) -> Erasure:
    """Get an erasure: what was found, and once it is done, what was erased."""
    return current_service().custody.erasure(str(path_uuid("erasure_id", erasure_id)))


@blueprint.route("/admin/erasures/<erasure_id>/confirm", methods=["POST"], parameters=OF_ERASURE)
@requires(Scope.ADMIN, leaves="confirm erasure, and erase person when it is done")
@blueprint.no_query()
@blueprint.response(202, ErasureSchema)
def confirm_erasure(erasure_id: str) -> Answer:
    """Have a worker erase what the preview found; it cannot be undone."""
    named = str(path_uuid("erasure_id", erasure_id))
    return _accepted(current_service().custody.confirm_erasure(named))


def _accepted(erasure: Erasure) -> Answer:
    location = flask.url_for("admin_erasures.get_erasure", erasure_id=str(erasure.id))
    return erasure, 202, {"Location": location}
