"""Hostile payloads: each is stored as it is, changed with a note, or refused by name, and no
neighbour suffers.
"""

import json
import os
import random
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from app.capture import Recorder
from app.config import Settings
from app.domain.codec import decode
from app.domain.records import Record
from app.store.session import Database
from tests.support.host import NOWHERE
from tests.support.ingest import ACTIONS, call, spooled
from tests.support.samples import action_values, drain, open_spool
from tests.support.strategies import dirty_values
from tests.support.world import World, opened, problem_of

PAYLOADS = int(os.environ.get("HOSTILE_PAYLOADS", "1000"))
TEXTS = (
    *(
        "\x00",
        "a\x00b",
        "\ud800",
        "\udfff\ud800",
        "\u202egnp.exe",
        "\u2066x\u2069",
        "\ufeff",
        "é" * 9,
    ),
    *("'; DROP TABLE action_logs; --", "\\N", "\\.", "\t\n\r\\", "\\u0000", "{{7*7}}", "%s%n"),
    *(
        "<script>alert(1)</script>",
        "=cmd|' /C calc'!A0",
        "@SUM(1)",
        "${jndi:ldap://x/a}",
        "../" * 9,
    ),
    *("NaN", "null", "undefined", "-0", "1e400", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤", "\u2028", "a" * 70_000),
)
# JSON texts that no encoder of ours would write; many are refused as a whole.
TOKENS = (
    *("1e400", "-0.0", "-0", "1e308", "5e-324", "NaN", "-Infinity", "1" + "0" * 400, "1" * 5000),
    *("0.1" + "0" * 5000, "[" * 60 + "]" * 60, "[" * 10_000 + "]" * 10_000, "[" * 900_000),
    *('{"a":' * 63 + "1" + "}" * 63, '{"a":1,"a":2}', '{"":1,"":1}', '"\\ud800"', '"\\u0000"'),
    *('{"\\u0000":1}', '{"__proto__":1}', '"unterminated', "tru", "[1,]", "01", "'x'", "\x01", ""),
)
LARGE = (json.dumps("x" * 4_900_000), json.dumps("x" * 5_100_000))


@pytest.fixture
def alone(settings: Settings, maintenance: Database) -> Iterator[World]:
    """An app without a broker: what it keeps stays on its disk."""
    with opened(replace(settings, redis_url=NOWHERE["redis_url"]), maintenance) as world:
        yield world


def _corpus() -> Iterator[str]:
    """JSON texts of payloads, hostile in one way or several, as many as there are to be."""
    yield from LARGE
    chance = random.Random(7)
    ready = [*TOKENS, *map(json.dumps, TEXTS), *(json.dumps({text: text}) for text in TEXTS)]
    yield from ready
    for _ in range(PAYLOADS - len(ready) - len(LARGE)):
        parts = [chance.choice(ready[len(TOKENS) :]) for _ in range(chance.randrange(1, 4))]
        if chance.random() < 0.2:
            parts.append(chance.choice([token for token in TOKENS if len(token) < 10_000]))
        yield f"[{','.join(parts)}]"


def _body(payload: str) -> bytes:
    item = json.dumps(call(request_payload="HERE")).replace('"HERE"', payload)
    neighbour = json.dumps(call(request_payload={"neighbour": True}))
    return f"[{neighbour},{item},{neighbour}]".encode("utf-8", "surrogatepass")


@pytest.mark.timeout(600)
def test_hostile_bodies_are_kept_noted_or_refused(alone: World) -> None:
    """HOSTILE_PAYLOADS of them, 10,000 in the long run; every accepted one is on the disk."""
    tenant = alone.settle()
    headers = {**tenant.headers, "Content-Type": "application/json"}
    expected: dict[str, Any] = {}
    sent, refused = 0, 0
    for payload in _corpus():
        sent += 1
        answer = tenant.client.post(ACTIONS, data=_body(payload), headers=headers)
        if answer.status_code != 202:
            assert answer.status_code in (400, 413), payload[:200]
            assert answer.status_code == 413 or problem_of(answer, 400)["errors"]
            refused += 1
            continue
        told = answer.json
        assert told["accepted"] >= 2, payload[:200]  # its neighbours
        assert told["accepted"] + len(told["rejected"]) == 3
        assert all(error["index"] == 1 and error["errors"] for error in told["rejected"])
        first, *hostile, last = told["ids"]
        expected |= {key: {"neighbour": True} for key in (first, last)}
        expected |= dict.fromkeys(hostile, json.loads(payload))
    records = {str(record.id): record for record in spooled(alone)}
    assert sent >= PAYLOADS
    assert refused < sent / 3
    assert records.keys() == expected.keys()
    for record_id, given_payload in expected.items():
        assert _is_faithful(records[record_id], given_payload), repr(given_payload)[:200]


@given(st.lists(dirty_values, min_size=20, max_size=20))
@settings(max_examples=max(1, PAYLOADS // 20), deadline=None, phases=[Phase.generate])
@pytest.mark.timeout(600)
def test_hostile_values_are_captured(values: list[Any]) -> None:
    """In process: whatever Python hands over, a record is kept, with a note of what was changed."""
    with tempfile.TemporaryDirectory() as folder:
        spool = open_spool(Path(folder))
        recorder = Recorder(spool, payload_bytes_max=65536, notify=lambda: None, learn=lambda: None)
        expected = {
            recorder.record_action(action_values(request_payload=value)): value for value in values
        }
        for line in drain(spool):
            record = decode(line)
            assert _is_faithful(record, expected.pop(record.id))
        spool.close()
    assert not expected


def _is_faithful(record: Record, value: Any) -> bool:
    """Whether a record holds a value, or says that it was changed."""
    if record.metadata.get("cleaned"):
        return True
    found = record.request_payload  # type: ignore[union-attr]
    return repr(found) == repr({} if value is None else value)
