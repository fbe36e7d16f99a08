"""Ingest: whatever is sent, every item is accounted for once, and what was accepted comes back."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from app.domain.codec import decode, encode
from app.domain.identity import created_at_of, derived_id, format_time, redated
from app.domain.records import BUILTIN_ACTION_TYPES, ActionStatus, Kind
from tests.support.difference import differences
from tests.support.ingest import ACTIONS, AUDITS
from tests.support.ledger import rows
from tests.support.samples import TENANT
from tests.support.strategies import any_text, clean_text, dirty_values, milliseconds, record_ids
from tests.support.world import Inhabitant, World, problem_of, record_id

NOW = datetime.now(UTC)
MOMENTS = [NOW, NOW - timedelta(days=3), NOW - timedelta(days=500), NOW + timedelta(days=1)]
IDS = [str(record_id(moment)) for moment in MOMENTS]
ROUTES = {Kind.ACTION: (ACTIONS, "actions"), Kind.AUDIT: (AUDITS, "audits")}

unhurried = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
objects = st.dictionaries(any_text, dirty_values, max_size=3)
identity = {
    "id": st.sampled_from([*IDS, None]),
    "created_at": st.sampled_from([format_time(moment) for moment in MOMENTS]),
}
common = {**identity, "operation_id": names, "metadata": objects}
good = {
    Kind.ACTION: st.fixed_dictionaries(
        {
            "action_type": st.sampled_from(BUILTIN_ACTION_TYPES),
            "provider_name": names,
            "status": st.sampled_from([status.value for status in ActionStatus]),
            "execution_time_ms": st.integers(0, 2**31 - 1),
        },
        optional={
            **common,
            "request_payload": dirty_values,
            "response_data": dirty_values,
            "error_message": any_text,
        },
    ),
    Kind.AUDIT: st.fixed_dictionaries(
        {"action": names, "resource_type": names, "resource_id": names},
        optional={**common, "changes": objects, "user_id": names, "user_agent": any_text},
    ),
}


@st.composite
def batches(draw: st.DrawFn, kind: Kind) -> list[Any]:
    """Good items, good ones with a value spoiled, and anything else."""
    spoiled = st.builds(
        lambda item, name, value: {**item, name: value},
        good[kind],
        st.sampled_from([*common, "status", "action", "external_id", "tenant_id"]) | any_text,
        dirty_values,
    )
    return draw(st.lists(good[kind] | good[kind] | spoiled | dirty_values, max_size=6))


def accepted_items(items: list[Any], answer: dict[str, Any]) -> list[tuple[UUID, dict[str, Any]]]:
    """The accepted items with their ids, after every index was found in one place exactly."""
    indexes = [found["index"] for found in answer["rejected"]]
    assert indexes == sorted(set(indexes))
    assert all(found["errors"] for found in answer["rejected"])
    left = [item for index, item in enumerate(items) if index not in indexes]
    assert len(left) == answer["accepted"] + answer["duplicates"]
    first: dict[Any, dict[str, Any]] = {}
    for item in left:
        first.setdefault(item.get("id") or object(), item)
    assert len(first) == answer["accepted"] == len(set(answer["ids"]))
    return list(zip(map(UUID, answer["ids"]), first.values(), strict=True))


def read_back(who: Inhabitant, world: World, kind: Kind, wanted: UUID) -> dict[str, Any]:
    """A record's fields by the API, or as it was set aside."""
    if created_at_of(wanted) > NOW - timedelta(days=90):
        shown: dict[str, Any] = who.get(f"/api/v1/logs/{ROUTES[kind][1]}/{wanted}").json
        return shown
    late = {row.id: row for row in rows(world.maintenance, "late_records", who.tenant_id)}
    record = decode(bytes(late[wanted].payload))
    return {name: getattr(record, name) for name in record.__slots__}


@pytest.mark.parametrize("kind", list(Kind))
@given(data=st.data())
@unhurried
def test_every_item_is_accounted_for_and_what_was_accepted_comes_back(
    live: World, kind: Kind, data: st.DataObject
) -> None:
    """Never a 5xx; a 400 only for what is no batch of JSON."""
    who, (path, _) = live.settle(), ROUTES[kind]
    items = data.draw(batches(kind))
    body = json.dumps(items)
    response = who.post(path, data=body, content_type="application/json")
    if response.status_code != 202:
        problem_of(response, 400)
        assert not items or any(word in body for word in ("NaN", "Infinity"))
        return
    accepted = accepted_items(json.loads(body), response.json)
    live.arrive()
    for wanted, item in accepted:
        given_values = {key: item.get(key) for key in item if key not in (*identity, "external_id")}
        values = {**given_values, "id": wanted, "tenant_id": who.tenant_id}
        record = decode(encode(live.opsledger.recorder.make(kind, values)))
        shown = read_back(who, live, kind, wanted)
        assert shown["metadata"].pop("ingest")["ip_address"] == "127.0.0.1"
        for name in set(given_values) - {"tenant_id"}:
            assert not [*differences(getattr(record, name), shown[name], name)]


@given(body=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@unhurried
def test_any_bytes_at_all_are_answered(live: World, body: bytes) -> None:
    """As JSON and as gzip."""
    who = live.settle()
    for encoding in ("identity", "gzip"):
        headers = {**who.headers, "Content-Encoding": encoding, "Content-Type": "application/json"}
        response = who.client.post(ACTIONS, data=body, headers=headers)
        assert response.status_code in {202, 400}
        if response.status_code == 400:
            problem_of(response, 400)


@given(st.binary(min_size=32), clean_text, milliseconds, st.sampled_from(Kind), record_ids())
@settings(max_examples=200, deadline=None)
def test_derived_and_redated_ids_are_record_ids_of_their_millisecond(
    key: bytes, external_id: str, stamp: int, kind: Kind, other: UUID
) -> None:
    """Whatever the words; and the words alone decide the rest."""
    moment = created_at_of(UUID(int=stamp << 80))
    made = [
        derived_id(key, tenant_id=TENANT, kind=kind, external_id=external_id, moment=moment)
        for _ in range(2)
    ]
    assert made[0] == made[1]
    for found in (made[0], redated(other, moment), redated(uuid7(), moment)):
        assert (found.version, found.variant) == (7, "specified in RFC 4122")
        assert created_at_of(found) == moment
    assert redated(made[0], created_at_of(other)).int % 2**62 == made[0].int % 2**62
