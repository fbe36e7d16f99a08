"""Filters by a place inside JSON: payload.contact.email=… names a field, keys and a value."""

from dataclasses import dataclass

from ..errors import FieldError, InvalidInput

PATH_KEYS_MAX = 8  # levels below the field; each costs a step for every record looked at
PATH_KEY_CHARS_MAX = 100
PATH_VALUE_CHARS_MAX = 1000
PATHS_MAX = 5  # of one field; each costs about 0.3 µs for every record looked at


@dataclass(frozen=True, slots=True, order=True)
class PathFilter:
    """The scalar at `keys` inside the JSON field `root` has the text `value`.

    A string's text is itself, a number's and a boolean's as JSON writes it; null has none. A key of
    digits is also a place in an array, counted from 0.
    """

    root: str
    keys: tuple[str, ...]
    value: str


def read_path(name: str, value: str) -> PathFilter:
    """The filter that a parameter names, such as payload.items.0.sku.

    Raises:
        InvalidInput: names the parameter and the rule it breaks.
    """
    root, *keys = name.split(".")
    if not keys or not all(keys):
        raise _bad(name, f"must name keys between single dots, as in {root}.contact.email")
    if len(keys) > PATH_KEYS_MAX:
        raise _bad(name, f"must have at most {PATH_KEYS_MAX} keys")
    if any(len(key) > PATH_KEY_CHARS_MAX for key in keys):
        raise _bad(name, f"must have keys of at most {PATH_KEY_CHARS_MAX} characters")
    if len(value) > PATH_VALUE_CHARS_MAX:
        raise _bad(name, f"must have a value of at most {PATH_VALUE_CHARS_MAX} characters")
    return PathFilter(root, tuple(keys), value)


def _bad(name: str, rule: str) -> InvalidInput:
    shown = name if len(name) <= PATH_VALUE_CHARS_MAX else f"{name[:PATH_VALUE_CHARS_MAX]}…"
    return InvalidInput(FieldError(shown, rule))
