"""Viewer links: a platform shows its customers their own part of the log, in a page of its own."""

from datetime import UTC, datetime, timedelta
from typing import Any

import flask
import marshmallow as ma

from ..auth import key_digest, requires
from ..capture import AuditService
from ..domain.access import Scope
from ..domain.records import IDENTIFIER_CHARS_MAX, NAME_CHARS_MAX
from ..viewing import EXTENSION, MINUTES_MAX, PATH, Viewer
from .fields import Timestamp, text, whole_number
from .parsing import Blueprint
from .schemas import described

MINUTES_DEFAULT = 60

blueprint = Blueprint("viewers", __name__, description="Links that show a part of the log.")


class NewViewerSchema(ma.Schema):
    """What a link is to show: the audit logs that have all of this."""

    resource_type = text(1, NAME_CHARS_MAX)
    resource_id = text(1, IDENTIFIER_CHARS_MAX)
    user_id = text(1, IDENTIFIER_CHARS_MAX)
    action = text(1, NAME_CHARS_MAX)
    minutes = described(
        whole_number(1, MINUTES_MAX, load_default=MINUTES_DEFAULT, strict=True),
        "How long the link works.",
    )

    @ma.validates_schema
    def check_narrow(self, data: dict[str, Any], **_: Any) -> None:
        """Refuse a link to all that a tenant has."""
        if "resource_id" in data and "resource_type" not in data:
            raise ma.ValidationError("Is needed with resource_id.", "resource_type")
        if "user_id" not in data and "resource_id" not in data:
            raise ma.ValidationError("Must name a user_id, or a resource_type and resource_id.")


class ViewerSchema(ma.Schema):
    """A link."""

    url = described(ma.fields.String(required=True), "For an iframe, or a page of its own.")
    expires_at = Timestamp(required=True)


@blueprint.route("/viewer-links", methods=["POST"])
@requires(Scope.LOGS_READ, leaves="one audit log: who shows what")
@blueprint.no_query()
@blueprint.arguments(NewViewerSchema)
@blueprint.response(201, ViewerSchema)
def make_link(wanted: dict[str, Any]) -> dict[str, Any]:
    """Make a link that shows some audit logs, and no others, without a key.

    It shows what this key may see, and ends when the key does. Which pages may frame it, the
    platform says by OPSLEDGER_VIEWER_ANCESTORS.
    """
    length = timedelta(minutes=wanted.pop("minutes"))
    expires_at = (datetime.now(UTC) + length).replace(microsecond=0)
    filters = tuple(sorted(wanted.items()))
    token = flask.current_app.extensions[EXTENSION].seal(Viewer(key_digest(), filters, expires_at))
    AuditService().log_create(
        resource_type="viewer_link",
        resource_id=wanted.get("resource_id") or wanted["user_id"],
        data={**wanted, "expires_at": expires_at.isoformat()},
    )
    root = flask.request.root_url.rstrip("/")
    return {"url": f"{root}{PATH}/{token}", "expires_at": expires_at}
