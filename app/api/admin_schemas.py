"""What the admin endpoints take and tell, as marshmallow schemas."""

from datetime import timedelta
from typing import Any

import marshmallow as ma

from ..domain.access import Holder, Scope
from ..domain.filters import CURSOR_CHARS_MAX, PAGE_ROWS_MAX
from ..domain.places import NAME_CHARS_MAX
from ..domain.policy import PATH_CHARS_MAX, RULES_MAX, Mode
from ..domain.tenancy import (
    KEY_DAYS_MAX,
    KEY_NAME_CHARS_MAX,
    NETWORKS_MAX,
    OVERLAP_MAX,
    RETENTION_DAYS_MAX,
    SLUG_FORM,
    SLUG_RULE,
    TENANT_NAME_CHARS_MAX,
)
from .fields import Flag, Timestamp, Uuid, text, whole_number
from .schemas import described

NETWORK_CHARS_MAX = 49  # of the longest IPv6 network as text
OVERLAP_DEFAULT = timedelta(days=1)


class TenantListQuery(ma.Schema):
    """A page."""

    limit = whole_number(1, PAGE_ROWS_MAX, load_default=100)
    after = described(text(1, CURSOR_CHARS_MAX), "Cursor from the Link header.")


class KeyListQuery(TenantListQuery):
    """A page of a tenant's keys."""

    tenant_id = Uuid(required=True)


class TenantSchema(ma.Schema):
    """A tenant."""

    id = ma.fields.UUID(required=True)
    name = ma.fields.String(required=True)
    slug = ma.fields.String(required=True)
    is_active = ma.fields.Boolean(required=True)
    created_at = Timestamp(required=True)


class NewTenantSchema(ma.Schema):
    """A tenant to be made."""

    slug = ma.fields.String(
        required=True,
        validate=ma.validate.Regexp(f"^{SLUG_FORM.pattern}$", error=f"{SLUG_RULE.capitalize()}."),
    )
    name = described(text(1, TENANT_NAME_CHARS_MAX), "Shown name; the slug if not given.")


class TenantChangesSchema(ma.Schema):
    """What of a tenant can be changed."""

    name = text(1, TENANT_NAME_CHARS_MAX)
    is_active = described(Flag(), "Whether its keys are served.")

    @ma.validates_schema
    def check_not_empty(self, data: dict[str, Any], **_: Any) -> None:
        """Refuse a change of nothing."""
        if not data:
            raise ma.ValidationError("Must set at least one of: is_active, name.")


class RedactionRuleSchema(ma.Schema):
    """What becomes of a value: by its key, at any depth, or by its path."""

    mode = ma.fields.String(
        required=True, validate=ma.validate.OneOf([mode.value for mode in Mode])
    )
    key = text(1, NAME_CHARS_MAX)
    path = text(1, PATH_CHARS_MAX)


class RedactionRules(ma.fields.List[Any]):
    """A redaction policy, which is judged where that of a command is, and shown as it is kept."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        return value

    def _serialize(self, value: Any, *_: Any, **__: Any) -> Any:
        return value


class TenantSettingsSchema(ma.Schema):
    """What can be set for a tenant; in a change, null drops a setting."""

    key_days_max = described(
        whole_number(1, KEY_DAYS_MAX, allow_none=True, strict=True),
        "How many days from now a key of the tenant may end at the latest; without it, a key need"
        " not end. Judged when a key is made, changed or rotated.",
    )
    action_days = described(
        whole_number(1, RETENTION_DAYS_MAX, allow_none=True, strict=True),
        "For how many days action logs are kept in all, hot and archived; without it, for ever."
        " The operator's OPSLEDGER_RETENTION_DAYS_MIN and _MAX bound it.",
    )
    audit_days = described(
        whole_number(1, RETENTION_DAYS_MAX, allow_none=True, strict=True),
        "The same of audit logs.",
    )
    redaction = RedactionRules(
        ma.fields.Nested(RedactionRuleSchema),
        allow_none=True,
        metadata={
            "maxItems": RULES_MAX,
            "description": "The tenant's redaction policy: what is masked, hashed or dropped before"
            " it is kept. Each rule has either key or path. Replaces all rules of before.",
        },
    )


class KeySchema(ma.Schema):
    """An API key without its secret."""

    id = ma.fields.UUID(required=True)
    tenant_id = ma.fields.UUID(required=True)
    name = ma.fields.String(required=True)
    prefix = ma.fields.String(required=True)
    scopes = ma.fields.List(ma.fields.String(), required=True)
    networks = ma.fields.List(ma.fields.String(), required=True)
    holder = ma.fields.String(required=True)
    created_at = Timestamp(required=True)
    expires_at = Timestamp(required=True, allow_none=True)
    revoked_at = described(
        Timestamp(required=True, allow_none=True), "In the future: the end of a rotation's overlap."
    )
    last_used_at = described(
        Timestamp(required=True, allow_none=True), "Noted at most once a minute."
    )


class NewKeyAnswerSchema(KeySchema):
    """An API key that was just made."""

    secret = described(ma.fields.String(required=True), "Shown this once.")


class RotationSchema(NewKeyAnswerSchema):
    """The new key of a rotation."""

    old_key_ends_at = Timestamp(required=True)


class KeyChangesSchema(ma.Schema):
    """What of a key can be changed."""

    name = text(1, KEY_NAME_CHARS_MAX)
    scopes = ma.fields.List(
        ma.fields.String(
            validate=ma.validate.OneOf(
                [scope.value for scope in Scope],
                error=f"Must be one of: {', '.join(Scope)}.",
            )
        ),
        validate=ma.validate.Length(min=1, error="Must have at least one."),
        metadata={"description": "admin is for keys of the operator tenant alone."},
    )
    networks = ma.fields.List(
        text(1, NETWORK_CHARS_MAX),
        validate=ma.validate.Length(max=NETWORKS_MAX, error=f"Must be at most {NETWORKS_MAX}."),
        metadata={"description": "Where it may be used from, as CIDR; none: everywhere."},
    )
    holder = ma.fields.String(
        validate=ma.validate.OneOf(
            [holder.value for holder in Holder], error=f"Must be one of: {', '.join(Holder)}."
        ),
        metadata={"description": "What a human reads of payloads goes on record."},
    )
    expires_at = Timestamp(allow_none=True)


class NewKeySchema(KeyChangesSchema):
    """A key to be made; without scopes it reads logs and their payloads, and a machine has it."""

    tenant_id = Uuid(required=True)
    name = text(1, KEY_NAME_CHARS_MAX, required=True)


class RotateSchema(ma.Schema):
    """How a key is to be replaced."""

    overlap_s = described(
        whole_number(
            0,
            round(OVERLAP_MAX.total_seconds()),
            load_default=round(OVERLAP_DEFAULT.total_seconds()),
            strict=True,
        ),
        "How long the old key still works, in seconds; 0 after a leak.",
    )
