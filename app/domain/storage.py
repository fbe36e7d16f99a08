"""What storage holds and when it is full: figures by tenant and month, and a forecast of a disk."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from .records import Kind

FULL_SOON_DAYS = 100_000  # past some centuries, growth is none


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a tenant's log of one month takes.

    Attributes:
        heap_bytes, index_bytes: of the hot rows, which share their partitions with other tenants':
            the share that the rows have of all.
        restored_rows: of the cold ones, those that are in Postgres for a time, too.
    """

    tenant_id: UUID
    kind: Kind
    month: date
    hot_rows: int
    heap_bytes: int
    index_bytes: int
    cold_rows: int
    cold_bytes: int
    restored_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hot:
    """What a log takes in Postgres, as Postgres measures it, restored rows included."""

    kind: Kind
    rows: int
    heap_bytes: int
    index_bytes: int

    @property
    def bytes(self) -> int:
        """All of it."""
        return self.heap_bytes + self.index_bytes

    @property
    def row_bytes(self) -> float:
        """What a row takes, with its part of the indexes."""
        return self.bytes / self.rows if self.rows else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A disk, what is taken of it and how fast that grows.

    Attributes:
        bytes_total: None if it is not known, or if it has no end, as a bucket's.
        days_until_full: None if that is not known, or does not come.
    """

    name: str
    bytes_used: int
    bytes_total: int | None
    bytes_per_day: int
    days_until_full: int | None

    def warnings(self, days_min: int, percent_max: int) -> Iterator[str]:
        """What to be told of.

        Args:
            days_min: a disk that is full sooner is told of.
            percent_max: likewise one of which more is taken.
        """
        if self.days_until_full is not None and self.days_until_full < days_min:
            yield f"{self.name} is full in {self.days_until_full} days"
        if self.bytes_total and self.bytes_used * 100 > self.bytes_total * percent_max:
            percent = self.bytes_used * 100 // self.bytes_total
            yield f"{percent} % of {self.name} is taken"


def forecast(
    name: str,
    *,
    used: int,
    total: int | None,
    per_day: float,
    levels_off_at: float | None = None,
) -> Disk:
    """A disk, and when it is full if it goes on like this.

    Args:
        per_day: by how many bytes it grows.
        levels_off_at: how much is taken once as much leaves as comes; None if nothing leaves.
    """
    days: int | None = None
    if total is not None and used >= total:
        days = 0
    elif total is not None and per_day > 0 and (levels_off_at is None or levels_off_at > total):
        days = int((total - used) / per_day)
    return Disk(
        name=name,
        bytes_used=used,
        bytes_total=total,
        bytes_per_day=round(per_day),
        days_until_full=days if days is None or days < FULL_SOON_DAYS else None,
    )
