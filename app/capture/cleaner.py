"""Cleans what callers give: every value of a record that may hold a secret, or what the tenant's
policy conceals, before anything of it is kept.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..domain.cleaning import Alterations, clean, clean_text, storable
from ..domain.places import TEXT_FIELDS
from ..domain.policy import NO_POLICY, Mode, Policy
from ..domain.records import Kind, Record
from ..domain.secret_values import IDENTIFIER_RULES, VALUE_RULES, ValueRule, masked
from .policies import Policies

# What cleans each JSON field; those that are looked into again stay values.
CLEANERS: dict[Kind, dict[str, Callable[..., Any]]] = {
    Kind.ACTION: {"request_payload": clean_text, "response_data": clean_text, "metadata": clean},
    Kind.AUDIT: {"changes": clean, "metadata": clean},
}

# Texts that are kept as they come but for secrets in them. Short identifiers hold none; and long
# ones may be numbers that look like a card's, which have to stay what they are.
FREE_TEXTS = {Kind.ACTION: ("error_message",), Kind.AUDIT: ("user_agent",)}
IDENTIFIERS = {
    Kind.ACTION: ("provider_name", "operation_id"),
    Kind.AUDIT: ("operation_id", "user_id", "action", "resource_type", "resource_id"),
}
SECRET_CHARS_MIN = 12
NULL = b"null"
ORIGINS = ("http", "ingest")  # of metadata, where the caller's address stands a second time


class Cleaner:
    """Cleans by the rules for all and by the tenants' policies.

    Args:
        payload_bytes_max: bound of one JSON field, in bytes.
        policies: of the tenants; without, nobody has one.
    """

    def __init__(self, payload_bytes_max: int, policies: Policies | None = None) -> None:
        self._payload_bytes_max = payload_bytes_max
        self._policies = policies

    def clean(self, kind: Kind, values: dict[str, Any]) -> dict[str, Any]:
        """The values of a record without secrets, within bounds; `metadata.cleaned` says what was
        altered.
        """
        policy = self._policy_of(values.get("tenant_id"))
        alterations = Alterations()
        cleaned = dict(values)
        for name, cleaner in CLEANERS[kind].items():
            if cleaned.get(name) is not None:
                cleaned[name] = self._clean(cleaner, cleaned[name], name, alterations, policy)
        _mask_texts(kind, cleaned, alterations)
        metadata = {} if cleaned.get("metadata") is None else cleaned["metadata"]
        if alterations.paths and isinstance(metadata, dict):
            cleaned["metadata"] = {**metadata, "cleaned": alterations.paths}
        return cleaned

    def conceal(self, record: Record) -> Record:
        """The record, completed from its request, without what the policy conceals of its texts."""
        policy = self._policy_of(record.tenant_id)
        return record if policy.empty else concealed(record, policy)

    def _policy_of(self, tenant_id: object) -> Policy:
        return NO_POLICY if self._policies is None else self._policies.of(tenant_id)

    def _clean(
        self,
        cleaner: Callable[..., Any],
        value: Any,
        name: str,
        alterations: Alterations,
        policy: Policy,
    ) -> Any:
        bounds = {"name": name, "bytes_max": self._payload_bytes_max}
        try:
            copy = cleaner(value, **bounds, alterations=alterations, policy=policy)
        except Exception as error:  # the caller's own methods; what happened is kept all the same
            alterations.add("unreadable", name)
            return {"unreadable": type(error).__name__}
        return None if copy == NULL else copy


def concealed(record: Record, policy: Policy) -> Record:
    """The record without what a policy conceals of its texts; its JSON fields were cleaned."""
    alterations = Alterations.noted_in(record.metadata)
    changes: dict[str, Any] = {
        name: _concealed_text(getattr(record, name), name, policy, alterations)
        for name in TEXT_FIELDS
        if getattr(record, name, None) is not None
    }
    metadata = dict(record.metadata)
    for origin in ORIGINS:
        told = metadata.get(origin)
        if isinstance(told, dict) and told.get("ip_address") is not None:
            address = _concealed_text(told["ip_address"], "ip_address", policy, alterations)
            metadata[origin] = {**told, "ip_address": address}
    if alterations.paths:
        metadata["cleaned"] = alterations.paths
    return replace(record, **changes, metadata=metadata)


def _concealed_text(text: str, name: str, policy: Policy, alterations: Alterations) -> str | None:
    rule = policy.rule_at((None, name))
    if rule is None:
        return text
    shown, reason = (None, "dropped") if rule.mode is Mode.DROP else policy.stand_in(rule, text)
    if name not in alterations.paths.get(reason, ()):
        alterations.add(reason, name)
    alterations.add_rule(rule)
    return shown


def _mask_texts(kind: Kind, values: dict[str, Any], alterations: Alterations) -> None:
    """Take secrets out of the fields that are texts."""
    for name in FREE_TEXTS[kind]:
        value = values.get(name)
        if value is not None:
            safe = storable(str(value))
            if safe != str(value):
                values[name] = safe
                alterations.add("repaired", name)
            _put_masked(values, name, safe, VALUE_RULES, alterations)
    for name in IDENTIFIERS[kind]:
        value = values.get(name)
        if isinstance(value, str) and len(value) >= SECRET_CHARS_MIN:
            _put_masked(values, name, value, IDENTIFIER_RULES, alterations)


def _put_masked(
    values: dict[str, Any],
    name: str,
    value: str,
    rules: tuple[ValueRule, ...],
    alterations: Alterations,
) -> None:
    safe = masked(value, rules)
    if safe != value:
        values[name] = safe
        alterations.add("redacted", name)
