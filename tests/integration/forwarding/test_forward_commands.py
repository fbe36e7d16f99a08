"""flask forward: destinations made, tried, watched and settled from the command line."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from app.pipeline.figures import forward_figures
from app.pipeline.forward_watch import watch_forwarding
from app.store.forwarding import read_standings
from app.store.session import Database
from app.vault import new_key
from tests.support.forwarding import Line, made, shown
from tests.support.receiver import Receiver
from tests.support.world import World, action, opened


def run(world: World, *words: str, given: str | None = None, code: int = 0) -> str:
    """What a command says."""
    result = world.app.test_cli_runner().invoke(args=["forward", *words], input=given)
    assert result.exit_code == code, result.output
    return result.output


def test_a_destination_lives_by_commands(world: World, receiver: Receiver) -> None:
    """Made, listed, tried, paused, resumed, replayed, and removed; its secret is shown once."""
    who = world.settle()
    settings = json.dumps({"url": receiver.url, "compress": False})
    said = run(world, "create", who.slug, "SIEM", "webhook", "--settings", "-", given=settings)
    secret = said.split()[-1]
    assert secret.startswith("whsec_")
    assert "webhook" in run(world, "sinks")
    record = action(who.tenant_id)
    world.put(record)
    assert run(world, "test", who.slug, "SIEM").strip() == "taken"
    assert run(world, "run").startswith("1 turns")
    told = [one for _, body in receiver.got for one in json.loads(body)]
    assert [one["id"] for one in told if one.get("action") != "test"] == [str(record.id)]
    (row,) = [one for one in run(world, "list", who.slug).splitlines() if "SIEM" in one]
    assert row.split()[2:7] == ["webhook", "active", "1", "0", "0"]
    detail = run(world, "show", who.slug, "SIEM")
    assert secret not in detail
    assert json.loads(detail)["sent"] == 1
    assert "paused" in run(world, "pause", who.slug, "SIEM")
    receiver.status = 500
    assert run(world, "test", who.slug, "SIEM", code=1).startswith("500")
    receiver.status = 200
    assert "active" in run(world, "resume", who.slug, "SIEM")
    receiver.got = []
    run(world, "replay", who.slug, "SIEM", "--since", "2020-01-01T00:00:00Z")
    run(world, "run")
    assert json.loads(receiver.got[0][1])[0]["id"] == str(record.id)
    assert "RFC 3339" in run(world, "replay", who.slug, "SIEM", "--since", "noon", code=2)
    run(world, "remove", who.slug, "SIEM")
    assert "no 'SIEM'" in run(world, "show", who.slug, "SIEM", code=1)


def test_dead_letters_are_settled_by_commands(world: World, receiver: Receiver) -> None:
    """Listed with the destination's words; sent again, or dropped."""
    who = world.settle()
    made(who, "webhook", {"url": receiver.url}, name="odd")
    world.put(*(action(who.tenant_id) for _ in range(2)))
    receiver.status = 422
    run(world, "run")
    listed = run(world, "dead-letters", "list", who.slug, "odd").splitlines()
    assert len(listed) == 3
    assert "422" in listed[1]
    chosen = listed[1].split()[0]
    assert run(world, "dead-letters", "drop", who.slug, "odd", chosen).startswith("1 ")
    assert run(world, "dead-letters", "retry", who.slug, "odd").startswith("1 ")
    run(world, "run")
    assert len(run(world, "dead-letters", "list", who.slug, "odd").splitlines()) == 2  # once more
    receiver.status = 200
    run(world, "dead-letters", "retry", who.slug, "odd")
    run(world, "run")
    assert len(run(world, "dead-letters", "list", who.slug, "odd").splitlines()) == 1
    assert "ids" in run(world, "dead-letters", "drop", who.slug, "odd", "seven", code=2)


def test_what_a_command_is_given_wrongly_is_said(world: World) -> None:
    """Without a trace of Python."""
    who = world.settle()
    words = ("create", who.slug, "x", "webhook", "--settings", "-")
    assert "JSON object" in run(world, *words, given="nonsense", code=2)
    assert "JSON object" in run(world, *words, given="[]", code=2)
    assert "required" in run(world, *words, given="{}", code=2)
    files = ("create", who.slug, "x", "file", "--settings", "-")
    assert "operator" in run(world, *files, given='{"path": "x"}', code=1)


def test_credentials_are_encrypted_anew_and_go_on_working(
    world: World, maintenance: Database, receiver: Receiver
) -> None:
    """By a fresh key, after which the old one can go."""
    who = world.settle()
    destination = made(who, "webhook", {"url": receiver.url})
    fresh, old = new_key(), world.opsledger.settings.credential_keys
    both = replace(world.opsledger.settings, credential_keys=f"{fresh},{old}")
    with opened(both, maintenance) as rotating:
        said = rotating.app.test_cli_runner().invoke(args=["providers", "rotate-keys"])
        assert "destinations" in said.output
    world.put(action(who.tenant_id))
    with opened(replace(both, credential_keys=fresh), maintenance) as after:
        Line(after).run()
    assert shown(who, destination)["sent"] == 1
    world.put(action(who.tenant_id))
    with opened(replace(both, credential_keys=new_key()), maintenance) as stranger:
        Line(stranger).run()
    assert "cannot be read" in shown(who, destination)["last_error"]


def test_a_tenant_is_told_when_records_wait_too_long_and_when_they_have_arrived(
    world: World, maintenance: Database, receiver: Receiver
) -> None:
    """By its channels, once each; operators see it among the metrics."""
    who = world.settle()
    channel = {"name": "ops", "kind": "webhook", "target": receiver.url}
    assert who.post("/api/v1/alerts/channels", json=channel).status_code == 201
    destination = made(who, "webhook", {"url": receiver.url}, name="slow")
    line = Line(world)
    line.run()
    world.put(action(who.tenant_id))
    receiver.status = 503
    line.run()
    now = datetime.now(UTC)
    assert watch_forwarding(maintenance, now=now, late_s=300) == 0
    late = now + timedelta(seconds=301)
    assert watch_forwarding(maintenance, now=late, late_s=300) == 1
    assert watch_forwarding(maintenance, now=late, late_s=300) == 0
    with maintenance.unrestricted_unsafe() as session:
        standings = [one for one in read_standings(session) if str(one.id) == destination["id"]]
    figures = {family.name: family.samples for family in forward_figures(standings, late)}
    (lag,) = figures["opsledger_forward_lag_seconds"]
    assert lag.value > 300
    assert lag.labels == {"destination": destination["id"], "sink": "webhook"}
    assert figures["opsledger_forward_failing"][0].value == 1
    receiver.status = 200
    line.run(later_s=60)
    assert watch_forwarding(maintenance, now=late, late_s=300) == 1
    told = [one["payload"]["alerts"][0] for one in who.get("/api/v1/alerts/deliveries").json]
    assert [(one["event"], one["rule"]) for one in reversed(told)] == [
        ("fired", "Records wait for the destination slow"),
        ("resolved", "Records wait for the destination slow"),
    ]
    assert told[1]["group"].startswith("503")
