"""Marshmallow fields whose messages say what is allowed."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import flask
import marshmallow as ma

from ..domain.identity import format_time, read_uuid
from ..domain.paths import PATHS_MAX, PathFilter
from ..domain.records import ActionStatus

# RFC 3339, section 5.6; the zone is required, since a log that guesses zones lies.
TIMESTAMP_FORM = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")
WHOLE_NUMBER_FORM = re.compile(r"-?[0-9]+")
TIMESTAMP_RULE = (
    "Must be an RFC 3339 time with a zone, such as 2024-01-15T10:30:00Z (write + as %2B in a URL)."
)


def read_timestamp(value: object) -> datetime | None:
    """The moment that an RFC 3339 text with a zone names, in UTC; None if it is no such text."""
    if not isinstance(value, str) or not TIMESTAMP_FORM.fullmatch(value):
        return None
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


class Timestamp(ma.fields.Field[datetime]):
    """A moment: RFC 3339 in, UTC with Z out."""

    def __init__(self, **kwargs: Any) -> None:
        described = {"type": "string", "format": "date-time", **kwargs.pop("metadata", {})}
        super().__init__(metadata=described, **kwargs)

    def _serialize(self, value: datetime | None, attr: str | None, obj: Any, **_: Any) -> Any:
        return None if value is None else format_time(value)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any
    ) -> datetime:
        moment = read_timestamp(value)
        if moment is None:
            raise ma.ValidationError(TIMESTAMP_RULE)
        return moment


class WholeNumber(ma.fields.Integer):
    """An integer of ASCII digits; int() alone would also take 1_000, spaces and other digits."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        if isinstance(value, str) and not WHOLE_NUMBER_FORM.fullmatch(value):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)


def whole_number(low: int, high: int | None, **kwargs: Any) -> ma.fields.Integer:
    """An integer from `low` to `high`, whose every complaint gives the range."""
    rule = (
        f"Must be a whole number from {low} to {high}."
        if high is not None
        else (f"Must be a whole number of at least {low}.")
    )
    return WholeNumber(
        validate=ma.validate.Range(low, high, error=kwargs.pop("error", rule)),
        error_messages={"invalid": rule, "too_large": rule, "null": rule},
        **kwargs,
    )


def text(low: int, high: int, **kwargs: Any) -> ma.fields.String:
    """A string of `low` to `high` characters."""
    rule = f"Must have {low} to {high} characters."
    return ma.fields.String(validate=ma.validate.Length(low, high, error=rule), **kwargs)


class Uuid(ma.fields.UUID):
    """A UUID as it is written; marshmallow's own also takes braces, urn: and no hyphens."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any
    ) -> Any:
        found = read_uuid(value)
        if found is None:
            raise self.make_error("invalid_uuid")
        return found


class Flag(ma.fields.Boolean):
    """True or false, and nothing that Python takes for one, as 0 or "yes"."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any
    ) -> Any:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class Status(ma.fields.String):
    """An action status, read in any case."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        lowered = str(super()._deserialize(value, attr, data, **kwargs)).lower()
        allowed = [status.value for status in ActionStatus]
        if lowered not in allowed:
            raise ma.ValidationError(f"Must be one of: {', '.join(allowed)}.")
        return lowered


class ActionType(ma.fields.String):
    """An action type that exists on this platform."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        name = super()._deserialize(value, attr, data, **kwargs)
        allowed = flask.current_app.extensions["opsledger-service"].action_types()
        if name not in allowed:
            raise ma.ValidationError(f"Must be one of: {', '.join(sorted(allowed))}.")
        return name


class Paths(ma.fields.Field[tuple[PathFilter, ...]]):
    """The parameters root.PATH of one JSON field, which the parser has read and brought together.

    Args:
        root: how parameters name the field.
        column: the field's own name, for the description.
    """

    is_multiple = True

    def __init__(self, root: str, column: str) -> None:
        self.prefix = f"{root}."
        words = (
            f"Write the keys in place of PATH, as in {root}.contact.email: records whose {column}"
            " has there a scalar with this very text."
        )
        super().__init__(
            data_key=f"{self.prefix}PATH", metadata={"type": "string", "description": words}
        )

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any
    ) -> tuple[PathFilter, ...]:
        if len(value) > PATHS_MAX:
            raise ma.ValidationError(f"Must be given for at most {PATHS_MAX} paths.")
        return tuple(sorted(value))
