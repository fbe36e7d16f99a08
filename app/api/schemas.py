"""What the log endpoints take and give, as marshmallow schemas; OpenAPI is made of them."""

from typing import Any

import marshmallow as ma

from ..domain.filters import (
    CURSOR_CHARS_MAX,
    PAGE_ROWS_MAX,
    SEARCH_CHARS_MAX,
    SKIP_ROWS_MAX,
    TRAIL_ROWS_MAX,
)
from ..domain.grains import Grain
from ..domain.records import (
    IDENTIFIER_CHARS_MAX,
    INTEGER_MAX,
    IP_CHARS_MAX,
    NAME_CHARS_MAX,
    Kind,
)
from ..domain.summary import SLOWEST_ROWS_MAX
from ..domain.tickets import TICKET_CHARS
from ..errors import ProviderCode
from .fields import ActionType, Paths, Status, Timestamp, text, whole_number

SKIP_RULE = (
    f"Must be a whole number from 0 to {SKIP_ROWS_MAX}; to go further, follow the cursor"
    " (after) of the Link header."
)

BUCKETS = (Grain.MINUTE.value, Grain.HOUR.value, Grain.DAY.value)


def described(field: Any, description: str) -> Any:
    """The field with a description for OpenAPI."""
    field.metadata["description"] = description
    return field


class WindowQuery(ma.Schema):
    """A stretch of time."""

    since = Timestamp(metadata={"description": "Made at or after this time."})
    until = Timestamp(metadata={"description": "Made before this time."})

    @ma.validates_schema
    def check_order(self, data: dict[str, Any], **_: Any) -> None:
        """Refuse a window that ends before it starts."""
        if "since" in data and "until" in data and data["since"] > data["until"]:
            raise ma.ValidationError("Must not be after until.", "since")


class ArchiveQuery(ma.Schema):
    """Whether what is archived is asked for too."""

    include = ma.fields.String(
        validate=ma.validate.OneOf(("archived",), error="Must be: archived."),
        metadata={"description": "archived: records that have left the hot window too."},
    )


class StatisticsQuery(WindowQuery, ArchiveQuery):
    """A window. Statistics are of archived records too, whether or not `include` says so."""


class PageQuery(ma.Schema):
    """A page: by offset, or past a cursor."""

    limit = whole_number(1, PAGE_ROWS_MAX, load_default=100)
    skip = whole_number(0, SKIP_ROWS_MAX, load_default=0, error=SKIP_RULE)
    after = described(text(1, CURSOR_CHARS_MAX), "Cursor from the Link header.")

    @ma.validates_schema
    def check_one_way(self, data: dict[str, Any], **_: Any) -> None:
        """Refuse an offset on top of a cursor."""
        if data.get("skip") and "after" in data:
            raise ma.ValidationError("Must not be combined with after.", "skip")


class LogQuery(WindowQuery, PageQuery, ArchiveQuery):
    """What the lists of both logs take: a window, a page, an order, and what records say."""

    order = ma.fields.String(
        load_default="created",
        validate=ma.validate.OneOf(("created", "commit"), error="Must be one of: created, commit."),
        metadata={"description": "created: newest first. commit: a tail, in commit order."},
    )
    q = described(text(1, SEARCH_CHARS_MAX), "A text that the record holds, in any case.")
    metadata_paths = Paths("metadata", "metadata")

    @ma.validates_schema
    def check_archive(self, data: dict[str, Any], **_: Any) -> None:
        """Refuse the archive where it cannot be read: in commit order, and by content."""
        if "include" not in data:
            return
        if data.get("order") == "commit":
            rule = "Must not be combined with order=commit, which the archive does not have."
            raise ma.ValidationError(rule, "include")
        if "q" in data or any(name.endswith("_paths") for name in data):
            raise ma.ValidationError("Must not be combined with a search by content.", "include")

    @ma.validates_schema
    def check_skip(self, data: dict[str, Any], **_: Any) -> None:
        """Refuse an offset where only a cursor can go on."""
        if not data.get("skip"):
            return
        if data.get("order") == "commit":
            raise ma.ValidationError("Must not be combined with order=commit; use after.", "skip")
        if "q" in data or any(name.endswith("_paths") for name in data):
            raise ma.ValidationError("Must not be combined with a search; use after.", "skip")


class ActionQuery(LogQuery):
    """Filters of the action list."""

    action_type = ma.fields.List(ActionType(), metadata={"description": "Repeatable."})
    status = ma.fields.List(Status(), metadata={"description": "Repeatable; in any case."})
    provider_name = ma.fields.List(text(1, NAME_CHARS_MAX), metadata={"description": "Repeatable."})
    min_execution_time_ms = whole_number(0, INTEGER_MAX)
    operation_id = text(1, IDENTIFIER_CHARS_MAX)
    payload_paths = Paths("payload", "request_payload")
    response_paths = Paths("response", "response_data")


