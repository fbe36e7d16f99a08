"""A key without logs:read:payloads is shown that something happened, never what was in it."""

import json
from typing import Any
from uuid import uuid4

import pytest

from app.domain.access import Scope
from tests.support.world import Inhabitant, World, action, audit, problem_of

SECRET = "opensesame"
MARK = {"withheld": "logs:read:payloads"}
HELD = {
    "action": ("request_payload", "response_data", "metadata"),
    "audit": ("changes", "metadata"),
}


class Pair:
    """One tenant's records, read by a key that may see payloads and by one that may not."""

    def __init__(self, world: World) -> None:
        self.full = world.settle([Scope.LOGS_READ, Scope.LOGS_READ_PAYLOADS])
        secret = f"ops_test_{uuid4().hex}"
        world.give_key(self.full.tenant_id, secret, [Scope.LOGS_READ])
        self.plain = Inhabitant(self.full.tenant_id, "", secret, self.full.client)
        self.action = action(
            self.full.tenant_id,
            status="failure",
            error_message="went wrong",
            request_payload={"word": SECRET},
            response_data=[SECRET],
            operation_id="op-1",
            metadata={"word": SECRET},
        )
        self.audit = audit(
            self.full.tenant_id,
            resource_type="contact",
            resource_id="c-1",
            changes={"after": {"word": SECRET}},
            operation_id="op-1",
            metadata={"word": SECRET},
        )
        world.put(self.action, self.audit)

    @property
    def paths(self) -> dict[str, str]:
        """Every path that shows free-form fields, and of which kind of record."""
        logs = "/api/v1/logs"
        return {
            f"{logs}/actions/{self.action.id}": "action",
            f"{logs}/audits/{self.audit.id}": "audit",
            f"{logs}/operations/op-1": "either",
            f"{logs}/audits": "list",
            f"{logs}/audits?order=commit": "list",
            f"{logs}/audits/resource/contact/c-1": "list",
        }


@pytest.fixture
def pair(world: World) -> Pair:
    return Pair(world)


def records(response: Any) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.get_data(as_text=True)
    return response.json if isinstance(response.json, list) else [response.json]


def test_what_is_free_form_is_withheld_and_marked_on_every_route(pair: Pair) -> None:
    """Lists, tails, details, trails and operations; all else is as for a key that may see it."""
    for path, kind in pair.paths.items():
        seen, shown = records(pair.full.get(path)), records(pair.plain.get(path))
        assert SECRET in json.dumps(seen), path
        assert SECRET not in json.dumps(shown), path
        for whole, part in zip(seen, shown, strict=True):
            held = ("changes",) if kind == "list" else HELD[whole.get("kind", kind)]
            assert {name: part[name] for name in held} == dict.fromkeys(held, MARK), path
            rest = whole.keys() - set(held)
            assert {name: part[name] for name in rest} == {name: whole[name] for name in rest}


def test_no_log_route_shows_a_payload_without_the_scope(world: World, pair: Pair) -> None:
    """Every GET below /logs without a path argument, so that a new list cannot be forgotten."""
    rules = [
        rule.rule
        for rule in world.app.url_map.iter_rules()
        if rule.rule.startswith("/api/v1/logs") and not rule.arguments
    ]
    assert len(rules) >= 4
    for rule in rules:
        assert SECRET not in pair.plain.get(rule).get_data(as_text=True), rule


@pytest.mark.parametrize("order", ["created", "commit"])
@pytest.mark.parametrize(
    ("log", "asked"),
    [
        ("actions", {"q": SECRET}),
        ("actions", {"q": "went wrong"}),
        ("actions", {"payload.word": SECRET}),
        ("actions", {"response.0": SECRET}),
        ("actions", {"metadata.word": "no such word"}),
        ("audits", {"q": "no such word"}),
        ("audits", {"changes.after.word": SECRET}),
        ("audits", {"metadata.word": SECRET}),
    ],
)
def test_a_search_by_content_needs_the_scope(
    pair: Pair, log: str, asked: dict[str, str], order: str
) -> None:
    """Found or not found would tell what a payload holds, one guess at a time."""
    query = {**asked, "order": order}
    assert pair.full.get(f"/api/v1/logs/{log}", query_string=query).status_code == 200
    problem = problem_of(pair.plain.get(f"/api/v1/logs/{log}", query_string=query), 403)
    assert "logs:read:payloads" in problem["detail"]


def test_a_search_for_an_id_needs_the_scope_as_well(pair: Pair) -> None:
    """A q that is no record's id is looked for in payloads; the detail route needs no search."""
    for log, record in (("actions", pair.action), ("audits", pair.audit)):
        problem_of(pair.plain.get(f"/api/v1/logs/{log}?q={record.id}"), 403)
        assert pair.plain.get(f"/api/v1/logs/{log}/{record.id}").json["id"] == str(record.id)
