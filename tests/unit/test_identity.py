"""Identities: which UUIDs are a record's, and the time they hold."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID, uuid4

import pytest
from uuid_utils.compat import uuid7

from app.domain.identity import created_at_of, first_id_at, format_time, is_record_id

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)


def test_a_new_id_holds_the_present_millisecond() -> None:
    """Between the milliseconds before and after it was made."""
    before = datetime.now(UTC) - timedelta(milliseconds=2)
    assert before <= created_at_of(uuid7()) <= datetime.now(UTC)


@pytest.mark.parametrize(
    "value",
    [
        uuid4(),
        UUID(int=0),
        UUID(int=2**128 - 1),
        UUID("ffffffff-ffff-7fff-bfff-ffffffffffff"),  # the year 10889
        UUID("0198c0de-0000-7000-0000-000000000000"),  # not the RFC's variant
    ],
)
def test_other_uuids_are_no_record_ids(value: UUID) -> None:
    """Neither other versions nor times past the calendar."""
    assert not is_record_id(value)


def test_the_calendars_last_millisecond_is_still_a_record_id() -> None:
    """And its time can be told."""
    last = UUID(int=(253402300799999 << 80) | (7 << 76) | (0b10 << 62))
    assert is_record_id(last)
    assert created_at_of(last) == datetime(9999, 12, 31, 23, 59, 59, 999000, UTC)


def test_the_first_id_of_a_moment_divides_before_from_after() -> None:
    """A moment between two milliseconds belongs to the later one."""
    first = first_id_at(MOMENT)
    assert created_at_of(first) == MOMENT
    assert first_id_at(MOMENT + timedelta(microseconds=1)).int == first.int + (1 << 80)
    assert first_id_at(MOMENT - timedelta(microseconds=1)) == first


def test_moments_before_the_epoch_start_at_the_smallest_id() -> None:
    """No record is older."""
    assert first_id_at(datetime(1, 1, 1, tzinfo=UTC)) == UUID(int=0)


def test_times_are_written_in_utc_with_milliseconds_and_z() -> None:
    """Whatever zone they came in."""
    there = MOMENT.astimezone(timezone(timedelta(hours=-7)))
    assert format_time(there) == format_time(MOMENT) == "2026-01-02T03:04:05.678Z"
    assert format_time(MOMENT.replace(microsecond=0)) == "2026-01-02T03:04:05.000Z"
