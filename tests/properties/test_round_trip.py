"""Any JSON value, through capture, spool, shipper, broker, worker and Postgres, and back by HTTP.

What comes back is what was given; where it is not, the record says so by path and reason. The
values of one example travel together, as the records of a busy second do.
"""

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.capture import AuditService
from app.domain.cleaning import DEPTH_MAX, PATH_CHARS_MAX, PATHS_MAX, secret_word
from tests.support.difference import differences
from tests.support.ingest import ACTIONS, call
from tests.support.strategies import any_text, json_of
from tests.support.world import Inhabitant, World

EDGES = [
    *(-0.0, 1e308, -1.7976931348623157e308, 5e-324, 2.2250738585072014e-308, 0.1, 1e22, 1e-7),
    *(2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**309, 10**3600, 10**3700),
    *("", "\x00", "a\x00b", "\ud800", "\udfff\ud800", "\U0001f600", "\U0010ffff", "\ufffe"),
    *("\ufffd", "\u2028", "\x1f\x7f\x85", "\\", "\\u0000", "\\\\N", "\\.", "\\N", "a\tb\nc\rd"),
    *('"', "é", "e\u0301", "NaN", "null", "1", "[deeper than 64 levels]", "[redacted: token]"),
    *("x" * 70_000, [], {}, [[]], [{}], {"": {"": []}}, [None, True, False, 0, 1, 1.0]),
    *({"a": 1, "A": 2, "a ": 3, "a\u200b": 4}, {"é": 1, "e\u0301": 2}, {"1": 1, "01": 2}),
    *({"a.b": 1, "a": {"b": 2}}, {"[0]": [0]}),
    {key: number for number, key in enumerate(["a\x00", "a\ufffd", "a\ud800", "a\ufffd #1"])},
]
OURS = {"cleaned", "ingest"}  # what Opsledger says in a record's metadata
keys = any_text.filter(lambda key: secret_word(key) is None)
edges = st.sampled_from(EDGES)


def scalars(*, finite: bool) -> st.SearchStrategy[Any]:
    """Whatever stands at the end of a path; with NaN and Infinity where Python may give them."""
    floats = st.floats(allow_nan=not finite, allow_infinity=not finite)
    whole = st.integers() | st.integers(-(10**400), 10**400)
    return st.none() | st.booleans() | whole | floats | any_text | edges


@st.composite
def wrapped(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> Any:
    """A value deep inside others, up to the bound and past it."""
    value = draw(inner)
    for _ in range(draw(st.sampled_from([1, DEPTH_MAX - 1, DEPTH_MAX, DEPTH_MAX + 1, 90]))):
        value = [value] if draw(st.booleans()) else {draw(keys): value}
    return value


def values(*, finite: bool) -> st.SearchStrategy[list[Any]]:
    """As many JSON values as travel at once."""
    ends = scalars(finite=finite)
    return st.lists(json_of(ends, keys) | ends | wrapped(ends), min_size=1, max_size=40)


unhurried = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def unexplained(name: str, value: Any, shown: dict[str, Any]) -> list[str]:
    """Where a field is not what was given, though its record does not say so."""
    told = [path for paths in shown["metadata"].get("cleaned", {}).values() for path in paths]
    if len(told) >= PATHS_MAX:  # past that it need not list every place of the same reason
        return []
    return [
        place
        for place in differences(value, shown[name], name)
        if not any(_explains(cause, place[:PATH_CHARS_MAX]) for cause in told)
    ]


def _explains(cause: str, place: str) -> bool:
    return place == cause or place.startswith((f"{cause}.", f"{cause}["))


def detail(who: Inhabitant, kind: str, record_id: UUID | str) -> dict[str, Any]:
    """A record by the API, in full."""
    response = who.get(f"/api/v1/logs/{kind}/{record_id}")
    assert response.status_code == 200, response.get_data(as_text=True)[:1000]
    body: dict[str, Any] = json.loads(response.get_data())
    return body


def check_action(who: Inhabitant, record_id: UUID | str, value: Any) -> None:
    """The value is in all three fields of the action."""
    shown = detail(who, "actions", record_id)
    assert unexplained("request_payload", {} if value is None else value, shown) == []
    assert unexplained("response_data", value, shown) == []
    ours = {name: shown["metadata"][name] for name in OURS & shown["metadata"].keys()}
    assert unexplained("metadata", {"value": value, **ours}, shown) == []


@given(given_values=values(finite=False))
@unhurried
def test_any_value_that_is_captured_comes_back(live: World, given_values: list[Any]) -> None:
    """In every field that holds JSON, of both kinds of record."""
    who = live.settle()
    actions, audits = [], []
    with live.app.app_context():
        for value in given_values:
            where = {"resource_type": "contact", "resource_id": "7", "tenant_id": who.tenant_id}
            actions.append(
                live.log(
                    who.tenant_id,
                    request_payload=value,
                    response_data=value,
                    metadata={"value": value},
                )
            )
            audits.append(AuditService().log_create(data={"value": value}, **where))
    live.arrive()
    for action_id, audit_id, value in zip(actions, audits, given_values, strict=True):
        check_action(who, action_id, value)
        shown = detail(who, "audits", audit_id)
        assert unexplained("changes", {"after": {"value": value}}, shown) == []


@pytest.mark.parametrize("escaped", [True, False], ids=["escaped", "UTF-8"])
@given(data=st.data())
@unhurried
def test_any_value_that_is_ingested_comes_back(
    live: World, escaped: bool, data: st.DataObject
) -> None:
    """As the JSON text says it, whichever way the text writes its characters."""
    who = live.settle()
    drawn = data.draw(values(finite=True))
    items = [call(request_payload=v, response_data=v, metadata={"value": v}) for v in drawn]
    text = json.dumps(items, ensure_ascii=escaped)
    body = text.encode("utf-8", "replace")  # raw UTF-8 has no lone surrogates
    answer = who.post(ACTIONS, data=body, content_type="application/json")
    assert answer.status_code == 202, answer.get_data(as_text=True)[:1000]
    assert answer.json["rejected"] == []
    live.arrive()
    for record_id, item in zip(answer.json["ids"], json.loads(body), strict=True):
        check_action(who, record_id, item["request_payload"])
