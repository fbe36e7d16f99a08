"""Plain payloads: those that a walk would leave as they are, told for a fraction of its price.

Nearly all payloads are plain. One C call encodes them, a look at names and types shows that a walk
would find nothing to do; whatever is in doubt takes the walk.
"""

import math
from functools import lru_cache
from typing import Any

import orjson

from .secret_names import secret_word

# Python objects that orjson would turn into something else than cleaning does are left to the walk.
STRICT = (
    orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)
# A provider's objects have the same names in the same order again and again: such a row of them is
# judged once. Callers could fill the memory with others, so not many are remembered.
REMEMBERED_BYTES_MAX = 8192  # of the payload whose names they are
FLAT = frozenset({str, int, bool, type(None)})


def encode_strictly(value: Any) -> bytes | None:
    """The JSON text of a value that JSON can hold as it is; None if there may be none.

    NaN and Infinity come out as null, and nothing is seen deeper than 254 levels.
    """
    try:
        return orjson.dumps(value, option=STRICT)
    except (TypeError, RecursionError):  # no JSON type, an integer past 64 bits, a lone surrogate
        return None


def is_plain(value: Any, text: bytes, depth_max: int) -> bool:
    """Whether a walk would leave a value alone, but for secrets in its texts.

    Args:
        value: what `encode_strictly` made the text of.
        depth_max: containers within containers that are plain.
    """
    if b"\\u0000" in text:  # NUL, or a text that speaks of it
        return False
    return _is_plain(value, depth_max, len(text) <= REMEMBERED_BYTES_MAX)


def _is_plain(value: Any, depth: int, small: bool) -> bool:
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return True
    if kind is dict:
        if not depth:
            return False
        if small and FLAT.issuperset(map(type, value.values())) and _harmless(tuple(value)):
            return True
        for name, item in value.items():
            if item is not None and secret_word(name):
                return False
            if type(item) is not str and not _is_plain(item, depth - 1, small):
                return False
        return True
    if kind is list or kind is tuple:
        return depth > 0 and all(_is_plain(item, depth - 1, small) for item in value)
    return kind is float and math.isfinite(value)


@lru_cache(maxsize=512)
def _harmless(names: tuple[str, ...]) -> bool:
    """Whether none of these names, of JSON objects that have no others, holds a secret word."""
    return not any(map(secret_word, names))
