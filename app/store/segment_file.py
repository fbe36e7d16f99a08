"""Segment files: rows as Postgres gives them become Parquet, and are read back to the same text.

The canonical text of records is CSV in which every value stands in quotes and null is nothing
between two commas; times are microseconds since 1970. Postgres writes it and Arrow reads it, and
the other way round, so that a digest of it compares the two. Memory is bounded by CHUNK_BYTES.
"""

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from ..domain.archive import SCHEMA_VERSION, Content, TenantDay
from ..domain.identity import EPOCH
from ..domain.records import Kind
from ..errors import ArchiveDamaged
from .objects import file_digest

CHUNK_BYTES = 4 * 1024 * 1024  # of text, which becomes a row group
BLOOM_ROWS_MIN = 1000  # a smaller file is read sooner than its filters
BLOOM_ROWS_MAX = 20_000  # about the rows of a group
BLOOM_FPP = 0.02
READ_ROWS = 4096  # at a time, each of up to 256 KiB; most have less than 1

# Arrow's threads each keep memory of their own, and it is ours that is bounded.
pa.set_cpu_count(1)
pa.set_io_thread_count(1)

Row = dict[str, Any]  # texts, and whole numbers: times are microseconds since 1970

_TIME = pa.timestamp("us", tz="UTC")
_COLUMNS: dict[Kind, tuple[str, ...]] = {
    Kind.ACTION: (
        *("created_at", "id", "action_type", "provider_name", "status", "execution_time_ms"),
        *("operation_id", "error_message", "request_payload", "response_data", "metadata"),
        *("updated_at", "batch_id"),
    ),
    Kind.AUDIT: (
        *("created_at", "id", "user_id", "action", "resource_type", "resource_id", "changes"),
        *("ip_address", "user_agent", "operation_id", "metadata", "updated_at", "batch_id"),
    ),
}
_TIMES = frozenset({"created_at", "updated_at"})
_TYPES = {"execution_time_ms": pa.int32(), **dict.fromkeys(_TIMES, pa.int64())}
_REQUIRED = frozenset({"created_at", "id", "updated_at", "batch_id"})
_REPEATING = (  # few values, often: a dictionary of them is short
    *("action_type", "provider_name", "status", "error_message", "batch_id"),
    *("user_id", "action", "resource_type", "ip_address", "user_agent"),
)
_SOUGHT = {
    Kind.ACTION: ("id", "operation_id"),
    Kind.AUDIT: ("id", "operation_id", "user_id", "resource_id", "ip_address"),
}


def columns_of(kind: Kind) -> tuple[str, ...]:
    """The names of a segment's columns, in the canonical text's order."""
    return _COLUMNS[kind]


def selected(kind: Kind) -> str:
    """The columns of a segment as SQL over a log, in the canonical text's order and form."""
    # In whole microseconds a double is exact.
    return ", ".join(
        f"(date_part('epoch', {name}) * 1000000)::bigint" if name in _TIMES else name
        for name in _COLUMNS[kind]
    )


class SegmentWriter:
    """Writes one segment file from canonical text; as a file, it takes what COPY gives, row by row.

    Args:
        path: where; it must not exist.
        rows: about how many are to come.
    """

    def __init__(self, path: Path, of: TenantDay, rows: int) -> None:
        self._path = path
        self._kind = of.kind
        self._digest = hashlib.sha256()
        self._rows: list[bytes] = []
        self._bytes = 0
        self._count = 0
        self._times: list[int] = []
        self._thread = ThreadPoolExecutor(1)  # encodes a chunk while the next one arrives
        self._encoding: Future[None] | None = None
        self._file = path.open("xb")
        self._writer = _open_writer(self._file, of, rows)

    def write(self, row: bytes) -> int:
        """Take one row of canonical text."""
        self._rows.append(row)
        self._bytes += len(row)
        if self._bytes >= CHUNK_BYTES:
            self._flush()
        return len(row)

    def close(self) -> Content:
        """Finish the file, on the disk, and tell what it holds.

        Raises:
            OSError: the disk did not take it.
        """
        self._flush()
        self._wait()
        self._writer.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._thread.shutdown()
        return Content(
            row_count=self._count,
            min_created_at=_moment(min(self._times, default=0)),
            max_created_at=_moment(max(self._times, default=0)),
            content_sha256=self._digest.digest(),
            file_sha256=file_digest(self._path),
            bytes=self._path.stat().st_size,
        )

    def abandon(self) -> None:
        """Let go of a file that is not to be finished."""
        self._thread.shutdown(cancel_futures=True)
        self._file.close()

    def _flush(self) -> None:
        self._wait()
        if self._rows:
            self._encoding = self._thread.submit(self._encode, self._rows)
            self._rows, self._bytes = [], 0

    def _wait(self) -> None:
        if self._encoding is not None:
            self._encoding.result()
            self._encoding = None

    def _encode(self, rows: list[bytes]) -> None:
        text = b"".join(rows)
        self._digest.update(text)
        table = _parse(self._kind, text)
        times = pc.min_max(table["created_at"].cast(pa.int64())).as_py()
        self._times += [times["min"], times["max"]]
        self._count += table.num_rows
        self._writer.write_table(table)


