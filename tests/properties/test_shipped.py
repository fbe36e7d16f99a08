"""Records as items of the ingest API: whatever they hold, what arrives is what was sent."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.codec import COLUMNS, encode
from app.domain.records import Record
from app.domain.shipped import BYTES_MAX, ITEMS_MAX, item_of, parts
from tests.properties.test_codec import actions, audits, modest
from tests.support.samples import action


@modest
@given(record=actions | audits)
def test_an_item_has_what_its_record_has(record: Record) -> None:
    """Every field but the time, which the id has; what is null is left out."""
    item: dict[str, Any] = json.loads(item_of(encode(record)))
    assert item.pop("kind") == record.kind.value
    for name in COLUMNS[record.kind]:
        value = getattr(record, name)
        if name == "created_at" or value is None or (name == "metadata" and not value):
            assert name not in item
        else:
            held = value if isinstance(value, dict | list | int | float | bool) else str(value)
            assert item.pop(name) == held
    assert not item


@modest
@given(sizes=st.lists(st.sampled_from([2, 100, BYTES_MAX // 3, BYTES_MAX]), max_size=12))
def test_parts_are_all_there_is_within_bounds(sizes: list[int]) -> None:
    """In order, none empty, each within the bytes of one request."""
    items = [b"x" * size for size in sizes]
    found = list(parts(items))
    assert [item for part in found for item in part] == items
    assert all(part for part in found)
    assert all(len(part) == 1 or sum(map(len, part)) <= BYTES_MAX for part in found)


def test_no_request_has_more_items_than_are_taken() -> None:
    """A thousand, however small."""
    assert [len(part) for part in parts([b"{}"] * (2 * ITEMS_MAX + 1))] == [ITEMS_MAX, ITEMS_MAX, 1]


@pytest.mark.parametrize("line", [b"", b"x\t1", encode(action())[:-9].rpartition(b"\t")[0]])
def test_a_line_that_is_no_record_is_refused(line: bytes) -> None:
    """By its kind, or by its cells."""
    with pytest.raises(ValueError, match="not a record"):
        item_of(line)
