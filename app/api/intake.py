"""Intake: one item of an ingest request becomes a record, or a list of what is wrong with it.

The rules of values are those of capture; what is added is what JSON and a caller who is not this
process make necessary: names, types of free text, tenant and identity.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import marshmallow as ma
from uuid_utils.compat import uuid7

from ..domain.claims import Claim
from ..domain.identity import read_uuid
from ..domain.records import Kind, Record
from ..domain.secret_values import masked
from ..errors import FieldError, InvalidInput, InvalidRecord
from .fields import read_timestamp
from .identifiers import UUID_RULE
from .parsing import DEPTH_RULE

WHOLE = "record"  # stands for the field where an item is wrong as a whole
SHOWN_CHARS_MAX = 500  # of an item's own words in an answer
FREE_TEXTS = ("error_message", "user_agent")  # cut and repaired, so no constructor refuses them
IDENTITY = frozenset({"id", "created_at", "external_id", "tenant_id"})
MOMENT_RULE = "must be an RFC 3339 time with a zone, such as 2024-01-15T10:30:00.250Z"

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """Judges the items of one request.

    Args:
        make: the record of an item's values; raises InvalidRecord.
        fields: what an item may have, by name, and whether it must.
        key: the platform's secret for external ids.
        now: when the request came, in UTC.
        origin: what `metadata.ingest` says of the request.
    """

    make: Callable[[Kind, dict[str, Any]], Record]
    kind: Kind
    fields: Mapping[str, ma.fields.Field[Any]]
    tenant_id: UUID
    key: bytes
    now: datetime
    origin: dict[str, Any]

    def record(self, item: object) -> Record:
        """The record of one item, with a word about where it came from.

        Raises:
            InvalidInput: names every field that is wrong, as far as one error does not hide others.
        """
        if not isinstance(item, dict):
            raise InvalidInput(FieldError(WHOLE, "must be an object"))
        errors = [*self._misnamed(item), *_mistyped(item)]
        _judge(errors, lambda: self._check_tenant(item))
        record_id = _judge(errors, lambda: self._identify(item))
        values = {name: item.get(name) for name in self.fields if name not in IDENTITY}
        if not any(error.field in values for error in errors):
            values |= {"id": record_id or uuid7(), "tenant_id": self.tenant_id}
            record = _judge(errors, lambda: self.make(self.kind, values))
            if record and not errors:
                return replace(record, metadata={**record.metadata, "ingest": self.origin})
        raise InvalidInput(*(_shown(error) for error in errors))

    def _misnamed(self, item: dict[str, Any]) -> Iterator[FieldError]:
        known = ", ".join(self.fields)
        for name in item:
            if name not in self.fields:
                yield FieldError(name or '""', f"is not known here; known are {known}")
        for name, field in self.fields.items():
            if field.required and name not in item:
                yield FieldError(name, "is required")

    def _check_tenant(self, item: dict[str, Any]) -> None:
        given = item.get("tenant_id")
        if given is not None and read_uuid(given) != self.tenant_id:
            raise InvalidRecord("tenant_id", "must be the tenant of the API key, or be left out")

    def _identify(self, item: dict[str, Any]) -> UUID:
        claim = Claim(
            id=_read(item, "id", read_uuid, UUID_RULE),
            created_at=_read(item, "created_at", read_timestamp, MOMENT_RULE),
            external_id=item.get("external_id"),
        )
        return claim.resolve(
            tenant_id=self.tenant_id, kind=self.kind, key=self.key, now=self.now, fresh=uuid7()
        )


def _judge(errors: list[FieldError], step: Callable[[], Made]) -> Made | None:
    """What a step makes; None if it refuses, and then the errors say why."""
    try:
        return step()
    except InvalidRecord as error:
        errors.append(FieldError(error.field, error.rule))
    except RecursionError:  # a rule that shows the value it refuses
        errors.append(FieldError(WHOLE, DEPTH_RULE))
    return None


def _read(
    item: dict[str, Any], name: str, read: Callable[[object], Made | None], rule: str
) -> Made | None:
    """The value of a field that may be left out, as `read` has it."""
    value = item.get(name)
    if value is None:
        return None
    found = read(value)
    if found is None:
        raise InvalidRecord(name, rule)
    return found


def _mistyped(item: dict[str, Any]) -> Iterator[FieldError]:
    for name in FREE_TEXTS:
        value = item.get(name)
        if value is not None and not isinstance(value, str):
            yield FieldError(name, f"must be a string, not {type(value).__name__}")


def _shown(error: FieldError) -> FieldError:
    """The error with what it quotes of the item: no secret, and no more than an answer carries."""
    return FieldError(_cut(masked(error.field)), _cut(masked(error.detail)))


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS_MAX else f"{text[:SHOWN_CHARS_MAX]}…"
