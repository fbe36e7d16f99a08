"""What the forwarding endpoints take and give."""

import marshmallow as ma

from ..domain.forwarding import ALL_FIELDS, LETTERS_RETRIED_MAX, DestinationState, Format
from ..domain.records import IDENTIFIER_CHARS_MAX, INTEGER_MAX, IP_CHARS_MAX, NAME_CHARS_MAX, Kind
from ..sinks import SINKS
from .alert_schemas import choice
from .fields import ActionType, Flag, Status, Timestamp, text, whole_number
from .schemas import WindowQuery, described

VALUES_MAX = 100


class ActionFilters(ma.Schema):
    """The filters of the action list, but for time and content."""

    action_type = ma.fields.List(ActionType(), validate=ma.validate.Length(1, VALUES_MAX))
    status = ma.fields.List(Status(), validate=ma.validate.Length(1, VALUES_MAX))
    provider_name = ma.fields.List(
        text(1, NAME_CHARS_MAX), validate=ma.validate.Length(1, VALUES_MAX)
    )
    min_execution_time_ms = whole_number(0, INTEGER_MAX)
    operation_id = text(1, IDENTIFIER_CHARS_MAX)


class AuditFilters(ma.Schema):
    """The filters of the audit list, but for time and content."""

    action = text(1, NAME_CHARS_MAX)
    resource_type = text(1, NAME_CHARS_MAX)
    resource_id = text(1, IDENTIFIER_CHARS_MAX)
    user_id = text(1, IDENTIFIER_CHARS_MAX)
    ip_address = text(1, IP_CHARS_MAX)
    operation_id = text(1, IDENTIFIER_CHARS_MAX)


class FiltersOfKinds(ma.Schema):
    """Filters of each log."""

    action = ma.fields.Nested(ActionFilters)
    audit = ma.fields.Nested(AuditFilters)


class DestinationChanges(ma.Schema):
    """The parts of a destination that can be changed."""

    name = text(1, NAME_CHARS_MAX)
    settings = described(
        ma.fields.Dict(keys=ma.fields.String()),
        "What the sink asks for, its secrets among it, which are encrypted and never shown; a"
        " secret that is left out stays as it is.",
    )
    kinds = described(
        ma.fields.List(choice(Kind), validate=ma.validate.Length(1, len(Kind))), "Which logs."
    )
    filters = ma.fields.Nested(FiltersOfKinds)
    chosen = described(  # a schema has `fields` of its own
        ma.fields.List(
            choice(ALL_FIELDS),
            data_key="fields",
            attribute="fields",
            validate=ma.validate.Length(0, len(ALL_FIELDS)),
        ),
        "What of a record is sent, beside id, tenant_id, kind and created_at; empty for all.",
    )
    format = choice(Format)


class NewDestination(DestinationChanges):
    """A destination to be made."""

    name = text(1, NAME_CHARS_MAX, required=True)
    sink = choice(SINKS, required=True)
    settings = ma.fields.Dict(
        keys=ma.fields.String(),
        required=True,
        metadata={"description": "What the sink asks for; its secrets are never shown again."},
    )
    all_tenants = described(
        Flag(load_default=False), "Records of every tenant; for keys of the operator tenant."
    )


class DestinationSchema(ma.Schema):
    """A destination, and how it stands."""

    id = ma.fields.UUID(required=True)
    name = ma.fields.String(required=True)
    sink = choice(SINKS, required=True)
    settings = ma.fields.Dict(required=True)
    kinds = ma.fields.List(ma.fields.String(), required=True)
    filters = ma.fields.Dict(required=True)
    chosen = ma.fields.List(
        ma.fields.String(), data_key="fields", attribute="fields", required=True
    )
    format = choice(Format, required=True)
    all_tenants = ma.fields.Boolean(required=True)
    state = choice(DestinationState, required=True)
    created_at = Timestamp(required=True)
    waiting_records = described(
        ma.fields.Integer(required=True),
        "Committed and not sent yet, counted up to 2,000 batches of each log.",
    )
    lag_s = described(
        ma.fields.Float(required=True), "How long the oldest of them has waited, in seconds."
    )
    dead_letters = ma.fields.Integer(required=True)
    sent = ma.fields.Integer(required=True)
    retried = ma.fields.Integer(required=True)
    failures = described(ma.fields.Integer(required=True), "In a row; 0 while all is well.")
    next_try_at = Timestamp(required=True, allow_none=True)
    last_success_at = Timestamp(required=True, allow_none=True)
    last_error = ma.fields.String(required=True, allow_none=True)
    last_error_at = Timestamp(required=True, allow_none=True)
    unsure_at = described(
        Timestamp(required=True, allow_none=True),
        "When it was last unknown what had arrived (no answer, a worker killed): a batch of then"
        " may have come twice, and few are sent at a time for the next minute.",
    )
    tested_at = Timestamp(required=True, allow_none=True)
    test_taken = ma.fields.Boolean(required=True, allow_none=True)
    test_answer = ma.fields.String(required=True, allow_none=True)


class MadeDestination(DestinationSchema):
    """A destination that was just made."""

    secret = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "Of a webhook's signatures, if it was made here; shown this once."
        },
    )


class ReplayWindow(WindowQuery):
    """A window of time, by created_at."""

    since = Timestamp(required=True)


class ReplaySchema(ma.Schema):
    """A replay that was asked for."""

    id = ma.fields.UUID(required=True)
    since = Timestamp(required=True)
    until = Timestamp(required=True)


class LettersQuery(ma.Schema):
    """Which dead letters."""

    limit = whole_number(1, 1000, load_default=100)
    after = ma.fields.UUID(metadata={"description": "From the Link header."})


class LetterSchema(ma.Schema):
    """A record that the destination refused."""

    id = ma.fields.UUID(required=True)
    destination_id = ma.fields.UUID(required=True)
    source_id = described(ma.fields.UUID(required=True), "The tenant whose record it is.")
    kind = choice(Kind, required=True)
    record_id = ma.fields.UUID(required=True)
    reason = ma.fields.String(required=True)
    state = choice(("dead", "retry"), required=True)
    attempts = ma.fields.Integer(required=True)
    created_at = Timestamp(required=True)


class LettersChosen(ma.Schema):
    """Dead letters by id."""

    ids = ma.fields.List(
        ma.fields.UUID(),
        load_default=list,
        validate=ma.validate.Length(max=LETTERS_RETRIED_MAX),
        metadata={"description": "Empty for all of the destination."},
    )


class CountSchema(ma.Schema):
    """How many."""

    count = ma.fields.Integer(required=True)