def verify(path: Path, of: TenantDay, expected: Content) -> None:
    """Read a segment file from end to end and hold it against what it must hold.

    Raises:
        ArchiveDamaged: it differs.
    """
    if file_digest(path) != expected.file_sha256:
        raise ArchiveDamaged(f"{path.name}: its bytes are not those that were written")
    digest, count = hashlib.sha256(), 0
    for text, rows in read_text(path, of.kind):
        digest.update(text)
        count += rows
    if (digest.digest(), count) != (expected.content_sha256, expected.row_count):
        raise ArchiveDamaged(f"{path.name}: its records are not those that were exported")


@contextmanager
def writing(path: Path, of: TenantDay, rows: int) -> Iterator[SegmentWriter]:
    """A writer whose file is removed if it is not finished."""
    writer = SegmentWriter(path, of, rows)
    try:
        yield writer
    except BaseException:
        writer.abandon()
        path.unlink(missing_ok=True)
        raise


def _open_writer(file: BinaryIO, of: TenantDay, rows: int) -> Any:
    names = _COLUMNS[of.kind]
    bloom = None
    if rows >= BLOOM_ROWS_MIN:
        options = {"ndv": min(rows, BLOOM_ROWS_MAX), "fpp": BLOOM_FPP}
        bloom = dict.fromkeys(_SOUGHT[of.kind], options)
    return pq.ParquetWriter(
        file,
        _schema(of),
        compression="zstd",
        use_dictionary=[name for name in names if name in _REPEATING],
        write_page_index=True,
        write_page_checksum=True,
        sorting_columns=[pq.SortingColumn(0), pq.SortingColumn(1)],
        bloom_filter_options=bloom,
    )


def _schema(of: TenantDay) -> pa.Schema:
    fields = [_field(name) for name in _COLUMNS[of.kind]]
    said = {"schema_version": SCHEMA_VERSION, "tenant_id": of.tenant_id, "kind": of.kind.value}
    return pa.schema(fields, {f"opsledger.{name}": str(value) for name, value in said.items()})


def _field(name: str) -> pa.Field:
    type_ = _TIME if name in _TIMES else _TYPES.get(name, pa.string())
    return pa.field(name, type_, nullable=name not in _REQUIRED)


def _parse(kind: Kind, text: bytes) -> pa.Table:
    names = _COLUMNS[kind]
    table = pa.csv.read_csv(
        io.BytesIO(text),
        read_options=pa.csv.ReadOptions(
            column_names=list(names), use_threads=False, block_size=len(text) + 1
        ),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(
            column_types={name: _TYPES.get(name, pa.string()) for name in names},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    return table.cast(pa.schema([_field(name) for name in names]))


def copy_rows(
    path: Path, kind: Kind, writer: SegmentWriter, change: Callable[[Row], Row | None]
) -> None:
    """Write the records of a segment file to another, in order.

    Args:
        change: what becomes of a record, by the names of its columns; None leaves it out.
    """
    schema = pa.schema([pa.field(name, _text_type(name)) for name in _COLUMNS[kind]])
    for table in _read_tables(path, kind):
        rows = [row for row in map(change, table.to_pylist()) if row is not None]
        if rows:
            writer.write(_text_of(pa.Table.from_pylist(rows, schema=schema)))


def read_rows(path: Path, kind: Kind) -> Iterator[Row]:
    """The records of a segment file, in order."""
    for table in _read_tables(path, kind):
        yield from table.to_pylist()


def read_text(path: Path, kind: Kind) -> Iterator[tuple[bytes, int]]:
    """The canonical text of a file, part by part, each with how many records it has."""
    for table in _read_tables(path, kind):
        yield _text_of(table), table.num_rows


def _read_tables(path: Path, kind: Kind) -> Iterator[pa.Table]:
    """The records of a file, part by part, as they stand in canonical text."""
    schema = pa.schema([pa.field(name, _text_type(name)) for name in _COLUMNS[kind]])
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        for group in range(file.num_row_groups):
            found = file.read_row_group(group, use_threads=False)
            for batch in found.to_batches(max_chunksize=READ_ROWS):
                yield pa.Table.from_batches([batch]).cast(schema)
    pa.default_memory_pool().release_unused()


def _text_of(table: pa.Table) -> bytes:
    out = io.BytesIO()
    options = pa.csv.WriteOptions(include_header=False, quoting_style="all_valid")
    pa.csv.write_csv(table, out, options)
    return out.getvalue()


def _text_type(name: str) -> Any:
    return _TYPES.get(name, pa.string())


def _moment(microseconds: int) -> Any:
    return EPOCH + timedelta(microseconds=microseconds)
