"""Trends and anomalies over HTTP, of records."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.world import World, action, audit, refused_fields

TRENDS, ANOMALIES = "/api/v1/logs/analytics/trends", "/api/v1/logs/analytics/anomalies"


def test_an_unusual_hour_is_told_in_a_sentence(world: World) -> None:
    """How much more than usual, for which hour, and who most of it comes from."""
    who = world.settle()
    hour = datetime.now(UTC).replace(minute=30, second=0, microsecond=0) - timedelta(hours=2)
    records = []
    for week in range(1, 7):
        at = hour - timedelta(weeks=week)
        records += [action(who.tenant_id, at=at, status="failure") for _ in range(2)]
    values = {"action_type": "email_send", "provider_name": "gmail", "status": "timeout"}
    records += [action(who.tenant_id, at=hour, **values) for _ in range(26)]
    records += [action(who.tenant_id, at=hour, status="failure") for _ in range(2)]
    world.put(*records)
    shown = who.get(f"{ANOMALIES}?measure=failures&hours=24").json
    (found,) = shown["anomalies"]
    assert (found["value"], found["expected"]) == (28, 2)
    assert found["says"] == (
        f"failures 14.0x the usual for {hour:%A %H:00} UTC (28 against 2);"
        " 93 % of it action type email_send, 93 % of it provider gmail"
    )
    assert found["start"] == f"{hour:%Y-%m-%dT%H}:00:00.000Z"
    assert who.get(f"{ANOMALIES}?measure=audits").json["anomalies"] == []
    assert world.settle().get(ANOMALIES).json["anomalies"] == []


def test_an_hour_beyond_all_weeks_is_told_though_its_usual_varies(world: World) -> None:
    """Weeks of nothing and weeks of much leave no usual; more than ever is told all the same."""
    who = world.settle()
    hour = datetime.now(UTC).replace(minute=30, second=0, microsecond=0) - timedelta(hours=2)
    records = []
    for week in range(1, 9):
        at = hour - timedelta(weeks=week)
        records += [action(who.tenant_id, at=at) for _ in range(1 if week % 2 else 20)]
    world.put(*records, *(action(who.tenant_id, at=hour) for _ in range(60)))
    shown = who.get(f"{ANOMALIES}?measure=volume&hours=24").json
    (found,) = shown["anomalies"]
    assert found["value"] == 60
    assert " is beyond all of the weeks before " in found["says"]
    assert found["says"].endswith("100 % of it provider hubspot")


def test_a_trend_has_its_days_and_what_is_to_come(world: World) -> None:
    """By the day, those that are over; audits as well as actions."""
    who = world.settle()
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for day in range(1, 11):
        at = today - timedelta(days=day) + timedelta(hours=3)
        world.put(*(audit(who.tenant_id, at=at) for _ in range(20 - day)))
    shown = who.get(f"{TRENDS}?measure=audits&days=10&ahead=3").json
    assert [one["value"] for one in shown["days"]] == [float(20 - day) for day in range(10, 0, -1)]
    assert shown["slope_per_day"] == 1
    assert [one["expected"] for one in shown["forecast"]] == [20, 21, 22]
    assert shown["forecast"][0]["start"] == f"{today:%Y-%m-%d}T00:00:00.000Z"


@pytest.mark.parametrize("measure", ["volume", "failures", "error_rate", "average_ms"])
def test_every_measure_of_actions_has_a_trend(world: World, measure: str) -> None:
    """Of days without records a rate is not known, and left out."""
    who = world.settle()
    yesterday = datetime.now(UTC) - timedelta(days=1)
    values = {"execution_time_ms": 40, "status": "failure"}
    world.put(*(action(who.tenant_id, at=yesterday, **values) for _ in range(5)))
    shown = who.get(f"{TRENDS}?measure={measure}").json
    expected = {"volume": 5, "failures": 5, "error_rate": 1, "average_ms": 40}
    assert shown["days"][-1]["value"] == expected[measure]
    assert len(shown["days"]) == (28 if measure in {"volume", "failures"} else 1)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        (f"{TRENDS}?measure=speed", "measure"),
        (f"{TRENDS}?days=6", "days"),
        (f"{TRENDS}?ahead=91", "ahead"),
        (f"{ANOMALIES}?hours=0", "hours"),
        (f"{ANOMALIES}?since=now", "since"),
    ],
)
def test_what_cannot_be_asked_is_refused(world: World, path: str, field: str) -> None:
    """By name and bound."""
    assert field in refused_fields(world.settle().get(path))
