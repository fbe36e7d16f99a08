"""The bytes of a record: one line of COPY text that gives back an equal record."""

from uuid import uuid4

import pytest

from app.domain.codec import COLUMNS, check, decode, dump_json, encode, read_head
from app.domain.records import Kind
from tests.support.samples import action, audit


def test_a_record_comes_back_equal() -> None:
    """Of both kinds, with every field given."""
    whole_action = action(
        error_message="žluť", operation_id="op", metadata={"a": [None, 2**80, 1e-300]}
    )
    whole_audit = audit(user_id="ann", ip_address="::1", user_agent="x", metadata={"a": 1})
    for record in (action(), audit(), whole_action, whole_audit):
        assert decode(encode(record)) == record


def test_a_line_is_a_line() -> None:
    """Records are told apart by line ends, so no text of theirs may hold one."""
    line = encode(action(request_payload={"a\r\n": "b\n\u2028\x0b"}))
    assert b"\n" not in line
    assert b"\r" not in line


def test_json_is_compact_utf8_whichever_encoder_writes_it() -> None:
    """Integers past 64 bits take the slower one."""
    assert dump_json({"ž": [1, 2**70]}) == f'{{"ž":[1,{2**70}]}}'.encode()
    assert dump_json({"ž": [1, 2]}) == '{"ž":[1,2]}'.encode()


def test_the_head_of_a_line_is_what_a_worker_looks_at() -> None:
    """Without decoding the rest, which goes to Postgres as it is."""
    record = action(error_message="a\tb", execution_time_ms=12)
    line = encode(record).decode()
    head = read_head(line)
    assert (head.kind, head.tenant_id, head.id) == (
        *(Kind.ACTION, str(record.tenant_id), str(record.id)),
    )
    assert (head.type, head.group, head.status) == (
        *(record.action_type, record.provider_name, record.status),
    )
    assert head.execution_time_ms == "12"
    assert head.row == line.removeprefix("a\t")


@pytest.mark.parametrize("line", ["", "a", "x" + "\t1" * 12, '{"kind":"action"}'])
def test_a_line_without_a_head_is_a_value_error(line: str) -> None:
    """The worker makes a dead letter of it."""
    with pytest.raises(ValueError, match="not a record"):
        read_head(line)


def _line(**changes: str) -> bytes:
    cells = encode(action()).decode().split("\t")[1:]
    values = {**dict(zip(COLUMNS[Kind.ACTION], cells, strict=True)), **changes}
    return "\t".join(["a", *values.values()]).encode()


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"a", b"u", b"null", b"\xff\xfe", b"\x00", b"a" + b"\t\\N" * 12),
        _line().replace(b"a", b"x", 1),
        _line(id="7"),
        _line(id="x"),
        _line(id=str(uuid4())),
        _line(id="ffffffff-ffff-7fff-bfff-ffffffffffff"),
        _line(created_at="2020-01-01 00:00:00.000+00"),
        _line(tenant_id="\\N"),
        _line(status="done"),
        _line(status="\\N"),
        _line(execution_time_ms="fast"),
        _line(request_payload="{"),
        _line(request_payload="[" * 100_000),
        _line(metadata="{}\tsurplus"),
    ],
    ids=lambda line: str(line)[:12].replace("\x00", "NUL"),
)
def test_a_line_that_is_no_record_is_a_value_error(line: bytes) -> None:
    """The worker makes a dead letter of it; any other exception would stop its neighbours."""
    with pytest.raises(ValueError):  # noqa: PT011 - the class is the promise
        decode(line)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"execution_time_ms": "99999999999"}, "execution_time_ms: must be from 0"),
        ({"provider_name": "x" * 101}, "provider_name: must have 1 to 100 characters"),
        ({"provider_name": "a\x00"}, "provider_name: must not contain NUL"),
        ({"request_payload": "{"}, "request_payload: "),
        ({"metadata": "[1]"}, "metadata: must be an object"),
        ({"status": "\\N"}, "status: "),
        ({"tenant_id": "7"}, "tenant_id: badly formed"),
    ],
)
def test_a_line_that_breaks_a_rule_is_told_by_its_field(cells: dict[str, str], said: str) -> None:
    """Which is what the dead letter says of it."""
    with pytest.raises(ValueError, match=said):
        check(_line(**cells))


def test_a_line_that_keeps_the_rules_passes() -> None:
    """Of both kinds; whether the platform has the action type is not known here."""
    check(encode(audit()))
    check(_line(action_type="billing_charge"))
