"""How an export is written: CSV and JSON lines, compressed, or Parquet; some records in memory at a
time.
"""

import csv
import gzip
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from ..domain.codec import JSON_COLUMNS, dump_json
from ..domain.exports import ExportFormat, escape_formula
from ..domain.identity import format_time
from ..domain.records import Kind

COLUMNS: dict[Kind, tuple[str, ...]] = {
    Kind.ACTION: (
        *("id", "tenant_id", "action_type", "provider_name", "status", "error_message"),
        *("execution_time_ms", "created_at", "request_payload", "response_data", "operation_id"),
        *("metadata", "updated_at"),
    ),
    Kind.AUDIT: (
        *("id", "tenant_id", "action", "resource_type", "resource_id", "user_id", "changes"),
        *("ip_address", "created_at", "user_agent", "operation_id", "metadata", "updated_at"),
    ),
}
OBJECTS = ("changes", "metadata")  # {} where a record has none
LEVEL = 6  # of gzip

Row = Mapping[str, Any]


class RowWriter(Protocol):
    """Writes records to a file."""

    def write(self, rows: Sequence[Row]) -> None:
        """Add records."""
        ...

    def close(self) -> None:
        """Finish the file."""
        ...


def open_writer(path: Path, kind: Kind, format_: ExportFormat) -> RowWriter:
    """A writer of a new file."""
    if format_ is ExportFormat.PARQUET:
        return _ParquetWriter(path, COLUMNS[kind])
    return _TextWriter(path, kind, format_)


def text_of(rows: Iterable[Row], kind: Kind, format_: ExportFormat, *, first: bool) -> bytes:
    """Records as text.

    Args:
        first: whether these are the first, before which CSV names its columns.
    """
    names = COLUMNS[kind]
    if format_ is ExportFormat.JSONL:
        shown = ({name: _plain(name, row[name]) for name in names} for row in rows)
        return b"".join(dump_json(one) + b"\n" for one in shown)
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    if first:
        writer.writerow(names)
    writer.writerows([_cell(name, row[name]) for name in names] for row in rows)
    return out.getvalue().encode()


class _TextWriter:
    """CSV or JSON lines."""

    def __init__(self, path: Path, kind: Kind, format_: ExportFormat) -> None:
        self._file = gzip.GzipFile(path, "xb", LEVEL, mtime=0)
        self._kind, self._format, self._first = kind, format_, True
        self.write(())  # the names of columns, if nothing else comes

    def write(self, rows: Sequence[Row]) -> None:
        """Add records."""
        self._file.write(text_of(rows, self._kind, self._format, first=self._first))
        self._first = False

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


class _ParquetWriter:
    """Parquet: times as such, everything structured as text."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        import pyarrow as pa  # 40 MB that only such an export needs
        import pyarrow.parquet as pq

        types = {
            "execution_time_ms": pa.int32(),
            **dict.fromkeys(("created_at", "updated_at"), pa.timestamp("us", "UTC")),
        }
        self._names = names
        self._schema = pa.schema([(name, types.get(name, pa.string())) for name in names])
        self._table = pa.Table.from_pylist
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")

    def write(self, rows: Sequence[Row]) -> None:
        """Add records."""
        values = [{name: _scalar(name, row[name]) for name in self._names} for row in rows]
        if values:
            self._writer.write_table(self._table(values, schema=self._schema))

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()


def _plain(name: str, value: Any) -> Any:
    if value is None and name in OBJECTS:
        return {}
    if isinstance(value, datetime):
        return format_time(value)
    return str(value) if isinstance(value, UUID) else value


def _scalar(name: str, value: Any) -> Any:
    if name in JSON_COLUMNS:
        return None if value is None else dump_json(value).decode()
    return str(value) if isinstance(value, UUID) else value


def _cell(name: str, value: Any) -> Any:
    plain = _scalar(name, value)
    if isinstance(plain, datetime):
        return format_time(plain)
    return escape_formula(plain) if isinstance(plain, str) else plain
