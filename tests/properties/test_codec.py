"""The codec, whatever the record: one line, and an equal record from it; anything else refused."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.cleaning import Alterations, clean
from app.domain.codec import decode, dump_json, encode
from app.domain.identity import is_record_id
from app.domain.records import BUILTIN_ACTION_TYPES, ActionStatus, Record
from tests.support.samples import action, audit
from tests.support.strategies import clean_text, dirty_values, json_objects, json_values, record_ids

modest = settings(max_examples=150, deadline=None)
names = clean_text.filter(lambda text: 1 <= len(text) <= 45)
maybe_names = st.none() | names

actions = st.builds(
    action,
    id=record_ids(),
    tenant_id=st.uuids(),
    action_type=st.sampled_from(BUILTIN_ACTION_TYPES),
    provider_name=names,
    request_payload=json_values,
    response_data=json_values,
    status=st.sampled_from(list(ActionStatus)),
    error_message=st.none() | clean_text,
    execution_time_ms=st.integers(0, 2**31 - 1) | st.floats(0, 2**31 - 1),
    operation_id=maybe_names,
    metadata=st.none() | json_objects,
)
audits = st.builds(
    audit,
    id=record_ids(),
    tenant_id=st.uuids(),
    action=names,
    resource_type=names,
    resource_id=names,
    user_id=maybe_names,
    changes=st.none() | json_objects,
    ip_address=maybe_names,
    user_agent=st.none() | clean_text,
    operation_id=maybe_names,
    metadata=st.none() | json_objects,
)


@given(actions | audits)
@modest
def test_a_record_comes_back_equal_to_the_last_digit(record: Record) -> None:
    """Equality alone takes 1 for true and 1.0; the text tells them apart."""
    line = encode(record)
    assert b"\n" not in line
    back = decode(line)
    assert back == record
    assert repr(back) == repr(record)
    assert encode(back) == line


@given(dirty_values)
@modest
def test_what_cleaning_lets_through_survives_the_wire(value: Any) -> None:
    """Capture's payloads as the worker reads them."""
    payload = clean(value, name="data", bytes_max=1 << 30, alterations=Alterations())
    record = action(request_payload={"a": payload}, response_data=payload)
    assert repr(decode(encode(record))) == repr(record)


@given(st.binary(max_size=200) | json_values.map(dump_json))
@modest
def test_any_other_line_is_a_value_error(line: bytes) -> None:
    """And no other exception, whatever the bytes."""
    try:
        decode(line)
    except ValueError:
        return
    raise AssertionError(f"{line!r} was taken for a record")


@given(actions | audits, st.data())
@modest
def test_a_damaged_line_is_a_value_error_or_a_record_with_a_time(
    record: Record, data: st.DataObject
) -> None:
    """One byte off: what is still a record has an id whose time can be told."""
    line = bytearray(encode(record))
    position = data.draw(st.integers(0, len(line) - 1))
    line[position] ^= data.draw(st.integers(1, 255))
    try:
        back = decode(bytes(line))
    except ValueError:
        return
    assert is_record_id(back.id)
    assert back.created_at.year <= 9999
