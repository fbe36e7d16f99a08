"""PATH filters: parameter names that lead into JSON, read strictly."""

import pytest

from app.domain.paths import (
    PATH_KEY_CHARS_MAX,
    PATH_KEYS_MAX,
    PATH_VALUE_CHARS_MAX,
    PathFilter,
    read_path,
)
from app.errors import InvalidInput


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("payload.email", ("email",)),
        ("payload.items.0.sku", ("items", "0", "sku")),
        ("payload.a b.%{}", ("a b", "%{}")),
        ("payload" + ".k" * PATH_KEYS_MAX, ("k",) * PATH_KEYS_MAX),
        ("payload." + "k" * PATH_KEY_CHARS_MAX, ("k" * PATH_KEY_CHARS_MAX,)),
    ],
)
def test_a_name_is_a_field_and_keys_between_dots(name: str, keys: tuple[str, ...]) -> None:
    """Up to the bounds; the value may be empty."""
    assert read_path(name, "") == PathFilter("payload", keys, "")
    assert read_path(name, "x" * PATH_VALUE_CHARS_MAX).value == "x" * PATH_VALUE_CHARS_MAX


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("payload", "x", "between single dots"),
        ("payload.", "x", "between single dots"),
        ("payload.a..b", "x", "between single dots"),
        ("payload" + ".k" * (PATH_KEYS_MAX + 1), "x", "at most 8 keys"),
        ("payload." + "k" * (PATH_KEY_CHARS_MAX + 1), "x", "at most 100 characters"),
        ("payload.a", "x" * (PATH_VALUE_CHARS_MAX + 1), "at most 1000 characters"),
    ],
)
def test_a_bad_path_is_refused_by_name_with_its_rule(name: str, value: str, rule: str) -> None:
    """Syntax, depth and length."""
    with pytest.raises(InvalidInput, match=rule) as refusal:
        read_path(name, value)
    assert [error.field for error in refusal.value.errors] == [name]
