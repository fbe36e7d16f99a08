"""Any record, told in the words of a schema, is valid by that schema and has no nulls."""

from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema
from uuid_utils.compat import uuid7

from app.domain.ecs import ECS_VERSION
from app.domain.forwarding import Destination, Format, Outgoing, new_destination, outgoing
from app.domain.identity import created_at_of
from app.domain.ocsf import OCSF_VERSION
from app.domain.records import BUILTIN_ACTION_TYPES, ActionStatus, Kind

# Also by a later version: within 1.x events stay valid.
VERSIONS = (OCSF_VERSION, "1.8.0")
CLASSES = {Kind.ACTION: 6003, Kind.AUDIT: 3004}
# Every field that we write of ECS 8.17, with its type: https://www.elastic.co/docs/reference/ecs
ECS_FIELDS: dict[str, Any] = {
    "@timestamp": str,
    "ecs.version": str,
    "event.id": str,
    "event.kind": ("event",),
    "event.action": str,
    "event.dataset": str,
    "event.module": str,
    "event.provider": str,
    "event.duration": int,
    "event.outcome": ("success", "failure", "unknown"),
    "event.category": ("api", "configuration"),
    "event.type": ("access", "change", "creation", "deletion", "info"),
    "organization.id": str,
    "trace.id": str,
    "service.target.name": str,
    "error.message": str,
    "message": str,
    "user.id": str,
    "user_agent.original": str,
    "source.ip": str,
    "source.address": str,
}

usual = settings(suppress_health_check=[HealthCheck.too_slow])
words = st.text(max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(words, json_values, max_size=3)
maybe = st.none()
addresses = st.one_of(st.ip_addresses().map(str), st.just("[hashed: 0123456789abcdef]"))
rows = {
    Kind.ACTION: st.fixed_dictionaries(
        {
            "action_type": st.sampled_from(sorted(BUILTIN_ACTION_TYPES)),
            "provider_name": words,
            "status": st.sampled_from([status.value for status in ActionStatus]),
            "error_message": maybe | words,
            "execution_time_ms": st.integers(0, 2**31 - 1),
            "request_payload": json_values,
            "response_data": json_values,
            "operation_id": maybe | words,
            "metadata": maybe | objects,
        }
    ),
    Kind.AUDIT: st.fixed_dictionaries(
        {
            "action": words,
            "resource_type": words,
            "resource_id": words,
            "user_id": maybe | words,
            "changes": maybe
            | objects
            | st.fixed_dictionaries({"before": objects, "after": objects}),
            "ip_address": maybe | addresses,
            "user_agent": maybe | words,
            "operation_id": maybe | words,
            "metadata": maybe | objects,
        }
    ),
}


@cache
def validator(kind: Kind, version: str) -> Draft202012Validator:
    """The published schema of a class, objects embedded."""
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=version))
    name = schema.lookup_class_name_from_uid(class_uid=CLASSES[kind])
    return Draft202012Validator(schema.get_class_schema(class_name=name, profiles=[]))


def told(kind: Kind, values: dict[str, Any], form: Format) -> Outgoing:
    tenant_id, record_id = uuid7(), uuid7()
    row = {"id": record_id, "tenant_id": tenant_id, "created_at": created_at_of(record_id)}
    return outgoing({**row, **values}, kind, destination(form))


def destination(form: Format) -> Destination:
    return new_destination(
        tenant_id=uuid7(),
        id=uuid7(),
        name="x",
        sink="webhook",
        format=form,
        settings={},
        now=datetime.now(UTC),
    )


def nulls(value: Any, inside: str = "") -> list[str]:
    """Places of nulls, but within what callers gave."""
    if value is None:
        return [inside]
    if isinstance(value, dict):
        free = {"data", "unmapped", "opsledger"}
        return [
            place
            for name, item in value.items()
            if name not in free
            for place in nulls(item, f"{inside}.{name}")
        ]
    return []


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("version", VERSIONS)
def test_every_record_is_a_valid_event_of_ocsf(kind: Kind, version: str) -> None:
    """API Activity and Entity Management, by the schemas that OCSF publishes."""
    judge = validator(kind, version)

    @usual
    @given(rows[kind])
    def holds(values: dict[str, Any]) -> None:
        event = told(kind, values, Format.OCSF).document
        errors = [f"{error.json_path}: {error.message[:200]}" for error in judge.iter_errors(event)]
        assert errors == []
        assert nulls(event) == []
        assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
        assert event["metadata"]["version"] == OCSF_VERSION

    holds()


@pytest.mark.parametrize("kind", Kind)
def test_every_record_has_names_and_types_of_ecs(kind: Kind) -> None:
    """What ECS has no name for is below opsledger."""

    @usual
    @given(rows[kind])
    def holds(values: dict[str, Any]) -> None:
        document = told(kind, values, Format.ECS).document
        assert document["ecs"] == {"version": ECS_VERSION}
        assert nulls(document) == []
        for name, value in flat({k: v for k, v in document.items() if k != "opsledger"}):
            rule = ECS_FIELDS[name]
            for one in value if isinstance(value, list) else [value]:
                assert one in rule if isinstance(rule, tuple) else isinstance(one, rule), name

    holds()


@pytest.mark.parametrize("kind", Kind)
def test_nothing_of_a_record_is_lost_in_any_words(kind: Kind) -> None:
    """Each value is somewhere in the event, whatever the schema calls it."""

    @usual
    @given(rows[kind])
    def holds(values: dict[str, Any]) -> None:
        for form in Format:
            found = texts(told(kind, values, form).document)
            for name, value in values.items():
                if isinstance(value, str) and name != "status":
                    assert value in found, (form, name)

    holds()


def flat(value: dict[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """Dotted names and their values."""
    found: list[tuple[str, Any]] = []
    for name, item in value.items():
        if isinstance(item, dict):
            found += flat(item, f"{before}{name}.")
        else:
            found.append((f"{before}{name}", item))
    return found


def texts(value: Any) -> set[str]:
    """All texts in a value."""
    if isinstance(value, dict):
        return set().union(*map(texts, value.values())) if value else set()
    if isinstance(value, list):
        return set().union(*map(texts, value)) if value else set()
    return {value} if isinstance(value, str) else set()
