"""The storage endpoint: how full it is, for keys of the operator tenant alone."""

from typing import Any

import marshmallow as ma

from ..auth import requires
from ..domain.access import Scope
from ..pipeline.capacity import StorageReport
from .fields import Timestamp
from .parsing import Blueprint
from .schemas import described
from .service import current_service

LOOKING = "shows counts and sizes, and no record"

blueprint = Blueprint("storage", __name__, description="How full storage is, for the operator.")


class UsageSchema(ma.Schema):
    """What a tenant's log of one month takes."""

    tenant_id = ma.fields.UUID(required=True)
    kind = ma.fields.String(required=True)
    month = described(ma.fields.String(required=True), "As 2026-08, in UTC.")
    hot_rows = ma.fields.Integer(required=True)
    heap_bytes = described(
        ma.fields.Integer(required=True), "Its share, by rows, of partitions that tenants share."
    )
    index_bytes = ma.fields.Integer(required=True)
    cold_rows = ma.fields.Integer(required=True)
    cold_bytes = ma.fields.Integer(required=True)
    restored_rows = described(
        ma.fields.Integer(required=True), "Of the cold ones, those that are in Postgres too."
    )


class HotSchema(ma.Schema):
    """What a log takes in Postgres."""

    kind = ma.fields.String(required=True)
    rows = ma.fields.Integer(required=True)
    heap_bytes = ma.fields.Integer(required=True)
    index_bytes = ma.fields.Integer(required=True)
    rows_per_day = described(ma.fields.Float(required=True), "On average of the last week.")


class DiskSchema(ma.Schema):
    """A disk, and when it is full."""

    name = ma.fields.String(required=True)
    bytes_used = ma.fields.Integer(required=True)
    bytes_total = ma.fields.Integer(required=True, allow_none=True)
    bytes_per_day = ma.fields.Integer(required=True)
    days_until_full = described(
        ma.fields.Integer(required=True, allow_none=True),
        "null if it is not known, or does not come.",
    )


class ArchiveStateSchema(ma.Schema):
    """What the last run of the archive came to."""

    outcome = ma.fields.String(required=True)
    reason = ma.fields.String(required=True, allow_none=True)
    detail = ma.fields.String(required=True, allow_none=True)
    waiting = ma.fields.Dict(required=True)
    ran_at = Timestamp(required=True)
    failing_s = ma.fields.Float(required=True, allow_none=True)


class StorageSchema(ma.Schema):
    """How storage stands."""

    usages = ma.fields.List(ma.fields.Nested(UsageSchema), required=True)
    hot = ma.fields.List(ma.fields.Nested(HotSchema), required=True)
    disks = ma.fields.List(ma.fields.Nested(DiskSchema), required=True)
    warnings = ma.fields.List(ma.fields.String(), required=True)
    archive = ma.fields.Nested(ArchiveStateSchema, required=True, allow_none=True)


@blueprint.route("/admin/storage")
@requires(Scope.ADMIN, leaves_nothing=LOOKING)
@blueprint.no_query()
@blueprint.response(200, StorageSchema)
def get_storage() -> dict[str, Any]:
    """Get what the logs take, by tenant and month, how fast that grows, and when a disk is full."""
    service = current_service()
    return _shown(service.administration.storage(service.settings))


def _shown(report: StorageReport) -> dict[str, Any]:
    return {
        "usages": [
            {**_fields(usage), "kind": usage.kind.value, "month": f"{usage.month:%Y-%m}"}
            for usage in report.usages
        ],
        "hot": [
            {
                **_fields(hot),
                "kind": kind.value,
                "rows_per_day": round(report.rows_per_day.get(kind, 0.0), 2),
            }
            for kind, hot in report.hot.items()
        ],
        "disks": report.disks,
        "warnings": report.warnings,
        "archive": report.archive,
    }


def _fields(item: Any) -> dict[str, Any]:
    return {name: getattr(item, name) for name in item.__slots__}
