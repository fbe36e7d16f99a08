"""Plain payloads: those that cleaning would leave as they are, told by their JSON text.

Nearly all payloads are plain. One C call encodes them, and a few searches of the text show that a
walk would find nothing to do; whatever is in doubt takes the walk.
"""

import math
import re
from typing import Any

import orjson

# Python objects that orjson would turn into something else than cleaning does are left to the walk.
STRICT = (
    orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)
ESCAPE = re.compile(rb"\\(?:u[0-9a-f]{4}|.)")
LETTERS = bytes(range(256)).lower()
NO_LETTERS = bytes(
    code for code in range(256) if not chr(code).isascii() or not chr(code).isalnum()
)


def plain_text(value: Any, *, depth_max: int, secrets: re.Pattern[bytes]) -> bytes | None:
    """The JSON text of a plain value; None if it may not be plain.

    Args:
        depth_max: containers within containers that are plain.
        secrets: matches lower-case words; a value whose letters, put together, hold one is not
            plain.
    """
    try:
        text = orjson.dumps(value, option=STRICT)
    except (TypeError, RecursionError):  # no JSON type, an integer past 64 bits, a lone surrogate
        return None
    # orjson writes NaN and Infinity as null, and looks no deeper than 254 levels.
    doubtful = b"null" in text or text.count(b"{") + text.count(b"[") > depth_max
    if doubtful and not _is_plain(value, depth_max):
        return None
    if b"\\" in text:
        if b"\\u0000" in text:
            return None
        letters = ESCAPE.sub(b"", text)
    else:
        letters = text
    if _holds(letters, secrets):
        return None
    if not text.isascii() and _holds(letters.decode().lower().encode(), secrets):
        return None  # a Kelvin sign becomes a k in lower case
    return text


def _holds(text: bytes, secrets: re.Pattern[bytes]) -> bool:
    return secrets.search(text.translate(LETTERS, NO_LETTERS)) is not None


def _is_plain(value: Any, depth: int) -> bool:
    kind = type(value)
    if kind is dict:
        return depth > 0 and all(_is_plain(item, depth - 1) for item in value.values())
    if kind is list or kind is tuple:
        return depth > 0 and all(_is_plain(item, depth - 1) for item in value)
    if kind is float:
        return math.isfinite(value)
    return value is None or kind in (str, int, bool)
