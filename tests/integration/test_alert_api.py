"""Rules and alerts over HTTP: made, changed, tried against the past, looked after, kept apart."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from app.domain.access import Scope
from app.domain.alert_rules import DEFAULT_RULES
from tests.support.ingest import spooled
from tests.support.watching import FAILURES, Watch
from tests.support.world import (
    Inhabitant,
    World,
    action,
    audit,
    eventually,
    next_page,
    problem_of,
    refused_fields,
)

ALERTS, RULES = "/api/v1/alerts", "/api/v1/alerts/rules"


def rule(**values: Any) -> dict[str, Any]:
    usual = {"name": "mine", "kind": "action", "figure": "count", "threshold": 5, "window_s": 300}
    return {**usual, **values}


def fired(world: World, who: Inhabitant) -> str:
    """The id of an alert that fires."""
    now = datetime.now(UTC)
    times = [now - timedelta(seconds=second) for second in range(1, 12)]
    world.put(*(action(who.tenant_id, at=at, status="failure") for at in times))
    (alert,) = Watch(world.maintenance, who.tenant_id).look(now)
    return str(alert.id)


def test_a_tenant_has_the_default_rules_and_may_delete_them(world: World) -> None:
    """They are there at the first look, and do not come back."""
    who = world.settle()
    rules = who.get(RULES).json
    assert [one["name"] for one in rules] == [one["name"] for one in DEFAULT_RULES]
    assert who.delete(f"{RULES}/{rules[0]['id']}").status_code == 204
    Watch(world.maintenance, who.tenant_id).look(datetime.now(UTC))
    assert [one["id"] for one in who.get(RULES).json] == [one["id"] for one in rules[1:]]
    problem_of(who.delete(f"{RULES}/{rules[0]['id']}"), 404)


def test_a_rule_is_made_read_and_changed(alone: World) -> None:
    """Whole, and each change leaves an audit log with before and after."""
    who = alone.settle()
    body = rule(filters={"provider_name": ["hubspot", "gmail"]}, group_by="provider_name", for_s=60)
    made = who.post(RULES, json=body)
    assert made.status_code == 201
    assert body.items() <= made.json.items()
    assert made.json["comparison"] == ">"
    path = f"{RULES}/{made.json['id']}"
    assert who.get(path).json == made.json
    changed = who.patch(path, json={"threshold": 7.5, "enabled": False})
    assert changed.json == {**made.json, "threshold": 7.5, "enabled": False}
    assert who.get(path).json == changed.json
    made_log, changed_log = [
        one for one in spooled(alone) if getattr(one, "resource_type", "") == "alert_rule"
    ]
    assert (made_log.action, changed_log.action) == ("create", "update")
    assert made_log.tenant_id == who.tenant_id
    assert "threshold" in str(changed_log.metadata)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"figure": "speed"}, "figure"),
        ({"comparison": "=="}, "comparison"),
        ({"window_s": 61}, "window_s"),
        ({"window_s": 0}, "window_s"),
        ({"window_s": 6 * 3600 + 60}, "window_s"),
        ({"threshold": -1}, "threshold"),
        ({"threshold": None}, "threshold"),
        ({"figure": "error_rate", "threshold": 5}, "threshold"),
        ({"kind": "audit", "figure": "error_rate", "threshold": 1}, "figure"),
        ({"group_by": "colour"}, "group_by"),
        ({"group_by": "status", "comparison": "<"}, "group_by"),
        ({"filters": {"user_id": ["x"]}}, "filters.user_id"),
        ({"filters": {"status": []}}, "filters.status"),
        ({"filters": ["x"]}, "filters"),
        ({"channels": [str(uuid4())]}, "channels"),
        ({"name": ""}, "name"),
        ({"colour": "red"}, "colour"),
        ({"enabled": "yes"}, "enabled"),
    ],
)
def test_a_rule_that_says_nothing_is_refused(
    world: World, values: dict[str, Any], field: str
) -> None:
    """By the name of the field and what it takes."""
    assert field in refused_fields(world.settle().post(RULES, json=rule(**values)))


def test_two_rules_of_one_name_are_a_conflict(world: World) -> None:
    """Also by renaming."""
    who = world.settle()
    first = who.post(RULES, json=rule()).json
    problem_of(who.post(RULES, json=rule()), 409)
    problem_of(who.patch(f"{RULES}/{first['id']}", json={"name": FAILURES}), 409)
    assert who.patch(f"{RULES}/{first['id']}", json={"name": "mine"}).status_code == 200


def test_reading_alerts_does_not_allow_to_change_them(world: World) -> None:
    """Rules and channels take the scope alerts:write."""
    who = world.settle((Scope.LOGS_READ.value,))
    rules = who.get(RULES).json
    problem_of(who.post(RULES, json=rule()), 403)
    problem_of(who.delete(f"{RULES}/{rules[0]['id']}"), 403)
    problem_of(who.post(f"{ALERTS}/channels", json={}), 403)
    alert_id = fired(world, who)
    problem_of(who.post(f"{ALERTS}/{alert_id}/acknowledge"), 403)
    assert who.get(f"{ALERTS}/{alert_id}").status_code == 200


def test_an_alert_shows_its_life_and_the_records_that_caused_it(world: World) -> None:
    """Acknowledged and silenced, each by whom."""
    who = world.settle()
    alert_id = fired(world, who)
    (listed,) = who.get(f"{ALERTS}?state=firing&state=pending").json
    assert listed["id"] == alert_id
    assert who.get(f"{ALERTS}?state=resolved").json == []
    assert who.post(f"{ALERTS}/{alert_id}/acknowledge").json["acknowledged_by"].startswith("key:")
    until = who.post(f"{ALERTS}/{alert_id}/silence", json={"minutes": 30}).json["silenced_until"]
    shown = who.get(f"{ALERTS}/{alert_id}").json
    assert shown["silenced_until"] == until
    assert [one["event"] for one in shown["events"]] == ["fired", "acknowledged", "silenced"]
    first = shown["events"][0]
    assert first["value"] == 11
    for record_id in first["record_ids"]:
        assert who.get(f"/api/v1/logs/actions/{record_id}").json["status"] == "failure"


def test_nobody_sees_or_touches_another_tenants_alerts(world: World) -> None:
    """Neither alerts nor rules; nor do they find them by id."""
    who, other = world.settle(), world.settle()
    alert_id = fired(world, who)
    rule_id = who.get(RULES).json[0]["id"]
    assert other.get(ALERTS).json == []
    for path in (f"{ALERTS}/{alert_id}", f"{RULES}/{rule_id}"):
        problem_of(other.get(path), 404)
    problem_of(other.post(f"{ALERTS}/{alert_id}/acknowledge"), 404)
    problem_of(other.post(f"{ALERTS}/{alert_id}/silence", json={"minutes": 1}), 404)
    problem_of(other.patch(f"{RULES}/{rule_id}", json={"enabled": False}), 404)
    assert who.get(f"{ALERTS}/{alert_id}").json["acknowledged_at"] is None


def test_alerts_are_listed_in_pages(world: World) -> None:
    """Newest first, along the Link header."""
    who = world.settle()
    watch = Watch(world.maintenance, who.tenant_id)
    watch.add(threshold=0.0, group_by="provider_name", window_s=60)
    now = datetime.now(UTC)
    names = [f"provider-{number}" for number in range(7)]
    world.put(*(action(who.tenant_id, at=now, provider_name=name) for name in names))
    watch.look(now)
    seen: list[str] = []
    path: str | None = f"{ALERTS}?limit=3"
    while path:
        response = who.get(path)
        seen += [one["group"] for one in response.json]
        path = next_page(response)
    assert sorted(seen) == names


def test_a_rule_is_tried_against_the_past(world: World) -> None:
    """It says when it would have fired, as evaluation would have had it."""
    who = world.settle()
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    bursts = [now - timedelta(days=days, seconds=1800) for days in (5, 3, 1)]
    for at in bursts:
        world.put(
            *(
                action(who.tenant_id, at=at + timedelta(seconds=n), status="timeout")
                for n in range(11)
            )
        )
    world.put(
        *(
            action(who.tenant_id, at=bursts[0] - timedelta(hours=1), status="failure")
            for _ in range(10)
        )
    )
    body = rule(figure="failures", threshold=10, days=7)
    tried = who.post(f"{ALERTS}/try/rule", json=body).json
    assert tried["fired"] == 3
    times = [datetime.fromisoformat(one["fired_at"]) for one in tried["firings"]]
    for at, fired_at in zip(bursts, times, strict=True):
        assert timedelta(0) <= fired_at - at <= timedelta(minutes=1)
    assert all(one["worst"] == 11 for one in tried["firings"])
    assert tried["firings"][0]["resolved_at"] is not None
    assert who.post(f"{ALERTS}/try/rule", json={**body, "days": 2}).json["fired"] == 1
    assert who.post(f"{ALERTS}/try/rule", json={**body, "threshold": 11}).json["fired"] == 0
    assert len(who.get(RULES).json) == len(DEFAULT_RULES)
    assert "days" in refused_fields(who.post(f"{ALERTS}/try/rule", json={**body, "days": 31}))


def test_a_silence_would_have_been_told_of_by_a_trial(world: World) -> None:
    """And by groups; audits too."""
    who = world.settle()
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    for minutes in range(0, 1440, 10):
        world.put(audit(who.tenant_id, at=now - timedelta(minutes=minutes + 1)))
    body = rule(kind="audit", comparison="<", threshold=1, window_s=900, days=1)
    assert who.post(f"{ALERTS}/try/rule", json=body).json["fired"] <= 1  # before the first one
    body["window_s"] = 300
    assert who.post(f"{ALERTS}/try/rule", json=body).json["fired"] > 100


def cli(world: World, *args: str) -> str:
    result = world.app.test_cli_runner().invoke(args=["alerts", *args])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_commands_do_what_the_api_does(live: World) -> None:
    """Rules and channels managed, alerts and messages listed, each change on record."""
    who = live.settle()
    assert FAILURES in cli(live, "rules", who.slug)
    options = ["--kind", "action", "--figure", "count", "--threshold", "3", "--window-s", "60"]
    cli(live, "add-rule", who.slug, "busy", *options, "--filter", "status=success")
    made = next(one for one in who.get(RULES).json if one["name"] == "busy")
    assert made["filters"] == {"status": ["success"]}
    cli(live, "switch", who.slug, "busy", "off")
    assert who.get(f"{RULES}/{made['id']}").json["enabled"] is False
    cli(live, "remove-rule", who.slug, made["id"])
    problem_of(who.get(f"{RULES}/{made['id']}"), 404)
    said = cli(live, "add-channel", who.slug, "hook", "webhook", "https://192.0.2.1/")
    assert "whsec_" in said
    assert "hook" in cli(live, "channels", who.slug)
    assert "dead: 192.0.2.1 is not a public address" in cli(live, "test", who.slug, "hook")
    assert "dead" in cli(live, "deliveries", who.slug)
    cli(live, "remove-channel", who.slug, "hook")
    alert_id = fired(live, who)
    assert alert_id in cli(live, "list", who.slug)
    assert "rules of" in cli(live, "evaluate")
    live.arrive()
    logs = who.get("/api/v1/logs/audits").json[::-1]
    assert [(one["action"], one["resource_type"]) for one in logs] == [
        *(("create", "alert_rule"), ("update", "alert_rule"), ("delete", "alert_rule")),
        *(("create", "alert_channel"), ("test", "alert_channel"), ("delete", "alert_channel")),
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["add-rule", "{}", "x", "--kind", "audit", "--figure", "average_ms", "--threshold", "3"],
        ["switch", "{}", "nothing", "on"],
        ["test", "{}", "nothing"],
        ["add-channel", "{}", "x", "webhook", "file:///etc/passwd"],
        ["list", "nobody"],
    ],
)
def test_a_command_says_what_it_cannot_do(world: World, arguments: list[str]) -> None:
    """By its exit status and a sentence."""
    who = world.settle()
    more = ["--window-s", "60"] if arguments[0] == "add-rule" else []
    asked = [word.format(who.slug) for word in arguments]
    result = world.app.test_cli_runner().invoke(args=["alerts", *asked, *more])
    assert result.exit_code != 0
    assert "Error" in result.output


def test_beat_has_rules_evaluated_and_messages_sent(live: World, settings: Any) -> None:
    """By tasks that a worker knows."""
    from app.broker import broker_of
    from app.worker import ALERTS_TASK, MAINTENANCE_QUEUE, MESSAGES_TASK, create_producer
    from tests.support.upkeep import forget_run, runs_of

    producer = create_producer(broker_of(settings), 2.0)
    for task in (ALERTS_TASK, MESSAGES_TASK):
        forget_run(settings, task)
        producer.send_task(task, queue=MAINTENANCE_QUEUE)
        eventually(lambda task=task: runs_of(live.maintenance, task) == 1)
