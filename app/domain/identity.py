"""Record identity: a UUIDv7 whose first 48 bits are created_at.

One id therefore has one time, and a lookup by id knows which partition to open (RFC 9562,
section 5.7).
"""

import hmac
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


def read_uuid(value: object) -> UUID | None:
    """The UUID of its usual text; None if it is another text, or no text at all."""
    if not isinstance(value, str):
        return None
    try:
        found = UUID(value)
    except ValueError:
        return None
    # UUID() also takes braces, URNs, missing hyphens and, as int() does, underscores.
    return found if str(found) == value.lower() else None


def first_id_at(moment: datetime) -> UUID:
    """The smallest id a record made at `moment` (time zone required) could have."""
    milliseconds = -((EPOCH - moment) // MILLISECOND)
    return UUID(int=max(milliseconds, 0) << 80)


def redated(record_id: UUID, moment: datetime) -> UUID:
    """The id of `moment` (from 1970 on, time zone required) with the random bits of another id."""
    return _stamped(moment, record_id.int)


def derived_id(
    key: bytes, *, tenant_id: UUID, kind: str, external_id: str, moment: datetime
) -> UUID:
    """The id of a record that its caller names itself: the same for the same words, on any host.

    Args:
        key: a secret of the platform; without it nobody can tell an external id from a record's.
        moment: created_at, from 1970 on, time zone required.
    """
    message = b"\0".join((tenant_id.bytes, kind.encode(), external_id.encode()))
    digest = hmac.digest(key, message, "sha256")
    return _stamped(moment, int.from_bytes(digest[:10], "big"))


def _stamped(moment: datetime, bits: int) -> UUID:
    """The UUIDv7 of a moment with 74 of the lowest 80 bits given; the other 6 are the format's."""
    milliseconds = (moment - EPOCH) // MILLISECOND
    low = bits & ((1 << 76) - 1) & ~(0b11 << 62)
    return UUID(int=milliseconds << 80 | 7 << 76 | 0b10 << 62 | low)


def format_time(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds and Z, as the API writes every time."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"
