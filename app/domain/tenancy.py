"""The rules of tenants, keys and tenants' settings, the same for commands and over HTTP.

Every refusal names the field and what is allowed.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from ipaddress import ip_network
from typing import Any

from ..errors import FieldError, InvalidInput
from .access import Holder, Scope
from .policy import read_rules
from .records import Kind

SLUG_FORM = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
SLUG_RULE = "must be 1 to 63 of a-z, 0-9 and hyphens"
UUID_FORM = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TENANT_NAME_CHARS_MAX = 200
KEY_NAME_CHARS_MAX = 100
KEY_DAYS_MAX = 3650
# The settings that say how many days a log is kept in all; without one, for ever.
DAYS_SETTINGS = {kind: f"{kind.value}_days" for kind in Kind}
RETENTION_DAYS_MAX = 36_500  # a hundred years; the operator's own bounds lie within
REDACTION = "redaction"  # the setting that holds a tenant's redaction policy
NETWORKS_MAX = 50  # each is looked at in every request of the key
OVERLAP_MAX = timedelta(days=30)
DEFAULT_SCOPES = (Scope.LOGS_READ.value, Scope.LOGS_READ_PAYLOADS.value)


def check_slug(slug: str) -> None:
    """Refuse a slug that is none, or that a command could take for an id."""
    if not SLUG_FORM.fullmatch(slug):
        raise InvalidInput(FieldError("slug", SLUG_RULE))
    if UUID_FORM.fullmatch(slug):  # every command takes a slug or an id
        raise InvalidInput(FieldError("slug", "must not look like an id"))


def check_name(name: str, chars_max: int) -> None:
    """Refuse a shown name that is empty or too long."""
    if not 1 <= len(name) <= chars_max:
        raise InvalidInput(FieldError("name", f"must have 1 to {chars_max} characters"))


def read_networks(texts: Iterable[str]) -> tuple[str, ...]:
    """Networks as they are compared: 10.0.0.0/8, an address alone as /32 or /128."""
    given = tuple(texts)
    if len(given) > NETWORKS_MAX:
        raise InvalidInput(FieldError("networks", f"must be at most {NETWORKS_MAX}"))
    try:
        return tuple(str(ip_network(one)) for one in given)
    except ValueError as error:
        rule = f"must be networks such as 203.0.113.0/24: {error}"
        raise InvalidInput(FieldError("networks", rule)) from error


def read_scopes(texts: Iterable[str], *, of_operator: bool) -> tuple[str, ...]:
    """Scopes in the order of the list of all, each once."""
    given, known = set(texts), [scope.value for scope in Scope]
    if not given or given - set(known):
        raise InvalidInput(FieldError("scopes", f"must be some of: {', '.join(known)}"))
    if Scope.ADMIN in given and not of_operator:
        rule = f"must not have {Scope.ADMIN}, which is for keys of the operator tenant"
        raise InvalidInput(FieldError("scopes", rule))
    return tuple(scope for scope in known if scope in given)


def read_holder(text: str) -> str:
    """Who holds a key."""
    known = [holder.value for holder in Holder]
    if text not in known:
        raise InvalidInput(FieldError("holder", f"must be one of: {', '.join(known)}"))
    return text


def check_end(expires_at: datetime | None, now: datetime, days_max: int | None) -> None:
    """Refuse the end of a key that is past, or later than its tenant lets keys live.

    Args:
        days_max: the tenant's setting key_days_max, None for none.
    """
    longest = timedelta(days=days_max or KEY_DAYS_MAX)
    if expires_at is None and days_max is None:
        return
    if expires_at is None or not now < expires_at <= now + longest:
        rule = f"must be in the future, at most {longest.days} days"
        whose = ", as the tenant's setting key_days_max has it" if days_max else ""
        raise InvalidInput(FieldError("expires_at", rule + whose))


def check_overlap(overlap: timedelta) -> None:
    """Refuse an overlap of two keys that is none or too long."""
    if not timedelta(0) <= overlap <= OVERLAP_MAX:
        rule = f"must be from 0 s to {OVERLAP_MAX.days} days"
        raise InvalidInput(FieldError("overlap_s", rule))


def _read_days(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= KEY_DAYS_MAX:
        rule = f"must be a whole number from 1 to {KEY_DAYS_MAX}, or null for no bound"
        raise InvalidInput(FieldError("key_days_max", rule))
    return value


def _read_retention(name: str) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidInput(FieldError(name, "must be a whole number of days, or null for ever"))
        return value

    return read


def check_retention(settings: Mapping[str, Any], low: int, high: int) -> None:
    """Refuse days of retention that the operator does not allow.

    Args:
        settings: as read.
        low, high: the least and the most days.
    """
    for name in DAYS_SETTINGS.values():
        if name in settings and not low <= settings[name] <= high:
            rule = f"must be from {low} to {high} days, or null for ever"
            raise InvalidInput(FieldError(name, rule))


def _read_redaction(value: Any) -> list[dict[str, str]] | None:
    return [rule.as_json() for rule in read_rules(value, REDACTION)] or None


# What a tenant can have set, by name, and what reads a value of it; None drops it.
TENANT_SETTINGS: dict[str, Callable[[Any], Any]] = {
    "key_days_max": _read_days,
    REDACTION: _read_redaction,
    **{name: _read_retention(name) for name in DAYS_SETTINGS.values()},
}


def read_settings(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The settings to be set, and the names of those to be dropped, which are given as null."""
    unknown = sorted(set(values) - set(TENANT_SETTINGS))
    if unknown or not values:
        rule = f"is not known here; known are {', '.join(sorted(TENANT_SETTINGS))}"
        raise InvalidInput(*(FieldError(name, rule) for name in unknown or ["body"]))
    read = {
        name: None if value is None else TENANT_SETTINGS[name](value)
        for name, value in values.items()
    }
    set_ = {name: value for name, value in read.items() if value is not None}
    return set_, sorted(set(values) - set(set_))
