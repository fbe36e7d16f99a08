"""Searching by content: q and PATH filters find what records say, in bounded time."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from app.config import Settings
from app.domain.filters import ActionFilter, Page
from app.domain.identity import format_time
from app.domain.paths import PathFilter
from app.domain.records import Record
from app.store import search
from app.store.action_logs import ActionLogRepository
from app.store.session import Database
from tests.support.world import Inhabitant, World, action, audit, next_page, opened, record_id

ACTIONS = "/api/v1/logs/actions"
AUDITS = "/api/v1/logs/audits"
START = datetime.now(UTC).replace(microsecond=0) - timedelta(days=2)


def found(who: Inhabitant, path: str, **asked: str) -> list[str]:
    """The ids on a page."""
    response = who.get(f"{path}?{urlencode(asked)}")
    assert response.status_code == 200, response.get_data(as_text=True)[:500]
    return [row["id"] for row in response.json]


@pytest.mark.parametrize(
    ("wanted", "values"),
    [
        ("quota", {"error_message": "429: the Quota is spent"}),
        ("THE QUOTA IS", {"error_message": "429: the Quota is spent"}),
        ("münchen", {"error_message": "no route to MÜNCHEN"}),
        ("sync-4", {"operation_id": "nightly Sync-42"}),
        ("jane@example.com", {"request_payload": {"email": "Jane@Example.com"}}),
        ("deep", {"request_payload": [{"a": [{"b": {"c": ["so DEEP down"]}}]}]}),
        ("alone", {"request_payload": "not an object, alone"}),
        ("12345", {"response_data": {"contact": {"id": 912345}}}),
        ("-1.5", {"response_data": [-1.5]}),
        ("100%", {"error_message": "used 100% of it"}),
        ("a_b", {"request_payload": {"x": "a_b"}}),
        ("c:\\temp", {"request_payload": {"x": "c:\\temp"}}),
        ('say "hi"', {"request_payload": {"x": 'they say "hi"'}}),
        ("one\ntwo", {"request_payload": {"x": "one\ntwo"}}),
        ("\x1f", {"request_payload": {"x": "unit\x1fseparator"}}),
        ("日本", {"response_data": {"x": "日本語"}}),
    ],
)
def test_q_finds_text_and_numbers_in_any_case(
    world: World, wanted: str, values: dict[str, Any]
) -> None:
    """In the error, the operation's id, and every value of request and response."""
    who = world.settle()
    record = action(who.tenant_id, at=START, **values)
    near_misses = [
        action(who.tenant_id, request_payload={"x": miss}, error_message=miss)
        for miss in ("1000", "a1b", "c:temp", "say hi", "one two", "other")
    ]
    world.put(record, *near_misses)
    assert found(who, ACTIONS, q=wanted) == [str(record.id)]


@pytest.mark.parametrize("wanted", ["email", '": "', "{", "null", "true", "[redacted"])
def test_q_does_not_find_keys_or_the_syntax_of_json(world: World, wanted: str) -> None:
    """Or every search for "email" would find every record that has one."""
    who = world.settle()
    payload = {"email": "jane@example.com", "n": None, "t": True, "more": {"a": [1]}}
    world.put(action(who.tenant_id, request_payload=payload, response_data=payload))
    assert found(who, ACTIONS, q=wanted) == []


@pytest.mark.parametrize(
    ("wanted", "values"),
    [
        ("ORDER/7", {"resource_id": "order/77"}),
        ("jane", {"user_id": "jane@example.com"}),
        ("203.0.113.", {"ip_address": "203.0.113.9"}),
        ("op-42", {"operation_id": "op-42"}),
        ("new name", {"changes": {"before": {"name": "old"}, "after": {"name": "A New Name"}}}),
    ],
)
def test_q_searches_audits_too(world: World, wanted: str, values: dict[str, Any]) -> None:
    """Who, what, from where, and what changed."""
    who = world.settle()
    record = audit(who.tenant_id, at=START, **values)
    world.put(record, audit(who.tenant_id, action="jane", user_agent="op-42"))
    assert found(who, AUDITS, q=wanted) == [str(record.id)]