class RecentFailuresQuery(ma.Schema):
    """How far back, and how many."""

    minutes = whole_number(1, 1440, load_default=60)
    limit = whole_number(1, 100, load_default=50)


class AuditQuery(LogQuery):
    """Filters of the audit list."""

    action = text(1, NAME_CHARS_MAX)
    resource_type = text(1, NAME_CHARS_MAX)
    resource_id = text(1, IDENTIFIER_CHARS_MAX)
    user_id = text(1, IDENTIFIER_CHARS_MAX)
    ip_address = text(1, IP_CHARS_MAX)
    operation_id = text(1, IDENTIFIER_CHARS_MAX)
    changes_paths = Paths("changes", "changes")


class StreamQuery(ActionQuery, AuditQuery):
    """Which log a stream follows, and its filters: those of that log's list."""

    class Meta:
        """A stream has no pages."""

        exclude = ("limit", "skip", "order", "include")

    log = ma.fields.String(
        load_default="actions",
        validate=ma.validate.OneOf(("actions", "audits"), error="Must be one of: actions, audits."),
        metadata={"description": "The log to follow."},
    )
    ticket = described(
        text(1, TICKET_CHARS), "From POST /stream/ticket, where no header can be sent."
    )

    @ma.validates_schema
    def check_filters(self, data: dict[str, Any], **_: Any) -> None:
        """Refuse a filter that the log does not have."""
        of_log = (ActionQuery if data.get("log") == "actions" else AuditQuery)().fields
        for name in data.keys() - of_log.keys() - {"log", "ticket"}:
            shown = self.fields[name].data_key or name
            raise ma.ValidationError("Is no filter of this log.", shown)


class OperationQuery(ArchiveQuery):
    """A page of an operation's records."""

    limit = whole_number(1, PAGE_ROWS_MAX, load_default=100)
    after = described(text(1, CURSOR_CHARS_MAX), "Cursor from the Link header.")


class TrailQuery(PageQuery, ArchiveQuery):
    """A page of a resource's trail."""

    limit = whole_number(1, TRAIL_ROWS_MAX, load_default=100)


class ActionLogSummarySchema(ma.Schema):
    """An action log as lists show it."""

    id = ma.fields.UUID(required=True)
    tenant_id = ma.fields.UUID(required=True)
    action_type = ma.fields.String(required=True)
    provider_name = ma.fields.String(required=True)
    status = ma.fields.String(required=True)
    error_message = ma.fields.String(required=True, allow_none=True)
    execution_time_ms = ma.fields.Integer(required=True)
    created_at = Timestamp(required=True)


class ActionLogSchema(ActionLogSummarySchema):
    """An action log with its payloads."""

    request_payload = ma.fields.Raw(required=True)
    response_data = ma.fields.Raw(required=True, allow_none=True)
    operation_id = ma.fields.String(required=True, allow_none=True)
    metadata = ma.fields.Dict(required=True)
    updated_at = Timestamp(required=True)


class AuditLogSummarySchema(ma.Schema):
    """An audit log as lists show it."""

    id = ma.fields.UUID(required=True)
    tenant_id = ma.fields.UUID(required=True)
    action = ma.fields.String(required=True)
    resource_type = ma.fields.String(required=True)
    resource_id = ma.fields.String(required=True)
    user_id = ma.fields.String(required=True, allow_none=True)
    changes = ma.fields.Dict(required=True)
    ip_address = ma.fields.String(required=True, allow_none=True)
    created_at = Timestamp(required=True)


class AuditLogSchema(AuditLogSummarySchema):
    """An audit log in full."""

    user_agent = ma.fields.String(required=True, allow_none=True)
    operation_id = ma.fields.String(required=True, allow_none=True)
    metadata = ma.fields.Dict(required=True)
    updated_at = Timestamp(required=True)


class OperationRecordSchema(ma.Schema):
    """An action or an audit log of one operation: the fields of its kind, and the kind."""

    class Meta:
        """What is not named here belongs to the kind and passes as it is."""

        unknown = ma.INCLUDE

    kind = ma.fields.String(required=True, validate=ma.validate.OneOf([k.value for k in Kind]))
    id = ma.fields.UUID(required=True)
    tenant_id = ma.fields.UUID(required=True)
    created_at = ma.fields.String(required=True, metadata={"format": "date-time"})

    @ma.post_dump(pass_original=True)
    def keep_the_rest(self, data: dict[str, Any], original: dict[str, Any], **_: Any) -> Any:
        """Pass the fields of the record's kind."""
        return {**original, **data}


