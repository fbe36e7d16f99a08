"""The bytes of a record, as the spool, the broker and the worker pass it on: a line of COPY text.

Capture writes the line once; the worker reads its first cells and hands the rest to Postgres as it
is. Values come back equal: integers of any size and floats keep their value.
"""

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from .identity import EPOCH, first_id_at, is_record_id
from .records import (
    ActionRecord,
    ActionStatus,
    AuditRecord,
    JsonText,
    Kind,
    Record,
    action_record,
    audit_record,
)

# The cells that a worker looks at come first; those that may be long come last.
COLUMNS: dict[Kind, tuple[str, ...]] = {
    Kind.ACTION: (
        *("tenant_id", "created_at", "id", "action_type", "provider_name", "status"),
        *("execution_time_ms", "operation_id", "error_message", "request_payload"),
        *("response_data", "metadata"),
    ),
    Kind.AUDIT: (
        *("tenant_id", "created_at", "id", "action", "resource_type", "resource_id", "user_id"),
        *("ip_address", "operation_id", "user_agent", "changes", "metadata"),
    ),
}
HEAD_CELLS = slice(3, 7)  # of a line's columns: what a head has past tenant, time and id
JSON_COLUMNS = frozenset({"request_payload", "response_data", "metadata", "changes"})
PARSERS: dict[str, Callable[[str], Any]] = {  # of the columns that no record is without
    **dict.fromkeys(("id", "tenant_id"), UUID),
    "status": ActionStatus,
    "execution_time_ms": int,
}
LETTERS = {Kind.ACTION: "a", Kind.AUDIT: "u"}
KINDS = {letter: kind for kind, letter in LETTERS.items()}

# COPY text format: https://www.postgresql.org/docs/current/sql-copy.html, "Text Format"
NULL = "\\N"
ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
PLAIN = {escape: character for character, escape in ESCAPES.items()}
SPECIAL = re.compile(r"[\\\t\n\r]")
ESCAPED = re.compile(r"\\[\\tnr]")


def dump_json(value: Any) -> bytes:
    """Compact UTF-8 JSON of a value made of JSON types."""
    try:
        return orjson.dumps(value)
    except TypeError:  # orjson stops at 64-bit integers and 254 levels
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def canonical_json(value: Any) -> bytes:
    """JSON of a value made of JSON types that is the same for equal values: names are sorted."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def encode(record: Record) -> bytes:
    """One record as one line, without a line end: the letter of its kind, then its cells."""
    if isinstance(record, ActionRecord):
        cells = (
            record.action_type,
            escape(record.provider_name),
            record.status.value,
            str(record.execution_time_ms),
            escape(record.operation_id),
            escape(record.error_message),
            _json(record.request_payload),
            NULL if record.response_data is None else _json(record.response_data),
        )
    else:
        cells = (
            escape(record.action),
            escape(record.resource_type),
            escape(record.resource_id),
            escape(record.user_id),
            escape(record.ip_address),
            escape(record.operation_id),
            escape(record.user_agent),
            _json(record.changes),
        )
    metadata = _json(record.metadata) if record.metadata else NULL
    head = (LETTERS[record.kind], str(record.tenant_id), _moment(record.id), str(record.id))
    return "\t".join((*head, *cells, metadata)).encode()


def line_time(moment: datetime) -> str:
    """A moment (from 1970 on) as lines write created_at; such texts sort as their times do."""
    return _moment(first_id_at(moment))


class Head(NamedTuple):
    """What a worker looks at of a line, each as the text it is in the line.

    For audits `status` holds the resource's id and `execution_time_ms` the user's.
    """

    kind: Kind
    tenant_id: str
    created_at: str
    id: str
    type: str
    group: str
    status: str
    execution_time_ms: str
    row: str

    @property
    def line(self) -> bytes:
        """The whole line, as it came."""
        return f"{LETTERS[self.kind]}\t{self.row}".encode()


def read_head(line: str) -> Head:
    """The first cells of a line, and the row of it that Postgres takes.

    Raises:
        ValueError: the line is not a record of a known kind.
    """
    cells = line.split("\t", 8)
    if len(cells) != 9 or cells[0] not in KINDS:
        raise ValueError("not a record: no such kind, or not as many cells as it has")
    _, tenant_id, created_at, record_id, type_, group, status, milliseconds, _ = cells
    if record_id[14:15] != "7":
        raise ValueError(f"id: {record_id[:40]} is not a UUIDv7")
    kind = KINDS[cells[0]]
    return Head(
        kind, tenant_id, created_at, record_id, type_, group, status, milliseconds, line[2:]
    )


def decode(line: bytes) -> Record:
    """The record of one line.

    Raises:
        ValueError: the line is not a record of a known kind.
    """
    letter, *cells = _decoded(line).split("\t")
    kind = KINDS.get(letter)
    if kind is None or len(cells) != len(COLUMNS[kind]):
        raise ValueError("not a record: no such kind, or not as many cells as it has")
    try:
        return _record(kind, dict(zip(COLUMNS[kind], cells, strict=True)))
    except (TypeError, RecursionError) as error:
        raise ValueError(f"not a record: {error}") from error


def check(line: bytes) -> None:
    """Refuse a line whose record breaks a rule of its kind; the platform's own are not known here.

    Raises:
        ValueError: names the field and the rule it breaks.
    """
    record = decode(line)
    values = {name: getattr(record, name) for name in COLUMNS[record.kind]}
    if isinstance(record, ActionRecord):
        action_record(values, action_types=(record.action_type,))
    else:
        audit_record(values)


def escape(value: str | None) -> str:
    """A text as the cell of a line."""
    if value is None:
        return NULL
    return SPECIAL.sub(_escape, value) if SPECIAL.search(value) else value


def unescape(cell: str) -> str:
    """The text of a cell that is not null."""
    return ESCAPED.sub(lambda found: PLAIN[found[0]], cell)


def _decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8: {error.reason} at byte {error.start}") from error


def _record(kind: Kind, cells: dict[str, str]) -> Record:
    moment = cells.pop("created_at")
    values = {name: _parsed(name, cell) for name, cell in cells.items()}
    if not is_record_id(values["id"]) or moment != _moment(values["id"]):
        raise ValueError(f"id: {values['id']} is not a UUIDv7 of {moment}")
    values["metadata"] = values["metadata"] or {}
    if kind is Kind.AUDIT:
        return AuditRecord(**values)
    return ActionRecord(**values)


def _json(value: Any) -> str:
    text = value if type(value) is JsonText else dump_json(value)
    # JSON has no raw control characters, so its backslashes are all there is to escape.
    return text.decode().replace("\\", "\\\\")


def _parsed(name: str, cell: str) -> Any:
    try:
        return _value(name, cell)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: {error}") from error


def _value(name: str, cell: str) -> Any:
    parse = PARSERS.get(name)
    if cell == NULL and parse is None:
        return None
    text = unescape(cell)
    if name in JSON_COLUMNS:
        return json.loads(text)
    return text if parse is None else parse(text)


def _escape(found: re.Match[str]) -> str:
    return ESCAPES[found[0]]


def _moment(record_id: UUID) -> str:
    milliseconds = record_id.int >> 80
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03d}+00"


@lru_cache(maxsize=16)
def _second(seconds: int) -> str:
    """A second as Postgres reads it; neighbouring records share it."""
    return (EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%d %H:%M:%S")
