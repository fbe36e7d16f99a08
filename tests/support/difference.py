"""Where two JSON values differ: the oracle of every promise that a value comes back as it was."""

from collections.abc import Iterator
from typing import Any


def differences(given: Any, found: Any, path: str = "") -> Iterator[str]:
    """The paths at which `found` is not `given`, as cleaning names them.

    Integers are equal to the last digit. Floats are equal as floats, since Postgres writes 1e300
    with all its digits and has no negative zero. 1 is not true.
    """
    if isinstance(given, dict) and isinstance(found, dict):
        if given.keys() != found.keys():
            yield path
        for key in given.keys() & found.keys():
            yield from differences(given[key], found[key], f"{path}.{key}")
    elif isinstance(given, list) and isinstance(found, list):
        if len(given) != len(found):
            yield path
        for index, (one, other) in enumerate(zip(given, found, strict=False)):
            yield from differences(one, other, f"{path}[{index}]")
    elif not _same_scalar(given, found):
        yield path


def _same_scalar(given: Any, found: Any) -> bool:
    if isinstance(given, bool) != isinstance(found, bool):
        return False
    if isinstance(given, float) and isinstance(found, int):
        return float(found) == given
    return isinstance(given, float) == isinstance(found, float) and bool(given == found)
