"""Cleaning of payloads before they reach any disk: secrets masked, the unstorable repaired.

One walk copies the value, so that what the caller does to it afterwards changes no record. What
the walk altered is reported by path; nothing else differs from the original.
"""

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from itertools import pairwise
from typing import Any
from uuid import UUID

from .codec import dump_json
from .plain import plain_text
from .records import JsonText

SECRET_WORDS = (
    *("password", "passwd", "passphrase", "secret", "token", "authorization", "cookie"),
    *("credential", "apikey", "privatekey"),
)
SECRET_LETTERS = re.compile("|".join(SECRET_WORDS).encode())
# "token_count" and the like measure a secret's kind, they do not hold one.
MEASURING_WORDS = frozenset({"count", "limit", "length", "type", "usage", "expiry", "expires"})
PLAIN_WORD = re.compile(r"[a-z]+|[0-9]+")
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
MASK = "[redacted: {}]"
DEPTH_MAX = 64  # deeper than any provider's answer; Postgres itself stops at some thousands
DIGITS_MAX = 4_000  # Python refuses to print integers past 4,300 digits
PREVIEW_CHARS = 1_024
PATHS_MAX = 50  # of one reason; the rest is not listed, so that a record stays small
PATH_CHARS_MAX = 300
CACHED_KEY_CHARS_MAX = 100  # longer keys are rare, and callers could fill the memory with them


@dataclass(slots=True)
class Alterations:
    """What cleaning changed, as lists of JSON paths by reason."""

    paths: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, path: str) -> None:
        """Note that the value at `path` was changed for `reason`."""
        noted = self.paths.setdefault(reason, [])
        if len(noted) < PATHS_MAX:
            noted.append(path[:PATH_CHARS_MAX])


def clean(value: Any, *, name: str, bytes_max: int, alterations: Alterations) -> Any:
    """A copy of `value` made of JSON types, without secrets, at most `bytes_max` bytes long.

    Args:
        value: any Python value; what JSON cannot hold becomes text.
        name: the record's field, which starts every reported path.
        bytes_max: bound of the JSON text, in bytes; past it a mark stands in its place.
        alterations: receives what was changed.
    """
    copy = _copy(value, name, (), alterations)
    encoded = dump_json(copy)
    return copy if len(encoded) <= bytes_max else _truncated(encoded, name, alterations)


def clean_text(value: Any, *, name: str, bytes_max: int, alterations: Alterations) -> JsonText:
    """The JSON text of what `clean` returns, for less."""
    text = plain_text(value, depth_max=DEPTH_MAX, secrets=SECRET_LETTERS)
    if text is None:
        text = dump_json(_copy(value, name, (), alterations))
    if len(text) > bytes_max:
        text = dump_json(_truncated(text, name, alterations))
    return JsonText(text)


def _truncated(encoded: bytes, name: str, alterations: Alterations) -> dict[str, Any]:
    alterations.add("truncated", name)
    return {
        "truncated": True,
        "size_bytes": len(encoded),
        "sha256": hashlib.sha256(encoded).hexdigest(),
        "preview": encoded[:PREVIEW_CHARS].decode("utf-8", "ignore"),
    }


@lru_cache(maxsize=4096)
def secret_word(key: str) -> str | None:
    """The secret word that a key's name holds, whatever its case and separators, or None."""
    words = [word.lower() for word in WORD.findall(key)]
    return _secret_among(words) or _secret_among(PLAIN_WORD.findall(key.lower()))


def _secret_among(words: list[str]) -> str | None:
    if not words or words[-1] in MEASURING_WORDS:
        return None
    joined = "".join(words)
    for secret in SECRET_WORDS:
        if joined.endswith((secret, secret + "s")) or secret in words or secret + "s" in words:
            return secret
        if any(first + second == secret for first, second in pairwise(words)):
            return secret
    return None


def _copy(value: Any, path: str, inside: tuple[int, ...], alterations: Alterations) -> Any:
    """The copy of a value within the containers whose ids are `inside`, outermost first."""
    if value is None or value is True or value is False:
        return value
    if isinstance(value, Enum):
        return _copy(value.value, path, inside, alterations)
    if isinstance(value, str):
        return _storable(value, path, alterations)
    if isinstance(value, int | float):
        return _number(value, path, alterations)
    bar = _bar(value, inside)
    if bar:
        reason, mark = bar
        alterations.add(reason, path)
        return mark
    inside = (*inside, id(value))
    if isinstance(value, Mapping):
        return _copy_object(value, path, inside, alterations)
    if isinstance(value, list | tuple | set | frozenset):
        return [
            _copy(item, f"{path}[{index}]", inside, alterations) for index, item in enumerate(value)
        ]
    return _storable(_as_text(value), path, alterations)


def _bar(value: Any, inside: tuple[int, ...]) -> tuple[str, str] | None:
    """Why a container is not entered, and the mark that stands in its place."""
    if len(inside) >= DEPTH_MAX:
        return "too_deep", "[deeper than 64 levels]"
    if id(value) in inside:  # depth alone would let a small circle be copied 10^32 times
        return "circular", "[contains itself]"
    return None


def _copy_object(
    value: Mapping[Any, Any], path: str, inside: tuple[int, ...], alterations: Alterations
) -> dict[str, Any]:
    copy: dict[str, Any] = {}
    for original, item in value.items():
        key = _storable(original if isinstance(original, str) else str(original), path, alterations)
        if key in copy:  # 1 and "1", or two keys that were repaired
            key = f"{key} #{len(copy)}"
            alterations.add("repaired", path)
        inner = f"{path}.{key}"
        judge = secret_word if len(key) <= CACHED_KEY_CHARS_MAX else secret_word.__wrapped__
        word = judge(key)
        if word and item is not None:
            alterations.add("redacted", inner)
            copy[key] = MASK.format(word)
        else:
            copy[key] = _copy(item, inner, inside, alterations)
    return copy


def _storable(value: str, path: str, alterations: Alterations) -> str:
    """Postgres holds neither NUL nor lone surrogates: U+FFFD stands in for each."""
    if value.isascii() and "\x00" not in value:
        return value
    safe = value.replace("\x00", "\ufffd")
    try:
        safe.encode()
    except UnicodeEncodeError:
        safe = re.sub("[\ud800-\udfff]", "\ufffd", safe)
    if safe != value:
        alterations.add("repaired", path)
    return safe


def _number(value: float, path: str, alterations: Alterations) -> Any:
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        alterations.add("repaired", path)
        return str(value)  # JSON knows neither NaN nor Infinity
    if value.bit_length() > DIGITS_MAX * 3:
        alterations.add("repaired", path)
        return "[integer of more than 3,600 digits]"
    return int(value)


def _as_text(value: Any) -> str:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, UUID | Decimal):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(bytes(value))} bytes, sha256 {hashlib.sha256(value).hexdigest()}]"
    return _shown(value)


def _shown(value: Any) -> str:
    """The repr of a foreign object, unless it names a secret: what follows might be it."""
    try:
        shown = repr(value)[:PREVIEW_CHARS]
    except Exception:
        return f"[unprintable {type(value).__name__}]"
    letters = "".join(PLAIN_WORD.findall(shown.lower()))
    if any(secret in letters for secret in SECRET_WORDS):
        return MASK.format(type(value).__name__)
    return shown