def test_a_records_own_id_is_looked_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It finds that record alone, without a scan; another id is text like any other."""
    who = world.settle()
    record = action(who.tenant_id, at=START)
    mention = action(who.tenant_id, request_payload={"of": str(record.id)})
    elsewhere = record_id()
    other = action(who.tenant_id, operation_id=str(elsewhere))
    world.put(record, mention, other)
    assert found(who, ACTIONS, q=str(elsewhere)) == [str(other.id)]
    assert found(who, ACTIONS, q=str(record.id), status="failure") == []
    monkeypatch.setattr(search, "_scan", None)
    assert found(who, ACTIONS, q=str(record.id).upper()) == [str(record.id)]


PAYLOAD: dict[str, Any] = {
    "email": "jane@example.com",
    "count": 3,
    "text": "3",
    "price": 1.50,
    "yes": True,
    "none": None,
    "empty": "",
    "items": [{"sku": "a"}, {"sku": "b"}],
    "5": "five",
    "a b": {'"q"': {"{x}": "odd", "ü": "umlaut", "50%": "percent"}},
    "object": {"a": 1},
}


@pytest.mark.parametrize(
    ("keys", "value", "matches"),
    [
        ("email", "jane@example.com", True),
        ("email", "Jane@example.com", False),
        ("email", "jane", False),
        ("count", "3", True),
        ("text", "3", True),
        ("count", "3.0", False),
        ("price", "1.5", True),
        ("yes", "true", True),
        ("none", "null", False),
        ("none", "", False),
        ("missing", "", False),
        ("empty", "", True),
        ("items.0.sku", "a", True),
        ("items.1.sku", "a", False),
        ("items.2.sku", "a", False),
        ("items.99999999999999999999.sku", "a", False),
        ("items.sku", "a", False),
        ("5", "five", True),
        ('a b."q".{x}', "odd", True),
        ('a b."q".ü', "umlaut", True),
        ('a b."q".50%', "percent", True),
        ("object", '{"a": 1}', False),
        ("items", '[{"sku": "a"}, {"sku": "b"}]', False),
        ("email.x", "jane@example.com", False),
    ],
)
def test_a_path_filter_compares_the_text_of_one_scalar(
    world: World, keys: str, value: str, matches: bool
) -> None:
    """Exactly; a number as JSON writes it; null and whatever has parts have no text."""
    who = world.settle()
    records = {
        "payload": action(who.tenant_id, request_payload=PAYLOAD),
        "response": action(who.tenant_id, response_data=PAYLOAD),
        "metadata": action(who.tenant_id, metadata=PAYLOAD),
    }
    world.put(*records.values())
    for root, record in records.items():
        assert found(who, ACTIONS, **{f"{root}.{keys}": value}) == [str(record.id)] * matches
    of_audits = {
        "metadata": audit(who.tenant_id, metadata=PAYLOAD),
        "changes": audit(who.tenant_id, changes=PAYLOAD),
    }
    world.put(*of_audits.values())
    for root, entry in of_audits.items():
        assert found(who, AUDITS, **{f"{root}.{keys}": value}) == [str(entry.id)] * matches


def test_all_conditions_must_match(world: World) -> None:
    """Paths, q, and the filters of columns."""
    who = world.settle()
    values: dict[str, Any] = {
        "request_payload": {"a": "1", "b": "2"},
        "error_message": "lost",
        "status": "failure",
    }
    whole = action(who.tenant_id, **values)
    lacking = [
        action(who.tenant_id, **{**values, name: value})
        for name, value in (
            *(("request_payload", {"a": "1"}), ("error_message", None)),
            *(("status", "timeout"), ("request_payload", {"a": "2", "b": "2"})),
        )
    ]
    world.put(whole, *lacking)
    asked = {"payload.a": "1", "payload.b": "2", "q": "LOST", "status": "failure"}
    assert found(who, ACTIONS, **asked) == [str(whole.id)]


@pytest.fixture
def hasty(
    settings: Settings, maintenance: Database, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """An app whose searches have time for one stretch of 10 records."""
    monkeypatch.setattr(search, "STRETCH_ROWS_FIRST", 10)
    with opened(replace(settings, search_budget_s=1e-9), maintenance) as world:
        yield world


def test_a_search_without_time_answers_what_it_found_and_leads_on(hasty: World) -> None:
    """Page by page through all matches, each once, with how far it came, until there is no more."""
    who = hasty.settle()
    records: list[Record] = []
    for number in range(95):
        marked = {"error_message": "needle"} if number in {3, 4, 50, 94} else {}
        records.append(action(who.tenant_id, at=START + timedelta(seconds=number), **marked))
    hasty.put(*records)
    at: str | None = f"{ACTIONS}?q=needle&limit=3"
    seen: list[str] = []
    reached = []
    while at:
        response = who.get(at)
        seen += [row["id"] for row in response.json]
        reached.append(response.headers.get("X-Search-Reached"))
        at = next_page(response)
        hasty.put(action(who.tenant_id, error_message="needle"))  # newer, and so of no other page
    assert seen == [str(records[number].id) for number in (94, 50, 4, 3)]
    expected = [format_time(records[95 - 10 * n].created_at) for n in range(1, 10)]
    assert reached == [*expected, None]


def test_a_full_page_of_a_search_leads_on_without_a_look_ahead(world: World) -> None:
    """Whether there is one more could take long to know; the last page may be empty."""
    who = world.settle()
    records = [
        action(who.tenant_id, at=START + timedelta(seconds=n), error_message="needle")
        for n in range(4)
    ]
    world.put(*records)
    first = who.get(f"{ACTIONS}?q=needle&limit=2")
    second = who.get(next_page(first) or "")
    third = who.get(next_page(second) or "")
    assert [len(page.json) for page in (first, second, third)] == [2, 2, 0]
    assert next_page(third) is None
    assert all("X-Search-Reached" not in page.headers for page in (first, second, third))


def test_stretches_neither_repeat_nor_skip_whatever_their_size(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Matches at their edges too; time enough for all."""
    who = world.settle()
    records = [
        action(who.tenant_id, at=START + timedelta(seconds=n // 3), error_message="needle")
        for n in range(60)
    ]
    world.put(*records)
    expected = sorted((str(record.id) for record in records), reverse=True)
    for size in (1, 2, 7, 59, 60, 61):
        monkeypatch.setattr(search, "STRETCH_ROWS_FIRST", size)
        assert found(who, ACTIONS, q="needle") == expected


def test_a_search_outside_of_any_scope_finds_nothing(
    world: World, environment: dict[str, str]
) -> None:
    """Row security stands before every condition: without a scope there is no row to look at."""
    who, other = world.settle(), world.settle()
    world.put(action(who.tenant_id, error_message="needle", request_payload={"a": "1"}))
    database = Database.connect(environment["DATABASE_URL"])
    for filters in (
        ActionFilter(q="needle"),
        ActionFilter(paths=(PathFilter("payload", ("a",), "1"),)),
    ):
        with database.unrestricted_unsafe() as session:
            log = ActionLogRepository(session, who.tenant_id)
            assert log.search_by_content(filters, Page(10), seconds=5) == ([], None)
        with database.tenant(other.tenant_id) as session:
            log = ActionLogRepository(session, who.tenant_id)
            assert log.search_by_content(filters, Page(10), seconds=5) == ([], None)
    database.close()


@pytest.mark.parametrize(
    "value",
    ["'", "' OR true --", "%", "_", "\\", '"', "{", "$.a", "*", "\u2028", "\ufffd", "%s", ":x"],
)
def test_no_word_breaks_a_search(world: World, value: str) -> None:
    """As q, as a key and as a value: found where it stands, and nowhere else."""
    who = world.settle()
    record = action(who.tenant_id, request_payload={value: f"({value})"})
    world.put(record, action(who.tenant_id, request_payload={"a": "b"}))
    assert found(who, ACTIONS, q=value) == [str(record.id)]
    if "." not in value:
        assert found(who, ACTIONS, **{f"payload.{value}": f"({value})"}) == [str(record.id)]
