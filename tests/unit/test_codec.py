"""The bytes of a record: one line of JSON that gives back an equal record."""

import json
from uuid import uuid4

import pytest

from app.domain.codec import decode, dump_json, encode
from app.domain.records import ActionStatus, Kind
from tests.support.samples import action, audit


def test_a_record_comes_back_equal() -> None:
    """Of both kinds, with every field given."""
    whole_action = action(
        error_message="žluť", operation_id="op", metadata={"a": [None, 2**80, 1e-300]}
    )
    whole_audit = audit(user_id="ann", ip_address="::1", user_agent="x", metadata={"a": 1})
    for record in (action(), audit(), whole_action, whole_audit):
        assert decode(encode(record)) == record


def test_a_record_comes_back_from_text_too() -> None:
    """The broker hands on text."""
    record = action()
    back = decode(encode(record).decode())
    assert back == record
    assert back.kind is Kind.ACTION
    assert isinstance(back.status, ActionStatus)


def test_a_line_is_a_line() -> None:
    """Records are told apart by line ends, so no text of theirs may hold one."""
    line = encode(action(request_payload={"a\r\n": "b\n\u2028\x0b"}))
    assert b"\n" not in line
    assert b"\r" not in line


def test_json_is_compact_utf8_whichever_encoder_writes_it() -> None:
    """Integers past 64 bits take the slower one."""
    assert dump_json({"ž": [1, 2**70]}) == f'{{"ž":[1,{2**70}]}}'.encode()
    assert dump_json({"ž": [1, 2]}) == '{"ž":[1,2]}'.encode()


def _line(**changes: object) -> str:
    values = json.loads(encode(action()))
    return json.dumps({name: value for name, value in {**values, **changes}.items() if value != ""})


@pytest.mark.parametrize(
    "line",
    [
        *("", "{", "null", "1", "[]", '"text"', "{}", '{"kind": "other"}', '{"kind": "action"}'),
        *('{"kind": ["action"]}', b"\xff\xfe", b"\x00", "[" * 100_000, "1" * 5000),
        _line(kind="audit"),
        _line(id=7),
        _line(id="x"),
        _line(id=str(uuid4())),
        _line(id="ffffffff-ffff-7fff-bfff-ffffffffffff"),
        _line(tenant_id=None),
        _line(status="done"),
        _line(status=[]),
        _line(status=""),
        _line(surplus=1),
    ],
    ids=lambda line: str(line)[:30].replace("\x00", "NUL"),
)
def test_a_line_that_is_no_record_is_a_value_error(line: bytes | str) -> None:
    """The worker makes a dead letter of it; any other exception would stop its neighbours."""
    with pytest.raises(ValueError):  # noqa: PT011 - the class is the promise
        decode(line)
