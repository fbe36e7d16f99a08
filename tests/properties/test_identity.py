"""Identity: a UUIDv7 and its time are two ways to say one thing."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.identity import (
    EPOCH,
    MILLISECOND,
    created_at_of,
    first_id_at,
    format_time,
    is_record_id,
)
from tests.support.strategies import milliseconds, record_ids

modest = settings(max_examples=200, deadline=None)
moments = st.datetimes(
    datetime(1970, 1, 1),  # noqa: DTZ001 - hypothesis takes naive bounds
    datetime(9999, 12, 31, 23, 59, 59, 999000),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@given(record_ids(), milliseconds)
@modest
def test_the_time_put_into_an_id_is_read_back(record_id: UUID, stamp: int) -> None:
    """To the millisecond, in UTC."""
    dated = UUID(int=(stamp << 80) | (record_id.int & (2**80 - 1)))
    assert is_record_id(dated)
    assert created_at_of(dated) == EPOCH + stamp * MILLISECOND
    assert created_at_of(dated).tzinfo is UTC


@given(st.uuids())
@modest
def test_every_record_id_has_a_time(value: UUID) -> None:
    """What is taken for an id never fails to tell it."""
    if is_record_id(value):
        assert created_at_of(value) >= EPOCH


@given(record_ids(), moments)
@modest
def test_the_first_id_of_a_moment_parts_older_from_newer(record_id: UUID, moment: datetime) -> None:
    """Comparing ids is comparing times: what a window's edge relies on."""
    assert (record_id >= first_id_at(moment)) == (created_at_of(record_id) >= moment)


@given(moments, st.timedeltas(timedelta(0), timedelta(days=1)))
@modest
def test_written_times_read_back_to_the_millisecond_and_sort_as_text(
    moment: datetime, later: timedelta
) -> None:
    """RFC 3339, always with three digits and Z."""
    text = format_time(moment)
    back = datetime.fromisoformat(text)
    assert timedelta(0) <= moment - back < MILLISECOND
    assert len(text) == 24
    if moment.year < 9999:
        assert format_time(moment + later) >= text
