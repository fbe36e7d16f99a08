"""Cursors: they open the list they were made for, no other, and no string breaks the server."""

import base64
import re
from typing import Any
from uuid import UUID

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.domain.filters import (
    CURSOR_CHARS_MAX,
    ActionFilter,
    AuditFilter,
    decode_cursor,
    encode_cursor,
)
from app.domain.identity import is_record_id
from app.domain.paths import PathFilter
from app.domain.tail import (
    AFTER_ALL,
    BEFORE_ALL,
    START,
    Position,
    decode_position,
    encode_position,
)
from app.errors import InvalidInput
from tests.support.strategies import any_text, clean_text, record_ids

Filters = ActionFilter | AuditFilter

modest = settings(max_examples=200, deadline=None)
texts = st.none() | any_text
times = st.none() | st.datetimes(timezones=st.timezones())

paths = st.builds(
    PathFilter, root=any_text, keys=st.lists(any_text, max_size=3).map(tuple), value=any_text
)
positions = st.just(START) | st.builds(
    Position, batch_id=record_ids(), last_id=record_ids() | st.sampled_from([BEFORE_ALL, AFTER_ALL])
)

action_filters = st.builds(
    ActionFilter,
    action_type=st.lists(clean_text, max_size=2).map(tuple),
    status=st.lists(clean_text, max_size=2).map(tuple),
    provider_name=st.lists(any_text, max_size=2).map(tuple),
    since=times,
    until=times,
    min_execution_time_ms=st.none() | st.integers(),
    operation_id=texts,
    q=texts,
    paths=st.lists(paths, max_size=2).map(tuple),
)
audit_filters = st.builds(
    AuditFilter,
    action=texts,
    resource_type=texts,
    resource_id=texts,
    user_id=texts,
    since=times,
    until=times,
    q=texts,
    paths=st.lists(paths, max_size=2).map(tuple),
)
filters_of_any_kind = action_filters | audit_filters


@given(record_ids(), filters_of_any_kind, any_text)
@modest
def test_a_cursor_leads_back_to_its_row(last: UUID, filters: Filters, scope: str) -> None:
    """Printable, short, and safe in a URL."""
    cursor = encode_cursor(last, filters, scope)
    assert decode_cursor(cursor, filters, scope) == last
    assert len(cursor) <= CURSOR_CHARS_MAX
    assert all(char.isalnum() or char in "-_" for char in cursor)
    assert cursor.isascii()


@given(
    record_ids(), st.tuples(filters_of_any_kind, any_text), st.tuples(filters_of_any_kind, any_text)
)
@modest
def test_a_cursor_of_another_list_is_invalid_input(
    last: UUID, mine: tuple[Filters, str], other: tuple[Filters, str]
) -> None:
    """Other filters, another scope, or both."""
    assume(mine != other)
    _assert_refused(encode_cursor(last, *mine), *other)


@given(record_ids(), action_filters, st.data())
@modest
def test_one_more_filter_is_another_list(
    last: UUID, filters: ActionFilter, data: st.DataObject
) -> None:
    """Filters that differ in a single field."""
    changes: dict[str, Any] = {"min_execution_time_ms": 1, "operation_id": "x", "status": ("x",)}
    name = data.draw(st.sampled_from(sorted(changes)))
    values = {field: getattr(filters, field) for field in ActionFilter.__slots__}
    assume(values[name] != changes[name])
    other = ActionFilter(**{**values, name: changes[name]})
    _assert_refused(encode_cursor(last, filters, "actions"), other, "actions")


@given(any_text | st.text("abcdefgh-_=+/ABC0123", max_size=40), filters_of_any_kind)
@modest
def test_any_other_string_is_invalid_input(cursor: str, filters: Filters) -> None:
    """And never another exception."""
    _assert_refused(cursor, filters, "actions")


@given(record_ids(), filters_of_any_kind, st.data())
@modest
def test_a_damaged_cursor_is_invalid_input_or_still_names_a_row(
    last: UUID, filters: Filters, data: st.DataObject
) -> None:
    """Cursors are bound to filters, not signed: within its list a caller may ask for any row."""
    cursor = encode_cursor(last, filters, "actions")
    position = data.draw(st.integers(0, len(cursor) - 1))
    char = data.draw(st.characters(exclude_categories=[]))
    try:
        found = decode_cursor(cursor[:position] + char + cursor[position + 1 :], filters, "actions")
    except InvalidInput:
        return
    assert is_record_id(found)


@given(positions, filters_of_any_kind, any_text)
@modest
def test_a_tails_cursor_leads_back_to_its_position(
    position: Position, filters: Filters, scope: str
) -> None:
    """Printable, short, and safe in a URL."""
    cursor = encode_position(position, filters, scope)
    assert decode_position(cursor, filters, scope) == position
    assert len(cursor) <= CURSOR_CHARS_MAX
    assert re.fullmatch(r"[A-Za-z0-9_=-]+", cursor)


@given(
    positions, st.tuples(filters_of_any_kind, any_text), st.tuples(filters_of_any_kind, any_text)
)
@modest
def test_a_tails_cursor_opens_no_other_list(
    position: Position, mine: tuple[Filters, str], other: tuple[Filters, str]
) -> None:
    """Of other filters or another scope, nor as a cursor of the other mode."""
    cursor = encode_position(position, *mine)
    _assert_refused(cursor, *mine)
    if mine != other:
        with pytest.raises(InvalidInput, match="other filters"):
            decode_position(cursor, *other)


@given(any_text | st.binary(max_size=48).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
@modest
def test_any_other_string_is_no_position(cursor: str) -> None:
    """And never another exception."""
    with pytest.raises(InvalidInput):
        decode_position(cursor, ActionFilter(), "actions")


def _assert_refused(cursor: str, filters: Filters, scope: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        decode_cursor(cursor, filters, scope)
    assert [error.field for error in refusal.value.errors] == ["after"]
