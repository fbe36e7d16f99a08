"""The bytes of a record, as the spool, the broker and the worker pass it on.

Encoding and decoding give back an equal record; integers of any size and floats keep their value.
"""

import json
from typing import Any
from uuid import UUID

import orjson

from .identity import is_record_id
from .records import ActionRecord, ActionStatus, AuditRecord, Kind, Record

_UUID_FIELDS = ("id", "tenant_id")


def dump_json(value: Any) -> bytes:
    """Compact UTF-8 JSON of a value made of JSON types."""
    try:
        return orjson.dumps(value)
    except TypeError:  # orjson stops at 64-bit integers and 254 levels
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def encode(record: Record) -> bytes:
    """One record as one line of JSON, without a line end."""
    values: dict[str, Any] = {name: getattr(record, name) for name in record.__slots__}
    values["kind"] = record.kind.value
    for name in _UUID_FIELDS:
        values[name] = str(values[name])
    return dump_json(values)


def decode(line: bytes | str) -> Record:
    """The record of one line.

    Raises:
        ValueError: the line is not JSON or not a record of a known kind.
    """
    try:
        values = json.loads(line)
        kind = Kind(values.pop("kind"))
        for name in _UUID_FIELDS:
            values[name] = UUID(values[name])
        if not is_record_id(values["id"]):
            raise ValueError(f"id: {values['id']} is not a UUIDv7")
        if kind is Kind.AUDIT:
            return AuditRecord(**values)
        return ActionRecord(**{**values, "status": ActionStatus(values["status"])})
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a record: {error}") from error
