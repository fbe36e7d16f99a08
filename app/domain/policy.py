"""A tenant's redaction policy: what of its records is masked, hashed or dropped beyond the rules
that hold for all.

A rule names a key, wherever it stands, or a path, and what becomes of the value there.
"""

import hmac
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from ..errors import FieldError, InvalidInput
from .codec import canonical_json
from .places import (
    JSON_FIELDS,
    NAME_CHARS_MAX,
    TEXT_FIELDS,
    WHOLE_FIELDS,
    Path,
    Steps,
    bare_name,
    leads,
    read_steps,
)

POLICY_MASK = "[redacted: policy]"
WITHHELD_MASK = "[redacted: policy_unknown]"
HASH_MASK = "[hashed: {}]"
HASH_BYTES = 16  # of the 32: equal by chance in 1 of 2^128, and short enough for ip_address

RULES_MAX = 100  # of one tenant; each rule on a path costs a look at values of its last name
PATH_CHARS_MAX = 300

_KEY_RULE = f"must be a text of 1 to {NAME_CHARS_MAX} characters with a letter or digit in it"
_PATH_RULE = (
    f"must be a path such as request_payload.contacts[*].email or changes.after['first name'],"
    f" of at most {PATH_CHARS_MAX} characters, that starts with one of"
    f" {', '.join((*JSON_FIELDS, *TEXT_FIELDS))}"
)
_DEEPER_RULE = "must name what is masked within the field, as in {0}.*, not the field itself"


class Mode(StrEnum):
    """What becomes of a value."""

    MASK = "mask"
    HASH = "hash"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """One rule, as it is written: a key or a path, and the mode."""

    mode: Mode
    key: str | None = None
    path: str | None = None

    def __str__(self) -> str:
        return f"{self.key or self.path}={self.mode}"

    def as_json(self) -> dict[str, str]:
        """The rule as the tenant's settings hold it."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class Policy:
    """The rules of one tenant, ready to be asked.

    Args:
        hash_key: the tenant's own key of hashes; without any, what was to be hashed is masked.
        mask: what stands for a masked value.
    """

    def __init__(
        self, rules: Iterable[PolicyRule], hash_key: bytes | None, mask: str = POLICY_MASK
    ) -> None:
        self.mask = mask
        self._hash_key = hash_key
        self._by_key: dict[str, PolicyRule] = {}
        self._by_end: dict[str | int | None, list[tuple[Steps, PolicyRule]]] = {}
        rules = tuple(rules)
        self.empty = not rules
        for rule in rules:
            if rule.path is None:
                self._by_key[bare_name(str(rule.key))] = rule
            else:
                steps = read_steps(rule.path)
                self._by_end.setdefault(steps[-1], []).append((steps, rule))

    def rule_at(self, path: Path) -> PolicyRule | None:
        """The rule for the value at a place; one by path goes before one by key."""
        end: str | int = path[1]
        for last in (end, None):
            for steps, rule in self._by_end.get(last, ()):
                if leads(steps, path):
                    return rule
        return self._by_key.get(bare_name(end)) if isinstance(end, str) else None

    def names_any_in(self, text: str) -> bool:
        """Whether a text has the name of a key in it, whose value might follow."""
        bare = bare_name(text)
        return any(name in bare for name in self._by_key)

    def stand_in(self, rule: PolicyRule, value: Any) -> tuple[str, str]:
        """What stands for a value that is masked or hashed, and what to note of it.

        Args:
            value: made of JSON types.
        """
        if rule.mode is Mode.HASH and self._hash_key is not None:
            digest = hmac.digest(self._hash_key, canonical_json(value), "sha256")
            return HASH_MASK.format(digest[:HASH_BYTES].hex()), "hashed"
        return self.mask, "redacted"


NO_POLICY = Policy((), None)

# For a tenant whose policy is not known: all that a policy could mask is.
WITHHOLD = Policy(
    [
        PolicyRule(Mode.MASK, path=path)
        for path in (*WHOLE_FIELDS, *(f"{field}.*" for field in JSON_FIELDS[2:]))
    ],
    None,
    WITHHELD_MASK,
)


def tenant_hash_key(platform_key: str, tenant_id: UUID) -> bytes | None:
    """The key of a tenant's hashes, so that those of two tenants cannot be matched.

    Args:
        platform_key: the setting; where it is empty there is none.
    """
    if not platform_key:
        return None
    return hmac.digest(platform_key.encode(), b"redaction\x00" + tenant_id.bytes, "sha256")


def read_rules(value: object, name: str = "redaction") -> tuple[PolicyRule, ...]:
    """The rules of a tenant's settings: a list of {"key" or "path": …, "mode": …}.

    Raises:
        InvalidInput: names every part that is wrong, and the rule it breaks.
    """
    if not isinstance(value, list) or len(value) > RULES_MAX:
        raise InvalidInput(FieldError(name, f"must be a list of at most {RULES_MAX} rules"))
    errors: list[FieldError] = []
    rules: list[PolicyRule] = []
    seen: dict[object, str] = {}
    for index, item in enumerate(value):
        at = f"{name}[{index}]"
        wrong = list(_wrong_in(item, at))
        errors += wrong
        if wrong:
            continue
        rule = PolicyRule(Mode(item["mode"]), item.get("key"), item.get("path"))
        target = bare_name(rule.key) if rule.key else read_steps(str(rule.path))
        if target in seen:
            errors.append(FieldError(at, f"is about the same values as {seen[target]}"))
        seen.setdefault(target, at)
        rules.append(rule)
    if errors:
        raise InvalidInput(*errors)
    return tuple(rules)


def _wrong_in(item: Any, at: str) -> Iterator[FieldError]:
    if not isinstance(item, dict) or set(item) not in ({"key", "mode"}, {"path", "mode"}):
        yield FieldError(at, "must be an object with mode and with either key or path")
        return
    if item["mode"] not in list(Mode):
        yield FieldError(f"{at}.mode", f"must be one of {', '.join(Mode)}")
    key, path = item.get("key"), item.get("path")
    if "key" in item:
        sound = isinstance(key, str) and len(key) <= NAME_CHARS_MAX and bare_name(key)
        if not sound:
            yield FieldError(f"{at}.key", _KEY_RULE)
        return
    steps = read_steps(path) if isinstance(path, str) and len(path) <= PATH_CHARS_MAX else ()
    if not steps or (len(steps) > 1 and steps[0] in TEXT_FIELDS):
        yield FieldError(f"{at}.path", _PATH_RULE)
    elif len(steps) == 1 and steps[0] not in WHOLE_FIELDS:
        yield FieldError(f"{at}.path", _DEEPER_RULE.format(steps[0]))
