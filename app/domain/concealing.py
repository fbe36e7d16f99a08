"""A tenant's redaction policy, held once more against what is read back: the policy of today, on
records that were kept under that of their time.
"""

import re
from collections.abc import Mapping
from typing import Any

from .places import JSON_FIELDS, TEXT_FIELDS, WHOLE_FIELDS, Path
from .policy import Mode, Policy, PolicyRule

CONCEALED = re.compile(r"\[(?:hashed: [0-9a-f]{8,64}|redacted: [^\]]*)\]")
NOTHING = object()


def conceal_row(row: Mapping[str, Any], policy: Policy) -> dict[str, Any]:
    """The values of a record's columns without what the policy conceals; a value that is concealed
    already stays as it is, so that its hash goes on matching.
    """
    shown = dict(row)
    if policy.empty:
        return shown
    for name in (*JSON_FIELDS, *TEXT_FIELDS):
        value = shown.get(name)
        if value is None:
            continue
        place: Path = (None, name)
        rule = policy.rule_at(place) if name in WHOLE_FIELDS else None
        found = _stand_in(policy, rule, value) if rule else _copy(policy, value, place)
        shown[name] = None if found is NOTHING else found
    return shown


def _copy(policy: Policy, value: Any, place: Path) -> Any:
    if isinstance(value, dict):
        items = ((key, _at(policy, item, (place, key))) for key, item in value.items())
        return {key: item for key, item in items if item is not NOTHING}
    if isinstance(value, list):
        parts = (_at(policy, item, (place, index)) for index, item in enumerate(value))
        return [item for item in parts if item is not NOTHING]
    return value


def _at(policy: Policy, value: Any, place: Path) -> Any:
    rule = policy.rule_at(place)
    return _copy(policy, value, place) if rule is None else _stand_in(policy, rule, value)


def _stand_in(policy: Policy, rule: PolicyRule, value: Any) -> Any:
    if rule.mode is Mode.DROP:
        return NOTHING
    if value is None or (isinstance(value, str) and CONCEALED.fullmatch(value)):
        return value
    return policy.stand_in(rule, value)[0]
