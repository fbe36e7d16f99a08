"""Legal holds: what of a tenant must not be purged or erased, for a reason, until it is released.

What a hold covers is said twice, here for what is archived and by functions of the database for
what is hot; a test holds the two against each other.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from ..errors import FieldError, InvalidInput, InvalidRecord
from .codec import JSON_COLUMNS
from .records import IDENTIFIER_CHARS_MAX, NAME_CHARS_MAX, Kind, text

REASON_CHARS_MAX = 1000
# What of a record may name a person.
PERSONAL: dict[Kind, tuple[str, ...]] = {
    Kind.ACTION: (
        *("operation_id", "error_message", "request_payload", "response_data", "metadata"),
    ),
    Kind.AUDIT: (
        *("user_id", "resource_id", "ip_address", "user_agent", "operation_id"),
        *("changes", "metadata"),
    ),
}

Values = Mapping[str, str | None]  # of a record's columns, each as text


class HoldScope(StrEnum):
    """How much a hold covers."""

    TENANT = "tenant"
    RESOURCE = "resource"
    USER = "user"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a hold is of: a resource, a user, or all of the tenant."""

    resource_type: str | None = None
    resource_id: str | None = None
    user_id: str | None = None

    @property
    def scope(self) -> HoldScope:
        """How much it covers."""
        if self.user_id is not None:
            return HoldScope.USER
        return HoldScope.TENANT if self.resource_type is None else HoldScope.RESOURCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A legal hold, in force until it is released."""

    tenant_id: UUID
    id: UUID
    target: Target
    reason: str
    placed_by: str
    placed_at: datetime
    released_by: str | None = None
    released_at: datetime | None = None

    def covers(self, kind: Kind, values: Values) -> bool:
        """Whether it keeps a record of its tenant.

        A resource's hold covers the audits of that resource; a user's all that has the user's id
        anywhere among what may name a person, were it part of a longer word.
        """
        of = self.target
        if of.user_id is not None:
            return _names(kind, values, of.user_id)
        if of.resource_type is None:
            return True
        mine = (values.get("resource_type"), values.get("resource_id"))
        return mine == (of.resource_type, of.resource_id)


def is_held(holds: Iterable[Hold], kind: Kind, values: Values) -> bool:
    """Whether any of a tenant's holds in force keeps a record."""
    return any(hold.covers(kind, values) for hold in holds)


def read_target(resource_type: str | None, resource_id: str | None, user_id: str | None) -> Target:
    """What a hold is to be of.

    Raises:
        InvalidInput: names the field and its rule.
    """
    if user_id is not None and (resource_type is not None or resource_id is not None):
        raise InvalidInput(FieldError("user_id", "must not stand beside a resource"))
    if (resource_type is None) != (resource_id is None):
        missing = "resource_id" if resource_id is None else "resource_type"
        raise InvalidInput(FieldError(missing, "must be given: a resource has a type and an id"))
    _check("resource_type", resource_type, NAME_CHARS_MAX)
    _check("resource_id", resource_id, IDENTIFIER_CHARS_MAX)
    _check("user_id", user_id, IDENTIFIER_CHARS_MAX)
    return Target(resource_type=resource_type, resource_id=resource_id, user_id=user_id)


def check_reason(reason: str) -> None:
    """Refuse a reason that says nothing, or too much.

    Raises:
        InvalidInput: names the rule.
    """
    _check("reason", reason, REASON_CHARS_MAX)
    if not reason.strip():
        raise InvalidInput(FieldError("reason", "must say why"))


def _check(name: str, value: str | None, chars_max: int) -> None:
    if value is not None:
        try:
            text(name, value, chars_max)
        except InvalidRecord as error:
            raise InvalidInput(FieldError(name, error.rule)) from error


def _names(kind: Kind, values: Values, user_id: str) -> bool:
    quoted = json.dumps(user_id, ensure_ascii=False)[1:-1]
    texts: list[str] = []
    documents: list[str] = []
    for name in PERSONAL[kind]:
        value = values.get(name)
        if value is not None:
            (documents if name in JSON_COLUMNS else texts).append(value)
    return user_id in "\n".join(texts) or quoted in "\n".join(documents)