class PercentilesSchema(ma.Schema):
    """Percentiles of execution_time_ms, within 3 %; null where there are no records."""

    p50 = ma.fields.Float(required=True, allow_none=True)
    p95 = ma.fields.Float(required=True, allow_none=True)
    p99 = ma.fields.Float(required=True, allow_none=True)


class StatisticsSchema(ma.Schema):
    """What all of a tenant's action logs of a window add up to."""

    total_actions = ma.fields.Integer(required=True)
    successful_actions = ma.fields.Integer(required=True)
    failed_actions = ma.fields.Integer(
        required=True, metadata={"description": "Failures and timeouts."}
    )
    average_execution_time_ms = ma.fields.Float(required=True)
    actions_by_type = ma.fields.Dict(ma.fields.String(), ma.fields.Integer(), required=True)
    actions_by_provider = ma.fields.Dict(ma.fields.String(), ma.fields.Integer(), required=True)
    actions_by_status = ma.fields.Dict(ma.fields.String(), ma.fields.Integer(), required=True)
    percentiles_ms = ma.fields.Nested(PercentilesSchema, required=True)


class FailuresQuery(WindowQuery, PageQuery, ArchiveQuery):
    """A window and a page."""


class SlowestQuery(StatisticsQuery):
    """A window, and how many."""

    limit = whole_number(1, SLOWEST_ROWS_MAX, load_default=SLOWEST_ROWS_MAX)


class UserActivityQuery(StatisticsQuery):
    """A window, and how many."""

    limit = whole_number(1, PAGE_ROWS_MAX, load_default=100)


class SeriesQuery(StatisticsQuery):
    """A window, its buckets, and which actions count."""

    bucket = ma.fields.String(
        load_default=Grain.HOUR.value,
        validate=ma.validate.OneOf(BUCKETS, error=f"Must be one of: {', '.join(BUCKETS)}."),
    )
    action_type = ma.fields.List(ActionType(), metadata={"description": "Repeatable."})
    status = ma.fields.List(Status(), metadata={"description": "Repeatable; in any case."})
    provider_name = ma.fields.List(text(1, NAME_CHARS_MAX), metadata={"description": "Repeatable."})


class TypeCountSchema(ma.Schema):
    """How many actions there were of a type."""

    action_type = ma.fields.String(required=True)
    count = ma.fields.Integer(required=True)


class ProviderLatencySchema(ma.Schema):
    """How long the successes of a provider took."""

    provider_name = ma.fields.String(required=True)
    total_calls = ma.fields.Integer(required=True)
    average_execution_time_ms = ma.fields.Float(required=True)
    percentiles_ms = ma.fields.Nested(PercentilesSchema, required=True)


class SlowActionSchema(ma.Schema):
    """One of the slowest successes."""

    id = ma.fields.UUID(required=True)
    action_type = ma.fields.String(required=True)
    provider_name = ma.fields.String(required=True)
    execution_time_ms = ma.fields.Integer(required=True)
    created_at = Timestamp(required=True)


class UserActivitySchema(ma.Schema):
    """How often a user, or nobody, did an action to a type of resource."""

    user_id = ma.fields.String(required=True, allow_none=True)
    action = ma.fields.String(required=True)
    resource_type = ma.fields.String(required=True)
    action_count = ma.fields.Integer(required=True)


class SeriesPointSchema(ma.Schema):
    """What the actions of one bucket add up to."""

    start = Timestamp(required=True)
    count = ma.fields.Integer(required=True)
    errors = ma.fields.Integer(required=True, metadata={"description": "Failures and timeouts."})
    by_status = ma.fields.Dict(ma.fields.String(), ma.fields.Integer(), required=True)
    average_execution_time_ms = ma.fields.Float(required=True)
    percentiles_ms = ma.fields.Nested(PercentilesSchema, required=True)


class FieldErrorSchema(ma.Schema):
    """What is wrong with one field."""

    field = ma.fields.String(required=True)
    detail = ma.fields.String(required=True)


class ProblemSchema(ma.Schema):
    """Problem details, RFC 9457."""

    type = ma.fields.String(required=True)
    title = ma.fields.String(required=True)
    status = ma.fields.Integer(required=True)
    detail = ma.fields.String(required=True)
    request_id = ma.fields.String(required=True)
    errors = ma.fields.List(ma.fields.Nested(FieldErrorSchema))
    code = ma.fields.String(
        validate=ma.validate.OneOf([code.value for code in ProviderCode]),
        metadata={"description": "Of a provider's refusal: what it comes to."},
    )
    provider_code = ma.fields.String(
        metadata={"description": "Of a provider's refusal: its own name for it."}
    )
