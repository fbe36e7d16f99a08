"""What the ingest API refuses: bodies as a whole, items by field and rule; never with a 5xx."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from uuid_utils.compat import uuid7

from app.domain.identity import format_time
from tests.support.ingest import ACTIONS, AUDITS, call, change, sent, spooled
from tests.support.world import ALL_SCOPES, Inhabitant, World, problem_of, refused_fields

NOT_AN_ID = str(uuid4())
FAR = format_time(datetime.now(UTC) + timedelta(hours=1))


@pytest.fixture
def tenant(alone: World) -> Inhabitant:
    """A tenant of an app without a broker."""
    return alone.settle()


def rejected(who: Inhabitant, item: Any, path: str = ACTIONS) -> dict[str, str]:
    """What is said of each field of an item that is not accepted."""
    answer = sent(who, [item], path)
    (found,) = answer["rejected"]
    assert found["index"] == 0
    return {error["field"]: error["detail"] for error in found["errors"]}


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ("[]", "1 to 1000"),
        (json.dumps([{}] * 1001), "not 1001"),
        ("{}", "array"),
        ("7", "array"),
        ("null", "array"),
        ("", "JSON"),
        ("[NaN]", "NaN"),
        ('[{"request_payload":{"a":1,"a":2}}]', "an object has the name 'a' twice"),
        ("[1e400]", "1e400"),
        ("[" * 100_000, "nested"),
        (b"\xff[]", "JSON"),
    ],
)
def test_a_body_that_is_no_batch_is_refused(tenant: Inhabitant, body: Any, word: str) -> None:
    """As a whole, with 400."""
    response = tenant.post(ACTIONS, data=body, content_type="application/json")
    assert word in refused_fields(response)["body"]


def padded(size: int) -> bytes:
    """One action as a body of exactly `size` bytes."""
    bare = json.dumps([call()]).encode()
    return bare + b" " * (size - len(bare))


@pytest.mark.parametrize("packed", [False, True])
def test_five_megabytes_are_the_limit(tenant: Inhabitant, packed: bool) -> None:
    """As sent and as inflated, by one byte."""
    headers = {**tenant.headers, "Content-Type": "application/json"}
    if packed:
        headers["Content-Encoding"] = "gzip"
    for size, status in ((5_000_000, 202), (5_000_001, 413)):
        body = gzip.compress(padded(size)) if packed else padded(size)
        response = tenant.client.post(ACTIONS, data=body, headers=headers)
        assert response.status_code == status
    assert "5000000 bytes" in problem_of(response, 413)["detail"]


def test_a_compressed_batch_is_accepted(alone: World) -> None:
    """By gzip, in any letter case; plainly when nothing is said."""
    tenant = alone.settle()
    body = json.dumps([call()]).encode()
    for encoding in ("gzip", "GZIP", "x-gzip", "identity", ""):
        packed = gzip.compress(body) if "zip" in encoding.lower() else body
        response = tenant.client.post(
            ACTIONS,
            data=packed,
            headers={
                **tenant.headers,
                "Content-Type": "application/json",
                "Content-Encoding": encoding,
            },
        )
        assert response.status_code == 202, encoding
    assert len(spooled(alone)) == 5


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "compress"])
def test_another_encoding_is_refused(tenant: Inhabitant, encoding: str) -> None:
    """With what is taken."""
    headers = {**tenant.headers, "Content-Encoding": encoding}
    response = tenant.client.post(ACTIONS, json=[call()], headers=headers)
    assert "gzip" in problem_of(response, 415)["detail"]


def test_what_only_says_it_is_gzip_is_refused(tenant: Inhabitant) -> None:
    """By name, with 400."""
    headers = {**tenant.headers, "Content-Encoding": "gzip"}
    response = tenant.client.post(ACTIONS, json=[call()], headers=headers)
    assert "gzip" in refused_fields(response)["body"]


def test_a_body_that_is_not_json_is_refused(tenant: Inhabitant) -> None:
    """By its content type."""
    response = tenant.post(ACTIONS, data=json.dumps([call()]), content_type="text/plain")
    problem_of(response, 415)


@pytest.mark.parametrize("path", [ACTIONS, AUDITS])
def test_only_a_key_that_may_write_is_served(alone: World, path: str) -> None:
    """Before anything of the body is read."""
    reader = alone.settle([scope for scope in ALL_SCOPES if scope != "logs:write"])
    assert "logs:write" in problem_of(reader.post(path, data=b"\0"), 403)["detail"]
    problem_of(reader.client.post(path, json=[call()]), 401)
    problem_of(alone.settle().get(path), 405)
    said = refused_fields(alone.settle().post(f"{path}?zzz=1", json=[call()]))
    assert list(said) == ["zzz"]
    refusal = [record.action for record in spooled(alone)]  # of the reader, by its tenant
    assert refusal == ["refuse"]


@pytest.mark.parametrize(
    ("values", "field", "word"),
    [
        ({"action_type": "crm_dance"}, "action_type", "crm_create"),
        ({"action_type": None}, "action_type", "must be one of"),
        ({"action_type": ["crm_get"]}, "action_type", "must be one of"),
        ({"provider_name": ""}, "provider_name", "1 to 100"),
        ({"provider_name": "x" * 101}, "provider_name", "1 to 100"),
        ({"provider_name": 7}, "provider_name", "string"),
        ({"provider_name": "a\0"}, "provider_name", "NUL"),
        ({"provider_name": "\ud800"}, "provider_name", "surrogates"),
        ({"status": "done"}, "status", "timeout"),
        ({"execution_time_ms": -1}, "execution_time_ms", "from 0"),
        ({"execution_time_ms": 2**31}, "execution_time_ms", "2147483647"),
        ({"execution_time_ms": "12"}, "execution_time_ms", "number"),
        ({"execution_time_ms": True}, "execution_time_ms", "number"),
        ({"error_message": 7}, "error_message", "string"),
        ({"operation_id": "x" * 256}, "operation_id", "1 to 255"),
        ({"metadata": [1]}, "metadata", "object"),
        ({"colour": "red"}, "colour", "known are id, "),
        ({"user_id": "ada"}, "user_id", "not known"),
        ({"": 1}, '""', "not known"),
        ({"tenant_id": str(uuid7())}, "tenant_id", "API key"),
        ({"tenant_id": 7}, "tenant_id", "API key"),
        ({"id": NOT_AN_ID}, "id", "UUIDv7"),
        ({"id": "x"}, "id", "UUID"),
        ({"id": 7}, "id", "UUID"),
        ({"id": "{0198c0de-0000-7000-8000-000000000001}"}, "id", "UUID"),
        ({"created_at": "2024-01-15T10:30:00"}, "created_at", "zone"),
        ({"created_at": "yesterday"}, "created_at", "RFC 3339"),
        ({"created_at": 1700000000}, "created_at", "RFC 3339"),
        ({"created_at": "2024-02-30T10:30:00Z"}, "created_at", "RFC 3339"),
        ({"created_at": "1969-12-31T23:59:59Z"}, "created_at", "1970"),
        ({"created_at": "0001-01-01T00:00:00+14:00"}, "created_at", "RFC 3339"),
        ({"created_at": FAR}, "created_at", "5 minutes ahead"),
        ({"external_id": "7"}, "external_id", "needs created_at"),
        ({"external_id": "7", "id": str(uuid7())}, "external_id", "combined"),
        ({"external_id": "7", "created_at": "2024-01-15T10:30:00Z"}, "external_id", "EXTERNAL_ID"),
        (
            {"id": str(uuid7()), "created_at": "2024-01-15T10:30:00Z"},
            "created_at",
            "millisecond of id",
        ),
    ],
)
def test_an_item_that_breaks_a_rule_is_rejected_by_name(
    alone: World, tenant: Inhabitant, values: dict[str, Any], field: str, word: str
) -> None:
    """Field and rule; its neighbours are kept."""
    answer = sent(tenant, [call(), call(**values), call()])
    (found,) = answer["rejected"]
    assert (answer["accepted"], found["index"]) == (2, 1)
    (error,) = found["errors"]
    assert error["field"] == field
    assert word in error["detail"]
    assert len(spooled(alone)) == 2


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"resource_id": None}, "resource_id"),
        ({"action": ""}, "action"),
        ({"resource_type": "x" * 101}, "resource_type"),
        ({"changes": [1]}, "changes"),
        ({"ip_address": "x" * 46}, "ip_address"),
        ({"user_agent": {}}, "user_agent"),
        ({"user_id": 7}, "user_id"),
        ({"action_type": "crm_get"}, "action_type"),
    ],
)
def test_audits_have_their_own_rules(
    tenant: Inhabitant, values: dict[str, Any], field: str
) -> None:
    """By the same constructor as in capture."""
    assert list(rejected(tenant, change(**values), AUDITS)) == [field]


def test_an_item_is_told_all_that_is_wrong_with_it(tenant: Inhabitant) -> None:
    """Misnamed, missing, of another tenant, misdated."""
    item = {"colour": 1, "status": "success", "tenant_id": str(uuid7()), "id": NOT_AN_ID}
    assert set(rejected(tenant, item)) == {
        *("colour", "action_type", "provider_name", "execution_time_ms", "tenant_id", "id")
    }
    for nothing in (None, 7, "x", [], [{}]):
        assert rejected(tenant, nothing) == {"record": "must be an object"}


def test_an_answer_quotes_no_more_than_a_little(tenant: Inhabitant) -> None:
    """However long a name or a value is."""
    said = rejected(tenant, call(**{"x" * 100_000: 1}, action_type="y" * 100_000))
    assert all(len(field) + len(detail) < 1_100 for field, detail in said.items())


def test_deep_values_are_cut_or_refused_and_never_an_error(alone: World) -> None:
    """In payloads a mark stands for what is too deep; elsewhere the rule is named."""
    tenant = alone.settle()
    for depth in (70, 300, 600, *range(850, 1000, 10), 5_000):
        nest = "[" * depth + "]" * depth
        for field in ("request_payload", "action_type", "id", "error_message", "colour"):
            values = json.dumps({**call(), field: None}).replace(
                f'"{field}": null', f'"{field}": {nest}'
            )
            response = tenant.post(ACTIONS, data=f"[{values}]", content_type="application/json")
            assert response.status_code in {202, 400}, (depth, field)
            if response.status_code == 202:
                assert response.json["accepted"] == (field == "request_payload")


def test_an_added_action_type_is_taken(alone: World) -> None:
    """The platform's types decide, not only those that came with the code."""
    tenant = alone.settle()
    alone.opsledger.recorder.action_types = frozenset({"crm_create", "billing_charge"})
    sent_types = [call(action_type="billing_charge"), call(action_type="billing_refund")]
    answer = sent(tenant, sent_types)
    assert [item["index"] for item in answer["rejected"]] == [1]
