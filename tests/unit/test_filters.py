"""Cursors: opaque, bound to one list, and never a server error."""

import base64
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from app.domain.filters import (
    CURSOR_CHARS_MAX,
    ActionFilter,
    AuditFilter,
    Page,
    decode_cursor,
    encode_cursor,
)
from app.domain.paths import PathFilter
from app.domain.tail import Position, encode_position
from app.errors import InvalidInput

FILTERS = ActionFilter(action_type=("crm_get",), since=datetime(2026, 1, 1, tzinfo=UTC))
WITHOUT_TIME = UUID("5e0f6a1c-9a3c-4f63-8a5b-2f1d7c64b0aa")  # of version 4


def test_a_cursor_goes_on_after_the_row_it_was_made_for() -> None:
    """With the filters and the list it was made with."""
    last = uuid7()
    cursor = encode_cursor(last, FILTERS, "actions")
    assert decode_cursor(cursor, FILTERS, "actions") == last
    assert len(cursor) <= CURSOR_CHARS_MAX


@pytest.mark.parametrize(
    ("filters", "scope"),
    [
        (replace(FILTERS, status=("failure",)), "actions"),
        (replace(FILTERS, since=None), "actions"),
        (ActionFilter(), "actions"),
        (FILTERS, "audits"),
        (AuditFilter(), "actions"),
    ],
)
def test_a_cursor_of_another_list_is_refused_with_what_to_do(
    filters: ActionFilter | AuditFilter, scope: str
) -> None:
    """Other filters or another list: the sentence says so."""
    cursor = encode_cursor(uuid7(), FILTERS, "actions")
    with pytest.raises(InvalidInput, match="made for other filters") as refusal:
        decode_cursor(cursor, filters, scope)
    assert [error.field for error in refusal.value.errors] == ["after"]


def test_empty_filters_of_the_two_logs_are_not_the_same_list() -> None:
    """Their names would otherwise be the only difference."""
    cursor = encode_cursor(uuid7(), ActionFilter(), "logs")
    with pytest.raises(InvalidInput):
        decode_cursor(cursor, AuditFilter(), "logs")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "====",
        "é",
        "\ud800",
        "\x00",
        "a" * CURSOR_CHARS_MAX,
        base64.urlsafe_b64encode(b"x" * 24).decode(),
        base64.urlsafe_b64encode(b"x" * 23).decode(),
        base64.urlsafe_b64encode(WITHOUT_TIME.bytes + b"x" * 8).decode(),
    ],
)
def test_a_string_that_is_no_cursor_is_refused(cursor: str) -> None:
    """As invalid input, whatever its bytes."""
    with pytest.raises(InvalidInput, match="not a cursor of this API"):
        decode_cursor(cursor, FILTERS, "actions")


def test_a_cursor_of_today_opens_tomorrow() -> None:
    """Readers keep a tail's cursor for weeks: only what is set may count, in this very form."""
    batch = UUID("0198c0de-0000-7000-8000-000000000001")
    last = UUID("0198c0de-0000-7000-8000-000000000002")
    for filters, cursor in (
        (ActionFilter(), "AZjA3gAAcACAAAAAAAAAAQGYwN4AAHAAgAAAAAAAAALM2j66j9IhPQ=="),
        (
            replace(FILTERS, q="x", paths=(PathFilter("payload", ("a", "b"), "1"),)),
            "AZjA3gAAcACAAAAAAAAAAQGYwN4AAHAAgAAAAAAAAAJGUL2KIS3nNA==",
        ),
        (AuditFilter(user_id="jane"), "AZjA3gAAcACAAAAAAAAAAQGYwN4AAHAAgAAAAAAAAAJzQXfD8ppHEA=="),
    ):
        assert encode_position(Position(batch, last), filters, "s") == cursor


def test_a_page_starts_at_the_newest_row() -> None:
    """Neither skip nor after unless asked."""
    assert Page(limit=10) == Page(limit=10, skip=0, after=None)
