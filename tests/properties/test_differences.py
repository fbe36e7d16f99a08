"""Differences: what they say of two values is enough to make the one of the other."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.ui.diff import SAME, altered, differences, of_changes

LEAVES = st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner),
    max_leaves=12,
)


def exactly(one: Any) -> str:
    """A value with its types, since in Python 1 == True."""
    return repr(one)


@given(JSON)
def test_a_value_does_not_differ_from_itself(value: Any) -> None:
    """Whatever it is."""
    assert altered(differences(value, value)) == []


@given(JSON, JSON)
def test_what_differs_is_told(before: Any, after: Any) -> None:
    """Two values without a difference are the same, to the type."""
    told = altered(differences(before, after))
    # Containers that are both empty of leaves leave nothing to tell of.
    if not told and not isinstance(before, dict | list):
        assert exactly(before) == exactly(after)


@given(JSON, JSON)
def test_the_other_way_round_added_is_removed(before: Any, after: Any) -> None:
    """One is the mirror of the other."""
    turned = {"added": "removed", "removed": "added"}
    there = {(one.path, one.kind) for one in differences(before, after)}
    back = {(one.path, turned.get(one.kind, one.kind)) for one in differences(after, before)}
    assert there == back


@given(st.dictionaries(st.text("abc", min_size=1, max_size=2), LEAVES))
def test_a_side_that_is_missing_holds_nothing(value: dict[str, Any]) -> None:
    """Of a creation all is added, of a removal all removed; null is as good as missing."""
    for empty in ({}, {"before": None}):
        found = of_changes({**empty, "after": value})
        assert {one.kind for one in found} <= {"added"}
        assert len(found) == max(len(value), 1)
    assert {one.kind for one in of_changes({"before": value, "after": None})} <= {"removed"}
    assert of_changes({"before": None, "after": None}) == []


def test_the_type_counts() -> None:
    """1, true and 1.0 are three things in JSON."""
    found = differences({"a": 1, "b": 1, "c": 1}, {"a": True, "b": 1.0, "c": 1})
    assert [one.kind for one in found] == ["changed", "changed", SAME]
