"""The archive as it is laid out: one object for each tenant, kind and day, or several in time.

The layout is a contract with other engines: tenant_id=…/kind=…/date=…/ID.parquet.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from .records import Kind

SCHEMA_VERSION = 1  # of the columns of a segment; it stands in the file


@dataclass(frozen=True, slots=True)
class TenantDay:
    """The records of one tenant and kind that were made on one day of UTC."""

    tenant_id: UUID
    kind: Kind
    day: date

    @property
    def start(self) -> datetime:
        """Its first moment."""
        return datetime.combine(self.day, time(), UTC)

    @property
    def end(self) -> datetime:
        """The first moment after it."""
        return self.start + timedelta(days=1)

    @property
    def prefix(self) -> str:
        """What the keys of its objects begin with."""
        return f"tenant_id={self.tenant_id}/kind={self.kind.value}/date={self.day}/"

    def key(self, segment_id: UUID) -> str:
        """The key of an object of it; each try has one of its own, so none is ever overwritten."""
        return f"{self.prefix}{segment_id}.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a segment holds: how many records, the first and last time, and two digests.

    Attributes:
        content_sha256: of the records as canonical text, in order; it does not depend on how they
            are encoded.
        file_sha256: of the object's bytes.
        bytes: the object's size.
    """

    row_count: int
    min_created_at: datetime
    max_created_at: datetime
    content_sha256: bytes
    file_sha256: bytes
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A verified object of the archive and what it holds.

    Attributes:
        is_restored: whether its records are in Postgres, too, for a time.
    """

    id: UUID
    of: TenantDay
    content: Content
    is_restored: bool = False

    @property
    def key(self) -> str:
        """Where its object is."""
        return self.of.key(self.id)
