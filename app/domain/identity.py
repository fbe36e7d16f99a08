"""Record identity: a UUIDv7 whose first 48 bits are created_at.

One id therefore has one time, and a lookup by id knows which partition to open (RFC 9562,
section 5.7).
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def created_at_of(record_id: UUID) -> datetime:
    """The millisecond, in UTC, at which the record of this UUIDv7 was made."""
    return EPOCH + (record_id.int >> 80) * MILLISECOND


def is_record_id(value: UUID) -> bool:
    """Whether a UUID can be a record's id: version 7, and a time that a calendar can hold."""
    return value.version == 7 and (value.int >> 80) < 253402300800000  # the year 10000


def first_id_at(moment: datetime) -> UUID:
    """The smallest id a record made at `moment` (time zone required) could have."""
    milliseconds = -((EPOCH - moment) // MILLISECOND)
    return UUID(int=max(milliseconds, 0) << 80)


def format_time(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds and Z, as the API writes every time."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"
