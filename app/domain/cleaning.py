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
from typing import Any
from uuid import UUID

from .codec import dump_json
from .places import WHOLE_FIELDS, Path
from .plain import encode_strictly, is_plain
from .policy import NO_POLICY, Mode, Policy, PolicyRule
from .records import JsonText
from .secret_names import holds_secret_letters, names_number, secret_word
from .secret_values import (
    CARD_RULE,
    MASK,
    MASKED,
    VALUE_RULES,
    ValueRule,
    is_card_number,
    mask_text,
    suspected,
)

DEPTH_MAX = 64  # deeper than any provider's answer; Postgres itself stops at some thousands
DIGITS_MAX = 4_000  # Python refuses to print integers past 4,300 digits
VALUES_MAX = 100_000  # of one field; more than fit into any bound of ours, but cost a second
PREVIEW_CHARS = 1_024
PATHS_MAX = 50  # of one reason; the rest is not listed, so that a record stays small
PATH_CHARS_MAX = 300
KEY_CHARS_MAX = 100  # longer ones are rare, and callers could fill the memory with them

NOTHING = object()


@dataclass(slots=True)
class Alterations:
    """What cleaning changed, as lists of JSON paths by reason."""

    paths: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, path: str) -> None:
        """Note that the value at `path` was changed for `reason`."""
        noted = self.paths.setdefault(reason, [])
        if len(noted) < PATHS_MAX:
            noted.append(path[:PATH_CHARS_MAX])

    @classmethod
    def noted_in(cls, metadata: Mapping[str, Any]) -> "Alterations":
        """A copy of what a record's metadata say was changed; a caller may have put in anything."""
        notes = metadata.get("cleaned")
        if not isinstance(notes, dict) or not all(isinstance(at, list) for at in notes.values()):
            return cls()
        return cls({reason: list(map(str, paths)) for reason, paths in notes.items()})

    def add_rule(self, rule: PolicyRule) -> None:
        """Note that a rule of the tenant's policy found something, once."""
        if str(rule) not in self.paths.setdefault("policy", []):
            self.add("policy", str(rule))


def clean(
    value: Any,
    *,
    name: str,
    bytes_max: int,
    alterations: Alterations,
    policy: Policy = NO_POLICY,
) -> Any:
    """A copy of `value` made of JSON types, without secrets, at most `bytes_max` bytes long.

    Args:
        value: any Python value; what JSON cannot hold becomes text.
        name: the record's field, which starts every reported path.
        bytes_max: bound of the JSON text, in bytes; past it a mark stands in its place.
        alterations: receives what was changed.
        policy: of the record's tenant.
    """
    text = encode_strictly(value)
    rules = VALUE_RULES if text is None else suspected(text)
    copy = _Walk(rules, alterations, policy).field(value, name)
    encoded = dump_json(copy)
    return copy if len(encoded) <= bytes_max else truncated(encoded, name, alterations)


def clean_text(
    value: Any,
    *,
    name: str,
    bytes_max: int,
    alterations: Alterations,
    policy: Policy = NO_POLICY,
) -> JsonText:
    """The JSON text of what `clean` returns, for less."""
    text = encode_strictly(value)
    rules = VALUE_RULES if text is None else suspected(text)
    few = text is not None and len(text) < VALUES_MAX  # each has a character of its own
    easy = few and not rules and policy.empty
    if text is None or not easy or not is_plain(value, text, DEPTH_MAX):
        text = dump_json(_Walk(rules, alterations, policy).field(value, name))
    if len(text) > bytes_max:
        text = dump_json(truncated(text, name, alterations))
    return JsonText(text)


def truncated(encoded: bytes, name: str, alterations: Alterations) -> dict[str, Any]:
    """The mark that stands for a JSON text that is too large: its size, its hash, its beginning."""
    alterations.add("truncated", name)
    return {
        "truncated": True,
        "size_bytes": len(encoded),
        "sha256": hashlib.sha256(encoded).hexdigest(),
        "preview": encoded[:PREVIEW_CHARS].decode("utf-8", "ignore"),
    }


