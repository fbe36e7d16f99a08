"""Every bound, through HTTP: what is past it is refused by name, or cut with a mark that has the
full size and the hash.
"""

import gzip
import hashlib
import json
import time
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from app.api.bodies import BATCH_BYTES_MAX
from app.api.parsing import DEPTH_RULE, DIGITS_RULE, QUERY_BYTES_MAX
from app.config import RECORD_BYTES_MAX, load_settings
from app.domain.cleaning import DEPTH_MAX, PREVIEW_CHARS, VALUES_MAX
from app.domain.codec import decode
from app.domain.records import TEXT_CHARS_MAX
from app.store.session import Database
from tests.support.host import NOWHERE
from tests.support.ingest import ACTIONS, AUDITS, call, change, sent
from tests.support.samples import recover
from tests.support.world import Inhabitant, World, opened, problem_of, refused_fields

CONTACTS = "/api/v1/crm/contacts"
JSON = "application/json"


@pytest.fixture(scope="module")
def world(
    environment: dict[str, str], maintenance: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """One app for all of this, without a broker: what it keeps stays on its disk."""
    settings = replace(
        load_settings(environment),
        data_dir=tmp_path_factory.mktemp("bounds"),
        redis_url=NOWHERE["redis_url"],
    )
    with opened(settings, maintenance) as world:
        yield world


@pytest.fixture(scope="module")
def tenant(world: World) -> Inhabitant:
    """Whoever sends too much."""
    return world.settle()


def kept(world: World, record_id: str) -> tuple[Any, int]:
    """An accepted record as it is on the disk, and how long its line is."""
    world.opsledger.shipper.stop(grace_s=0)
    lines = {str(decode(line).id): line for line in recover(world.opsledger.settings.spool_dir)}
    return decode(lines[record_id]), len(lines[record_id])


def post(tenant: Inhabitant, path: str, body: bytes, **headers: str) -> Any:
    """A body as it is."""
    return tenant.client.post(
        path, data=body, headers={**tenant.headers, "Content-Type": JSON, **headers}
    )


def item(payload: str) -> bytes:
    """A request of one action with a payload that is written by hand."""
    return f"[{json.dumps(call(request_payload='HERE'))}]".replace('"HERE"', payload).encode()


@pytest.mark.parametrize(("path", "bound"), [(ACTIONS, BATCH_BYTES_MAX), (CONTACTS, 1 << 20)])
def test_a_body_past_its_bound_is_refused(tenant: Inhabitant, path: str, bound: int) -> None:
    """With the bound."""
    problem = problem_of(post(tenant, path, b" " * (bound + 1)), 413)
    assert str(bound) in problem["detail"]


def test_a_decompression_bomb_is_refused_before_it_is_inflated(tenant: Inhabitant) -> None:
    """A gigabyte behind a megabyte, and bombs within bombs; in no time."""
    deflate = zlib.compressobj(wbits=31)
    block = bytes(1 << 20)
    bomb = b"".join(deflate.compress(block) for _ in range(1024)) + deflate.flush()
    started = time.monotonic()
    for body in (bomb, gzip.compress(bomb)):
        answer = post(tenant, ACTIONS, body, **{"Content-Encoding": "gzip"})
        assert answer.status_code in (400, 413)
    assert time.monotonic() - started < 2
    problem = problem_of(post(tenant, ACTIONS, bomb, **{"Content-Encoding": "gzip"}), 413)
    assert "when it is inflated" in problem["detail"]
    # An endpoint that takes no compression does not inflate: to it, this is no JSON.
    answer = post(tenant, CONTACTS, bomb[:1000], **{"Content-Encoding": "gzip"})
    assert "is not valid JSON" in refused_fields(answer)["body"]


@pytest.mark.parametrize("form", [('{"a":', "1", "}"), ("[", "1", "]"), ("[", "", "]")])
def test_deep_nesting_is_marked_or_refused(
    world: World, tenant: Inhabitant, form: tuple[str, str, str]
) -> None:
    """Of a record what is too deep gives way to a mark; past all measure the body is refused."""
    left, inner, right = form

    def answer_to(depth: int, path: str = ACTIONS) -> Any:
        nest = left * depth + inner + right * depth
        return post(tenant, path, item(nest) if path == ACTIONS else nest.encode())

    for depth in (DEPTH_MAX, DEPTH_MAX + 1, 500):
        (record_id,) = answer_to(depth).json["ids"]
        record, _ = kept(world, record_id)
        deeper = f"[deeper than {DEPTH_MAX} levels]" in json.dumps(record.request_payload)
        assert deeper == ("too_deep" in record.metadata.get("cleaned", {})) == (depth > DEPTH_MAX)
    assert refused_fields(answer_to(100_000)) == {"body": DEPTH_RULE}
    assert refused_fields(answer_to(100_000, CONTACTS)) == {"body": DEPTH_RULE}


@pytest.mark.parametrize("path", [ACTIONS, CONTACTS])
def test_huge_integers_and_names_given_twice_are_refused(tenant: Inhabitant, path: str) -> None:
    """By name, without advice that is not for a caller."""
    for payload, rule in (("9" * 4301, DIGITS_RULE), ('{"a":1,"a":2}', "has the name 'a' twice")):
        assert rule in refused_fields(post(tenant, path, item(payload)))["body"]
    assert "sys." not in DIGITS_RULE


def test_a_field_past_its_bound_is_cut(world: World, tenant: Inhabitant) -> None:
    """With its size, its hash and its beginning; a string and a key of any length are within it."""
    for payload in ({"a": "x" * 70_000, "b": 1}, {"y" * 70_000: 1}, "z" * 70_000):
        encoded = json.dumps(payload, separators=(",", ":")).encode()
        (record_id,) = sent(tenant, [call(request_payload=payload)])["ids"]
        record, _ = kept(world, record_id)
        assert record.request_payload == {
            "truncated": True,
            "size_bytes": len(encoded),
            "sha256": hashlib.sha256(encoded).hexdigest(),
            "preview": encoded[:PREVIEW_CHARS].decode(),
        }
        assert record.metadata["cleaned"] == {"truncated": ["request_payload"]}


def test_a_record_past_its_bound_is_cut_where_it_is_largest(
    world: World, tenant: Inhabitant, maintenance: Database
) -> None:
    """Fields that are each within theirs may be too much together, escapes counted."""
    quotes = '"' * 20_000  # 40,000 bytes of JSON, 60,000 as the spool has it
    long = "\\" * TEXT_CHARS_MAX
    given = call(
        request_payload={"a": quotes},
        response_data={"b": quotes, "c": "x" * 15_000},
        metadata={"d": quotes},
        error_message=long,
    )
    (record_id,) = sent(tenant, [given])["ids"]
    record, size = kept(world, record_id)
    assert size <= RECORD_BYTES_MAX
    assert record.error_message == long
    narrow = replace(world.opsledger.settings, record_bytes_max=192 * 1024)
    with opened(replace(narrow, data_dir=narrow.data_dir / "narrow"), maintenance) as other:
        who = other.settle()
        (record_id,) = sent(who, [given])["ids"]
        record, size = kept(other, record_id)
    assert size <= 192 * 1024
    assert record.metadata["cleaned"]["truncated"] == ["response_data"]
    assert record.response_data["size_bytes"] == 40_000 + 15_000 + len('{"b":"","c":""}')
    assert record.request_payload == {"a": quotes}


def test_more_values_than_a_field_may_have_are_marked(world: World, tenant: Inhabitant) -> None:
    """Keys of an object, and items of a list."""
    many = [0] * (VALUES_MAX + 1)
    for payload in (many, {"a": many}, {str(n): 0 for n in range(VALUES_MAX + 1)}):
        (record_id,) = sent(tenant, [call(request_payload=payload)])["ids"]
        record, _ = kept(world, record_id)
        assert f"more than {VALUES_MAX} values" in json.dumps(record.request_payload)
        assert list(record.metadata["cleaned"]) == ["too_many"]


def test_a_text_past_its_bound_is_cut(world: World, tenant: Inhabitant) -> None:
    """With its length and its hash."""
    long = "é" * (TEXT_CHARS_MAX + 1)
    mark = f"… [cut, {len(long)} characters in all, sha256 "
    mark += f"{hashlib.sha256(long.encode()).hexdigest()}]"
    (made,) = sent(tenant, [call(error_message=long)])["ids"]
    assert kept(world, made)[0].error_message == long[:TEXT_CHARS_MAX] + mark
    (changed,) = sent(tenant, [change(user_agent=long)], AUDITS)["ids"]
    assert kept(world, changed)[0].user_agent == long[:TEXT_CHARS_MAX] + mark


@pytest.mark.parametrize("path", ["/api/v1/logs/actions", "/api/v1/logs/stats", CONTACTS, ACTIONS])
def test_a_query_string_past_its_bound_is_refused(tenant: Inhabitant, path: str) -> None:
    """Whatever is in it."""
    ask = tenant.client.post if path == ACTIONS else tenant.client.get
    answer = ask(f"{path}?q={'x' * QUERY_BYTES_MAX}", headers=tenant.headers)
    assert refused_fields(answer) == {"query": f"must have at most {QUERY_BYTES_MAX} bytes"}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=1001", "limit"),
        ("skip=10001", "skip"),
        (f"q={'x' * 201}", "q"),
        ("&".join(f"payload.a{n}=1" for n in range(6)), "payload"),
    ],
)
def test_a_page_and_what_it_is_asked_by_are_bounded(
    tenant: Inhabitant, query: str, field: str
) -> None:
    """The time of a query is too: see test_problems."""
    answer = tenant.get(f"/api/v1/logs/actions?{query}")
    assert any(name.startswith(field) for name in refused_fields(answer))
