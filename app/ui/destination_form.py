"""The form of a destination: what its sink asks for, as fields, and what was written there, as the
API takes it.

A secret is never in a field: one that is left empty stays as it is.
"""

from collections.abc import Mapping
from typing import Any

from werkzeug.datastructures import MultiDict

from ..auth import current_principal
from ..domain.forwarding import ALL_FIELDS, Format
from ..domain.records import Kind
from ..sinks import PEMS, SINKS

# Of the filters of the lists, those that destinations have; True for several values.
FILTERS: dict[str, dict[str, bool]] = {
    "action": {
        "action_type": True,
        "status": True,
        "provider_name": True,
        "min_execution_time_ms": False,
        "operation_id": False,
    },
    "audit": {
        "action": False,
        "resource_type": False,
        "resource_id": False,
        "user_id": False,
        "ip_address": False,
        "operation_id": False,
    },
}
NUMBERS = frozenset({"min_execution_time_ms"})


def usual_fields(sink: str) -> MultiDict[str, str]:
    """The fields of a new destination; of the first sink if there is none of this name."""
    kind = SINKS.get(sink) or next(iter(SINKS.values()))
    fields: MultiDict[str, str] = MultiDict({"sink": kind.name, "format": kind.format.value})
    fields.setlist("kinds", [one.value for one in Kind])
    for one in kind.asked:
        if one.default is not None and not one.secret:
            _put(fields, f"settings.{one.name}", one.default)
    return fields


def fields_of(destination: Mapping[str, Any]) -> MultiDict[str, str]:
    """A destination of the API as its form has it."""
    fields: MultiDict[str, str] = MultiDict()
    for name in ("name", "sink", "format"):
        fields[name] = destination[name]
    for name in ("kinds", "fields"):
        fields.setlist(name, destination[name])
    for name, value in destination["settings"].items():
        _put(fields, f"settings.{name}", value)
    for kind, chosen in destination["filters"].items():
        for name, value in chosen.items():
            text = ", ".join(value) if isinstance(value, list) else str(value)
            fields[f"filters.{kind}.{name}"] = text
    return fields


def form_values(sink: str, fields: MultiDict[str, str]) -> dict[str, Any]:
    """What the templates of the form need, beside the fields themselves."""
    principal = current_principal()
    of_operator = principal is not None and principal.of_operator
    kind = SINKS.get(sink) or next(iter(SINKS.values()))
    return {
        "fields": fields,
        "sink": kind,
        "sinks": [one for one in SINKS.values() if of_operator or not one.operator_only],
        "of_operator": of_operator,
        "pems": PEMS,
        "kinds": [one.value for one in Kind],
        "formats": [one.value for one in Format],
        "all_fields": ALL_FIELDS,
        "filters": FILTERS,
    }


def new_of(sent: MultiDict[str, str]) -> dict[str, Any]:
    """A new destination as the API takes it."""
    sink = sent.get("sink", "")
    made = {"sink": sink, **changes_of(sink, sent)}
    return {**made, "all_tenants": True} if "all_tenants" in sent else made


def changes_of(sink: str, sent: MultiDict[str, str]) -> dict[str, Any]:
    """All that a form says, as the API takes it; what is no number stays as it was written."""
    return {
        "name": sent.get("name", "").strip(),
        "format": sent.get("format", ""),
        "kinds": sent.getlist("kinds"),
        "fields": sent.getlist("fields"),
        "settings": _settings_of(sink, sent),
        "filters": {
            kind: chosen
            for kind, names in FILTERS.items()
            if (chosen := _chosen(kind, names, sent))
        },
    }


def _settings_of(sink: str, sent: MultiDict[str, str]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for one in SINKS[sink].asked if sink in SINKS else ():
        written = sent.get(f"settings.{one.name}", "").strip()
        if one.kind == "flag":
            settings[one.name] = bool(written)
        elif written:
            settings[one.name] = _number(written) if one.kind == "whole" else written
    return settings


def _chosen(kind: str, names: Mapping[str, bool], sent: MultiDict[str, str]) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    for name, several in names.items():
        written = sent.get(f"filters.{kind}.{name}", "").strip()
        if not written:
            continue
        if several:
            chosen[name] = [part.strip() for part in written.split(",") if part.strip()]
        else:
            chosen[name] = _number(written) if name in NUMBERS else written
    return chosen


def _put(fields: MultiDict[str, str], name: str, value: Any) -> None:
    """A setting as a field: a flag that is off is a box without a tick."""
    if isinstance(value, bool):
        if value:
            fields[name] = "on"
    else:
        fields[name] = str(value)


def _number(text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        return text
