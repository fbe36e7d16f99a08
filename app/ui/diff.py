"""What a change changed: before and after, leaf by leaf."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

ADDED, REMOVED, CHANGED, SAME = "added", "removed", "changed", "same"
LEAVES_MAX = 2_000  # of one change; a payload of 64 KiB may hold more, which nobody reads as a list
NOTHING: Any = object()


@dataclass(frozen=True, slots=True)
class Difference:
    """One leaf of two values.

    Args:
        path: its keys joined by dots, places in brackets.
        kind: added, removed, changed or same.
    """

    path: str
    kind: str
    before: Any = None
    after: Any = None


def differences(before: Any, after: Any) -> list[Difference]:
    """Every leaf of two JSON values, in the order of the first and then of the second."""
    found = []
    for difference in _compare("", before, after):
        found.append(difference)
        if len(found) == LEAVES_MAX:
            break
    return found


def of_changes(changes: dict[str, Any]) -> list[Difference]:
    """The leaves of an audit log's changes: a missing or null side holds nothing."""
    before, after = (
        NOTHING if changes.get(side) is None else changes[side] for side in ("before", "after")
    )
    return differences(before, after)


def altered(found: list[Difference]) -> list[Difference]:
    """Only what is not the same on both sides."""
    return [difference for difference in found if difference.kind != SAME]


def _compare(path: str, before: Any, after: Any) -> Iterator[Difference]:
    if before is NOTHING and after is NOTHING:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [*before, *(key for key in after if key not in before)]
        for key in keys:
            inner = f"{path}.{key}" if path else str(key)
            yield from _compare(inner, before.get(key, NOTHING), after.get(key, NOTHING))
    elif isinstance(before, list) and isinstance(after, list):
        for place in range(max(len(before), len(after))):
            sides = (side[place] if place < len(side) else NOTHING for side in (before, after))
            yield from _compare(f"{path}[{place}]", *sides)
    elif before is NOTHING:
        yield from _leaves(path, after, ADDED)
    elif after is NOTHING:
        yield from _leaves(path, before, REMOVED)
    else:
        # In Python 1 == True == 1.0, in JSON they differ.
        same = type(before) is type(after) and before == after
        yield Difference(path or "value", SAME if same else CHANGED, before, after)


def _leaves(path: str, value: Any, kind: str) -> Iterator[Difference]:
    """The leaves of a value that one side alone has; an empty container is a leaf."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(f"{path}.{key}" if path else str(key), item, kind)
    elif isinstance(value, list) and value:
        for place, item in enumerate(value):
            yield from _leaves(f"{path}[{place}]", item, kind)
    else:
        sides = {"after": value} if kind == ADDED else {"before": value}
        yield Difference(path or "value", kind, **sides)