@dataclass(slots=True)
class _Walk:
    """One copying, by those value rules that may find something, and the tenant's policy."""

    rules: tuple[ValueRule, ...]
    alterations: Alterations
    policy: Policy = NO_POLICY
    left: int = VALUES_MAX

    def field(self, value: Any, name: str) -> Any:
        """The copy of a whole field; None where the policy drops it."""
        path = (None, name)
        rule = self.policy.rule_at(path) if name in WHOLE_FIELDS else None
        if rule is None:
            return self.copy(value, path, ())
        concealed = self._concealed(value, rule, path)
        return None if concealed is NOTHING else concealed

    def copy(self, value: Any, path: Path, inside: tuple[int, ...]) -> Any:
        """The copy of a value within the containers whose ids are `inside`, outermost first."""
        if value is None or value is True or value is False:
            return value
        if isinstance(value, Enum):
            return self.copy(value.value, path, inside)
        if isinstance(value, str):
            return self._text(value, path)
        if isinstance(value, int | float):
            return self._number(value, path)
        bar = self._bar(value, inside)
        if bar:
            reason, mark = bar
            self._note(reason, path)
            return mark
        inside = (*inside, id(value))
        if isinstance(value, Mapping):
            return self._object(value, path, inside)
        if isinstance(value, list | tuple | set | frozenset):
            return self._list(value, path, inside)
        return self._text(self._foreign(value), path)

    def _foreign(self, value: Any) -> str:
        """The text of a value that JSON does not have."""
        text = _as_text(value)
        return self.policy.mask if self.policy.names_any_in(text) else text

    def _bar(self, value: Any, inside: tuple[int, ...]) -> tuple[str, str] | None:
        """Why a container is not entered, and the mark that stands in its place."""
        if len(inside) >= DEPTH_MAX:
            return "too_deep", "[deeper than 64 levels]"
        if id(value) in inside:  # depth alone would let a small circle be copied 10^32 times
            return "circular", "[contains itself]"
        if isinstance(value, Mapping | list | tuple | set | frozenset):
            self.left -= len(value)
        if self.left < 0:
            return "too_many", f"[more than {VALUES_MAX} values]"
        return None

    def _object(
        self, value: Mapping[Any, Any], path: Path, inside: tuple[int, ...]
    ) -> dict[str, Any]:
        copy: dict[str, Any] = {}
        searches = [rule.search for rule in self.rules]
        rule_at = None if self.policy.empty else self.policy.rule_at
        for original, item in value.items():
            known = type(original) is str and len(original) <= KEY_CHARS_MAX
            key, word = _remembered_key(original) if known else (None, None)
            if key is None:
                key = self._text(original if isinstance(original, str) else str(original), path)
                word = secret_word(MASKED.sub("", key))  # a mask is named like what it masks
            rule = rule_at((path, key)) if rule_at else None
            if key in copy:  # 1 and "1", or two keys that were repaired
                key = f"{key} #{len(copy)}"
                self._note("repaired", path)
            if rule is not None and (word is None or rule.mode is Mode.DROP):
                concealed = self._concealed(item, rule, (path, key))
                if concealed is not NOTHING:
                    copy[key] = concealed
            elif word and item is not None:
                self._note("redacted", (path, key))
                copy[key] = MASK.format(word)
            elif type(item) is str:  # nearly all are, and nearly all of these stay as they are
                for search in searches:
                    if search(item):
                        copy[key] = self._text(item, (path, key))
                        break
                else:
                    clear = item.isascii() and "\x00" not in item
                    copy[key] = item if clear else self._text(item, (path, key))
            else:
                copy[key] = self.copy(item, (path, key), inside)
        return copy

    def _list(self, value: Any, path: Path, inside: tuple[int, ...]) -> list[Any]:
        if self.policy.empty:
            return [self.copy(item, (path, index), inside) for index, item in enumerate(value)]
        copies = []
        for index, item in enumerate(value):
            place = (path, index)
            rule = self.policy.rule_at(place)
            copies.append(
                self._concealed(item, rule, place) if rule else self.copy(item, place, inside)
            )
        return [copy for copy in copies if copy is not NOTHING]

    def _concealed(self, value: Any, rule: PolicyRule, path: Path) -> Any:
        """What stands for a value that a rule of the policy is about; NOTHING where it is dropped.

        A null is left: that there is nothing is nothing to conceal.
        """
        if rule.mode is Mode.DROP:
            text, reason = NOTHING, "dropped"
        elif value is None:
            return None
        else:
            bare = _Walk((), Alterations(), left=self.left).copy(value, path, ())
            text, reason = self.policy.stand_in(rule, bare)
        self._note(reason, path)
        self.alterations.add_rule(rule)
        return text

    def _text(self, value: str, path: Path) -> str:
        if not value.isascii() or "\x00" in value:
            value = self._repaired(value, path)
        for rule in self.rules:
            if rule.search(value):
                return value if _is_id(value, path) else self._masked(value, path)
        return value

    def _repaired(self, value: str, path: Path) -> str:
        safe = storable(value)
        if safe != value:
            self._note("repaired", path)
        return safe

    def _masked(self, value: str, path: Path) -> str:
        masked = mask_text(value, self.rules)
        if masked != value:
            self._note("redacted", path)
        return masked

    def _number(self, value: float, path: Path) -> Any:
        if isinstance(value, float):
            if math.isfinite(value):
                return float(value)
            self._note("repaired", path)
            return str(value)  # JSON knows neither NaN nor Infinity
        if value.bit_length() > DIGITS_MAX * 3:
            self._note("repaired", path)
            return "[integer of more than 3,600 digits]"
        if CARD_RULE in self.rules and value.bit_length() < 64 and is_card_number(str(value)):
            shown = self._text(str(value), path)
            return int(value) if shown.isdigit() else shown
        return int(value)

    def _note(self, reason: str, path: Path) -> None:
        self.alterations.add(reason, _shown_path(path))


@lru_cache(maxsize=4096)
def _remembered_key(key: str) -> tuple[str | None, str | None]:
    """A key that is kept as it is, and the secret word that it holds; no key if it is not."""
    if storable(key) != key or "[redacted: " in key or mask_text(key) != key:
        return None, None
    return key, secret_word(key)


def _is_id(value: str, path: Path) -> bool:
    """Whether a text is nothing but digits, and the name it stands under says that they number
    something: one in ten numbers like a card's has the right check digit by chance.
    """
    if not (value.isascii() and value.isdigit()):
        return False
    around: Path | None = path
    while around is not None and isinstance(around[1], int):  # lists go by their own name
        around = around[0]
    return around is not None and names_number(str(around[1]))


def _shown_path(path: Path) -> str:
    around, last = path
    if around is None:
        return str(last)
    return _shown_path(around) + (f"[{last}]" if isinstance(last, int) else f".{last}")


def storable(value: str) -> str:
    """Postgres holds neither NUL nor lone surrogates: U+FFFD stands in for each."""
    if value.isascii() and "\x00" not in value:
        return value
    safe = value.replace("\x00", "\ufffd")
    try:
        safe.encode()
    except UnicodeEncodeError:
        safe = re.sub("[\ud800-\udfff]", "\ufffd", safe)
    return safe


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
    if holds_secret_letters(shown):
        return MASK.format(type(value).__name__)
    return shown
