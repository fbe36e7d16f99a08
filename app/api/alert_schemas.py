"""What the alert endpoints take and give."""

from typing import Any

import marshmallow as ma

from ..channels import KINDS
from ..domain.alert_life import State
from ..domain.alert_rules import (
    FOR_S_MAX,
    RULE_NAME_CHARS_MAX,
    WINDOW_S_MAX,
    Comparison,
    Figure,
    Severity,
)
from ..domain.filters import PAGE_ROWS_MAX
from ..domain.records import INTEGER_MAX, NAME_CHARS_MAX, Kind
from .fields import Timestamp, text, whole_number
from .schemas import described

CHANNELS_MAX = 50
DAYS_MAX = 30


def choice(names: Any, **kwargs: Any) -> ma.fields.String:
    """One of some words."""
    words = [str(getattr(name, "value", name)) for name in names]
    rule = f"Must be one of: {', '.join(words)}."
    return ma.fields.String(validate=ma.validate.OneOf(words, error=rule), **kwargs)


class RuleChanges(ma.Schema):
    """The fields of a rule."""

    name = text(1, RULE_NAME_CHARS_MAX)
    kind = choice(Kind, metadata={"description": "Of which log."})
    figure = choice(Figure)
    comparison = choice(Comparison)
    threshold = ma.fields.Float(allow_nan=False)
    window_s = described(whole_number(60, WINDOW_S_MAX), "In seconds, whole minutes.")
    filters = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.List(text(1, NAME_CHARS_MAX)),
        metadata={"description": "Values by name, as the lists take them; alternatives."},
    )
    group_by = described(
        text(1, 63, allow_none=True), "An alert for each value of this name, rather than one."
    )
    min_count = described(
        whole_number(0, INTEGER_MAX), "Records that a window must have before it says anything."
    )
    for_s = described(whole_number(0, FOR_S_MAX), "How long it must hold, in seconds.")
    severity = choice(Severity)
    channels = ma.fields.List(
        ma.fields.UUID(),
        validate=ma.validate.Length(max=CHANNELS_MAX),
        metadata={"description": "Who is told; nobody named means every channel."},
    )
    enabled = ma.fields.Boolean(truthy={True}, falsy={False})
    renotify_s = described(
        whole_number(0, 7 * 86_400), "How often to tell again while it fires; 0: once."
    )
    muted_until = Timestamp(allow_none=True)


class NewRule(RuleChanges):
    """A rule to be made."""

    name = text(1, RULE_NAME_CHARS_MAX, required=True)
    kind = choice(Kind, required=True)
    figure = choice(Figure, required=True)
    threshold = ma.fields.Float(required=True, allow_nan=False)
    window_s = whole_number(60, WINDOW_S_MAX, required=True)


class RuleSchema(RuleChanges):
    """A rule."""

    id = ma.fields.UUID(required=True)


class RuleTrial(NewRule):
    """A rule to be held against the past."""

    days = whole_number(1, DAYS_MAX, load_default=7)


class FiringSchema(ma.Schema):
    """An alert that would have been raised."""

    group = ma.fields.String(required=True)
    fired_at = Timestamp(required=True)
    resolved_at = Timestamp(required=True, allow_none=True)
    worst = ma.fields.Float(required=True)


class TrialSchema(ma.Schema):
    """What a rule would have done."""

    days = ma.fields.Integer(required=True)
    fired = ma.fields.Integer(required=True)
    firings = ma.fields.List(ma.fields.Nested(FiringSchema), required=True)


class AlertsQuery(ma.Schema):
    """Which alerts."""

    state = ma.fields.List(choice(State), metadata={"description": "Repeatable."})
    limit = whole_number(1, PAGE_ROWS_MAX, load_default=100)
    after = ma.fields.UUID(metadata={"description": "From the Link header."})


class AlertSchema(ma.Schema):
    """An alert."""

    id = ma.fields.UUID(required=True)
    rule_id = ma.fields.UUID(required=True)
    rule_name = ma.fields.String(required=True)
    severity = choice(Severity, required=True)
    group = ma.fields.String(required=True)
    state = choice(State, required=True)
    value = ma.fields.Float(required=True)
    threshold = ma.fields.Float(required=True)
    window_s = ma.fields.Integer(required=True)
    pending_at = Timestamp(required=True)
    fired_at = Timestamp(required=True, allow_none=True)
    resolved_at = Timestamp(required=True, allow_none=True)
    acknowledged_at = Timestamp(required=True, allow_none=True)
    acknowledged_by = ma.fields.String(required=True, allow_none=True)
    silenced_until = Timestamp(required=True, allow_none=True)
    record_ids = ma.fields.List(ma.fields.UUID(), required=True)


class AlertEventSchema(ma.Schema):
    """What happened to an alert."""

    event = ma.fields.String(required=True)
    at = Timestamp(required=True)
    value = ma.fields.Float(required=True, allow_none=True)
    by = ma.fields.String(required=True, allow_none=True)
    record_ids = ma.fields.List(ma.fields.UUID(), required=True)


class AlertDetailSchema(AlertSchema):
    """An alert with its life."""

    events = ma.fields.List(ma.fields.Nested(AlertEventSchema), required=True)


class Silence(ma.Schema):
    """For how long nobody is to be told."""

    minutes = whole_number(1, 7 * 1440, required=True)


class NewChannel(ma.Schema):
    """A channel to be made."""

    name = text(1, 100, required=True)
    kind = choice(KINDS, required=True)
    target = described(
        text(1, 2000, required=True),
        "An https:// URL, an e-mail address, or a URL as the apprise library takes it.",
    )


class ChannelSchema(ma.Schema):
    """A channel, without what is secret of it."""

    id = ma.fields.UUID(required=True)
    name = ma.fields.String(required=True)
    kind = choice(KINDS, required=True)
    shown = ma.fields.String(required=True)
    created_at = Timestamp(required=True)


class MadeChannelSchema(ChannelSchema):
    """A channel that was just made."""

    secret = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Of a webhook: verifies its signatures. Shown this once."},
    )


class DeliveriesQuery(ma.Schema):
    """How many."""

    limit = whole_number(1, PAGE_ROWS_MAX, load_default=100)


class QueuedSchema(ma.Schema):
    """A message on its way."""

    id = ma.fields.UUID(required=True)
    channel_id = ma.fields.UUID(required=True)
    event = ma.fields.String(required=True)
    state = choice(("queued", "sent", "dead"), required=True)


class DeliverySchema(QueuedSchema):
    """A message, and what became of it."""

    attempts = ma.fields.Integer(required=True)
    answer = ma.fields.String(required=True, allow_none=True)
    payload = ma.fields.Dict(required=True)
    created_at = Timestamp(required=True)
    due_at = Timestamp(required=True)
    done_at = Timestamp(required=True, allow_none=True)
